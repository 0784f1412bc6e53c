import { existsSync } from 'node:fs'
import type { Engine } from '../../../src/executors/docker/engine.ts'
import { importImage } from '../../../src/executors/docker/import-image.ts'
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
