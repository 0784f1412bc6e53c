import { execFile } from 'node:child_process'
import { readdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Engine } from '../../src/executors/docker/engine.ts'
import { importImage } from '../../src/executors/docker/import-image.ts'
import type { TarEntry } from '../../src/executors/docker/tar.ts'

const exec = promisify(execFile)

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

const BASE: readonly TarEntry[] = [
  { path: '/tmp', type: 'folder', mode: 0o1777 },
  {
    path: '/etc/passwd',
    type: 'text',
    content: 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n',
  },
  { path: '/etc/group', type: 'text', content: 'root:x:0:\nnogroup:x:65534:\n' },
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
  return [...BASE, ...(await programs(['sh', ...TOOLS])), main]
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
  const { binary, prefix, library } = await findPython()
  const files = await pythonFiles(library)
  const entries: TarEntry[] = [
    ...BASE,
    { path: binary, type: 'file', from: binary },
    { path: '/usr/bin/python3', type: 'link', target: binary },
    ...files,
    ...(await librariesOf([binary, ...files.map(({ path }) => path).filter((path) => path.endsWith('.so'))])),
    { path: '/app/main.py', type: 'text', content: main },
  ]
  await importImage(engine, {
    tag,
    entries: unique(entries),
    command: ['/usr/bin/python3', '/app/main.py'],
    ...options,
    environment: { PYTHONHOME: prefix, PYTHONDONTWRITEBYTECODE: '1', ...options.environment },
  })
  return tag
}

/** Whether `buildPythonImage` can work here. */
export async function hasPython(): Promise<boolean> {
  return await findPython().then(
    () => true,
    () => false,
  )
}

async function findPython(): Promise<{ binary: string; prefix: string; library: string }> {
  const script =
    'import json, sys, sysconfig; print(json.dumps([sys.executable, sys.base_prefix, sysconfig.get_path("stdlib")]))'
  const { stdout } = await exec('python3', ['-c', script])
  const [executable = '', prefix = '', library = ''] = JSON.parse(stdout) as string[]
  return { binary: await realpath(executable), prefix, library }
}

const NOT_NEEDED = new Set([
  ...[
    '__pycache__',
    'site-packages',
    'dist-packages',
    'test',
    'tests',
    'idlelib',
    'tkinter',
    'turtledemo',
    'ensurepip',
  ],
  ...['lib2to3', 'pydoc_data', 'distutils', 'config-3.11-x86_64-linux-gnu'],
])

async function pythonFiles(library: string): Promise<TarEntry[]> {
  const entries: TarEntry[] = []
  async function walk(folder: string): Promise<void> {
    const items = await readdir(folder, { withFileTypes: true })
    for (const item of items.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, item.name)
      if (NOT_NEEDED.has(item.name) || item.name.startsWith('config-')) continue
      if (item.isDirectory()) await walk(path)
      else if (/\.(py|so|txt)$/.test(item.name)) entries.push({ path, type: 'file', from: path })
    }
  }
  await walk(library)
  return entries
}

/** Programs of this machine as `/bin/<name>`, with the libraries that they need. */
async function programs(names: readonly string[]): Promise<TarEntry[]> {
  const { stdout } = await exec('sh', [
    '-c',
    `for n in ${names.join(' ')}; do PATH=/usr/bin:/bin which $n; done`,
  ])
  const paths = await Promise.all(
    stdout
      .trim()
      .split('\n')
      .map(async (path) => [path, await realpath(path)] as const),
  )
  const entries = paths.map(([path, from]): TarEntry => ({
    path: `/bin/${path.split('/').at(-1) ?? ''}`,
    type: 'file',
    from,
  }))
  return unique([...entries, ...(await librariesOf(paths.map(([, from]) => from)))])
}

/** What the dynamic loader would load for these programs, the loader included. */
async function librariesOf(binaries: readonly string[]): Promise<TarEntry[]> {
  const { stdout } = await exec('ldd', [...binaries], { maxBuffer: 16 * 1024 ** 2 })
  const paths = stdout.match(/(?<=\s)\/[^\s:]+(?= \()/g) ?? []
  return [...new Set(paths)].sort().map((path): TarEntry => ({ path, type: 'file', from: path }))
}

function unique(entries: readonly TarEntry[]): TarEntry[] {
  return [...new Map(entries.map((entry) => [entry.path, entry])).values()]
}
