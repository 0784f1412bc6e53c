import { existsSync } from 'node:fs'
import type { Engine } from '../../../src/executors/docker/api/engine.ts'
import { importImage } from '../../../src/executors/docker/images/import-image.ts'
import { programs, shellEntries } from '../../support/images.ts'

/** An image with this machine's `tar`, or with a shell script of that name. */
export async function tarImage(engine: Engine, script?: string): Promise<string> {
  const tag = `opthub-runner-test/with-tar:${script === undefined ? 'real' : String(script.length)}`
  const own = script === undefined ? await programs(['tar']) : [scriptAt('/bin/tar', script)]
  const shell = await shellEntries('true')
  const known = new Set(shell.map(({ path }) => path))
  const entries = [...shell, ...own.filter(({ path }) => !known.has(path))]
  await importImage(engine, { tag, entries, command: ['/bin/sh'], environment: { PATH: '/bin' } })
  return tag
}

/** Where this machine has a busybox that needs no libraries. */
export const BUSYBOX = ['/usr/bin/busybox', '/bin/busybox'].find((path) => existsSync(path))

/** An image with nothing but busybox. */
export async function busyboxImage(engine: Engine): Promise<string> {
  const tag = 'opthub-runner-test/busybox-tar:1'
  const entries = [
    { path: '/bin/busybox', type: 'file', from: BUSYBOX ?? '' },
    { path: '/bin/tar', type: 'link', target: 'busybox' },
  ] as const
  await importImage(engine, { tag, entries, command: ['/bin/busybox'], environment: { PATH: '/bin' } })
  return tag
}

function scriptAt(
  path: string,
  script: string,
): { path: string; type: 'text'; content: string; mode: number } {
  return { path, type: 'text', content: `#!/bin/sh\n${script}\n`, mode: 0o755 }
}
