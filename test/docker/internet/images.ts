import { existsSync } from 'node:fs'
import type { Engine } from '../../../src/executors/docker/api/engine.ts'
import { importImage } from '../../../src/executors/docker/images/import-image.ts'
import { programs, shellEntries } from '../../support/images.ts'

/** Where this machine has a busybox that needs no libraries. */
export const BUSYBOX = ['/usr/bin/busybox', '/bin/busybox'].find((path) => existsSync(path))

/** An image as small as busybox's own: `sh`, `ip`, `sleep`, `nc` and these, if they are not left out. */
export async function busyboxImage(engine: Engine, programs = ['sh', 'ip', 'sleep', 'nc']): Promise<string> {
  const tag = `opthub-runner-test/internet-${programs.join('-')}:1`
  await importImage(engine, {
    tag,
    entries: [
      { path: '/bin/busybox', type: 'file', from: BUSYBOX ?? '' },
      ...programs.map((name) => ({ path: `/bin/${name}`, type: 'link', target: 'busybox' }) as const),
    ],
    command: ['/bin/sh'],
    environment: { PATH: '/bin' },
  })
  return tag
}

/** An image with this machine's own `ip`, of iproute2. */
export async function iprouteImage(engine: Engine): Promise<string> {
  const tag = 'opthub-runner-test/internet-iproute:1'
  const shell = await shellEntries('true')
  const known = new Set(shell.map(({ path }) => path))
  const own = (await programs(['ip'])).filter(({ path }) => !known.has(path))
  await importImage(engine, { tag, entries: [...shell, ...own], command: ['/bin/sh'] })
  return tag
}

/**
 * An image with this machine's own `sh` and busybox's `ip`, which does something else where its arguments fit one of these
 * patterns of the shell. Without any it has no `ip`.
 */
export async function brokenImage(
  engine: Engine,
  name: string,
  cases: Readonly<Record<string, string>> = {},
): Promise<string> {
  const tag = `opthub-runner-test/internet-${name}:1`
  const lines = Object.entries(cases).map(([pattern, action]) => `${pattern}) ${action} ;;`)
  const ip = ['#!/bin/sh', 'case "$*" in', ...lines, 'esac', 'exec /bin/busybox ip "$@"', ''].join('\n')
  const ours = [
    { path: '/bin/busybox', type: 'file', from: BUSYBOX ?? '' },
    { path: '/bin/nc', type: 'link', target: 'busybox' },
    { path: '/bin/ip', type: 'text', content: ip, mode: 0o755 },
  ] as const
  const shell = await shellEntries('true')
  const entries = [...shell, ...ours.slice(0, lines.length === 0 ? 2 : 3)]
  await importImage(engine, { tag, entries, command: ['/bin/sh'], environment: { PATH: '/usr/bin:/bin' } })
  return tag
}
