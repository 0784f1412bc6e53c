import type { Engine } from '../../src/executors/docker/api/engine.ts'
import {
  HOST_BASE,
  hostPrograms,
  hostPython,
  unique,
} from '../../src/executors/docker/images/host-programs.ts'
import { importImage } from '../../src/executors/docker/images/import-image.ts'
import type { TarEntry } from '../../src/executors/docker/images/tar.ts'

export interface TestImageOptions {
  environment?: Readonly<Record<string, string>>
  /** Further Dockerfile instructions, e.g. `VOLUME /data`. */
  changes?: readonly string[]
}

/** What a test's shell script may call besides the shell's own words. */
const TOOLS = [
  ...[
    'cat',
    'chmod',
    'date',
    'dd',
    'df',
    'env',
    'head',
    'id',
    'ls',
    'md5sum',
    'mkdir',
    'nproc',
    'printf',
    'rm',
  ],
  ...[
    'seq',
    'sha256sum',
    'sleep',
    'sort',
    'stat',
    'tail',
    'tee',
    'touch',
    'tr',
    'true',
    'uname',
    'wc',
    'yes',
  ],
]

/** An image that runs a shell script, made of this machine's own `sh` and core tools. Made once per content. */
export async function buildShellImage(
  engine: Engine,
  tag: string,
  script: string,
  options: TestImageOptions = {},
): Promise<string> {
  const entries = await shellEntries(script)
  await importImage(engine, { tag, entries, command: ['/bin/sh', '/main.sh'], ...options })
  return tag
}

/** The files of an image that runs a shell script. */
export async function shellEntries(script: string): Promise<TarEntry[]> {
  const main: TarEntry = { path: '/main.sh', type: 'text', content: script, mode: 0o755 }
  return [...HOST_BASE, ...(await hostPrograms(['sh', ...TOOLS])), main]
}

/**
 * An image that runs a Python program, made of this machine's own Python 3 and its standard library. Throws where
 * there is none: ask `hasPython` first.
 */
export async function buildPythonImage(
  engine: Engine,
  tag: string,
  main: string,
  options: TestImageOptions = {},
): Promise<string> {
  const python = await hostPython()
  const entries: TarEntry[] = [
    ...HOST_BASE,
    ...python.entries,
    { path: '/app/main.py', type: 'text', content: main },
  ]
  await importImage(engine, {
    tag,
    entries: unique(entries),
    command: ['/usr/bin/python3', '/app/main.py'],
    ...options,
    environment: { ...python.environment, ...options.environment },
  })
  return tag
}

/** Whether `buildPythonImage` can work here. */
export async function hasPython(): Promise<boolean> {
  return await hostPython().then(
    () => true,
    () => false,
  )
}

export { hostPrograms as programs } from '../../src/executors/docker/images/host-programs.ts'
