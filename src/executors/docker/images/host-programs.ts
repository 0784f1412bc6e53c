import { execFile } from 'node:child_process'
import { readdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TarEntry } from './tar.ts'

// Images made of what is installed on this machine, for where no registry can be asked (Linux only).

const exec = promisify(execFile)

/** What every program expects to find. */
export const HOST_BASE: readonly TarEntry[] = [
  { path: '/tmp', type: 'folder', mode: 0o1777 },
  {
    path: '/etc/passwd',
    type: 'text',
    content: 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n',
  },
  { path: '/etc/group', type: 'text', content: 'root:x:0:\nnogroup:x:65534:\n' },
]

/** Python 3 of this machine as it stands in an image. */
export interface HostPython {
  entries: TarEntry[]
  /** Whether it is 3.11, say. */
  version: string
  environment: Readonly<Record<string, string>>
}

/** This machine's own Python 3 and its standard library. Rejects where there is none. */
export async function hostPython(): Promise<HostPython> {
  const { binary, prefix, library, version } = await findPython()
  const files = await pythonFiles(library)
  const programs = [binary, ...files.map(({ path }) => path).filter((path) => path.endsWith('.so'))]
  const entries: TarEntry[] = [
    { path: binary, type: 'file', from: binary },
    ...['/usr/bin/python3', '/usr/bin/python']
      .filter((path) => path !== binary)
      .map((path): TarEntry => ({ path, type: 'link', target: binary })),
    ...files,
    ...(await librariesOf(programs)),
  ]
  return { entries, version, environment: { PYTHONHOME: prefix, PYTHONDONTWRITEBYTECODE: '1' } }
}

async function findPython(): Promise<{ binary: string; prefix: string; library: string; version: string }> {
  const script =
    'import json, sys, sysconfig; print(json.dumps([sys.executable, sys.base_prefix, sysconfig.get_path("stdlib"), sysconfig.get_python_version()]))'
  const { stdout } = await exec('python3', ['-c', script])
  const [executable = '', prefix = '', library = '', version = ''] = JSON.parse(stdout) as string[]
  return { binary: await realpath(executable), prefix, library, version }
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
export async function hostPrograms(names: readonly string[]): Promise<TarEntry[]> {
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

/** Of several entries at one path the last. */
export function unique(entries: readonly TarEntry[]): TarEntry[] {
  return [...new Map(entries.map((entry) => [entry.path, entry])).values()]
}
