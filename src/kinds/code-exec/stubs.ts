import type { File } from './message.ts'

/** What a stub needs to become a program. */
export interface Frame {
  code: string
  /** Where in the working folder the code goes. */
  file: string
  files: readonly File[]
  args: readonly string[]
  env: Readonly<Record<string, string>>
}

interface Stub {
  /** Started before or after its job is known: it waits for one frame on standard input. */
  command: readonly string[]
  /** What it reads; the program's own standard input follows it at once. */
  frame: (frame: Frame) => Buffer
}

/** Reads byte by byte or by length, never ahead: what follows belongs to the program. */
const PYTHON = `
import sys, os, json, base64, builtins, types
def read(n):
    parts = []
    while n > 0:
        part = os.read(0, min(n, 1 << 20))
        if not part: os._exit(0)
        parts.append(part)
        n -= len(part)
    return b"".join(parts)
def header():
    line = b""
    while not line.endswith(b"\\n"): line += read(1)
    return int(line)
def become():
    job = json.loads(read(header()))
    home = os.getcwd()
    def write(path, data):
        path = os.path.join(home, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out: out.write(data)
        return path
    for path, data in job["files"]: write(path, base64.b64decode(data))
    code = job["code"].encode()
    path = write(job["file"], code)
    os.environ.update(job["env"])
    sys.argv = [job["file"], *job["args"]]
    sys.path[:1] = [os.path.dirname(path)] + sys.path[:1] * (sys.path[:1] != [""])
    for stream in (sys.stdout, sys.stderr): stream.reconfigure(line_buffering=True)
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, __file__=path, __cached__=None)
    sys.modules["__main__"] = main
    return code, path, main.__dict__
code, path, space = become()
try:
    exec(compile(code, path, "exec", dont_inherit=True), space)
except SystemExit:
    raise
except BaseException as error:
    trace = error.__traceback__.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    failed = not isinstance(error, KeyboardInterrupt)
    del error, trace
    sys.exit(1 if failed else 130)
`.trim()

const NODE = `
const fs = require('fs'), path = require('path'), vm = require('vm'), Module = require('module')
const read = (n) => {
  const all = Buffer.alloc(n)
  for (let at = 0; at < n; ) {
    let got
    try { got = fs.readSync(0, all, at, n - at, null) } catch (error) {
      if (error.code === 'EAGAIN') { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); continue }
      throw error
    }
    if (got === 0) process.exit(0)
    at += got
  }
  return all
}
let header = ''
while (!header.endsWith('\\n')) header += read(1).toString('latin1')
const job = JSON.parse(read(Number(header)).toString())
const write = (name, data) => {
  const file = path.resolve(name)
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, data)
  return file
}
for (const [name, data] of job.files) write(name, Buffer.from(data, 'base64'))
let name = job.file
if (name.endsWith('.js') && !job.files.some(([other]) => other === 'package.json')) {
  try { new vm.Script(Module.wrap(job.code.replace(/^#!.*/, ''))) } catch (error) {
    if (/import statement|import\\.meta|token 'export'|await is only valid/.test(error.message)) {
      name = name.slice(0, -3) + '.mjs'
    }
  }
}
const file = write(name, job.code)
const { env } = process
Object.assign(env, job.env)
process.argv = [process.execPath, file, ...job.args]
process.execArgv = []
delete process._eval
for (const each of Module.builtinModules) {
  if (!['console', 'crypto', 'process'].includes(each)) delete globalThis[each]
}
for (const each of ['require', 'exports', '__filename', '__dirname']) delete globalThis[each]
setImmediate(() => Module.runMain())
`.trim()

/** The frame is a script of the shell's own words, which reads the files from the lines that follow it. */
const SHELL = 'read -r f && f=$(printf %s "$f" | base64 -d) && eval "$f"'

/** How code gets into a container that knows nothing of it yet. */
export const STUBS = {
  python: { command: ['python3', '-c', PYTHON], frame: jsonFrame },
  node: { command: ['node', '-e', NODE], frame: jsonFrame },
  bash: { command: ['sh', '-c', SHELL], frame: (frame) => shellFrame(frame, ['bash', frame.file]) },
} satisfies Record<string, Stub>

export type StubName = keyof typeof STUBS

/** A stub that writes the files, then becomes a command, to which the arguments are added. */
export function shellStub(command: readonly string[]): Stub {
  return { command: ['sh', '-c', SHELL], frame: (frame) => shellFrame(frame, command) }
}

function jsonFrame({ code, file, files, args, env }: Frame): Buffer {
  const content = files.map((each) => [each.path, Buffer.from(each.content).toString('base64')])
  const body = Buffer.from(JSON.stringify({ code, file, files: content, args, env }))
  return Buffer.concat([Buffer.from(`${body.length}\n`), body])
}

/** What writes files, and nothing else. */
export const WRITER = {
  command: ['sh', '-c', SHELL],
  frame: (files: readonly File[]): Buffer => shellScript(files, ['exit 0']),
}

/** Variables that shells set for themselves: an `export` of them may end the one that runs the stub. */
const SHELLS_OWN = new Set(['BASHOPTS', 'BASH_VERSINFO', 'EUID', 'OPTIND', 'PPID', 'SHELLOPTS', 'UID'])

function shellFrame({ code, file, files, args, env }: Frame, command: readonly string[]): Buffer {
  const given = Object.entries(env).filter(([name]) => !SHELLS_OWN.has(name))
  return shellScript(
    [...files, { path: file, content: Buffer.from(code) }],
    [
      // First: a variable of the job may have this name.
      'unset f',
      ...given.map(([name, value]) => `export ${name}=${quote(value)}`),
      `exec ${[...command, ...args].map(quote).join(' ')}`,
    ],
  )
}

function shellScript(files: readonly File[], rest: readonly string[]): Buffer {
  const folders = new Set(files.flatMap(({ path }) => path.match(/^.*(?=\/)/s) ?? []))
  const lines = [
    ...Array.from(folders, (folder) => `mkdir -p ${quote(`./${folder}`)} || exit`),
    ...files.map(({ path, content }) => receive(quote(`./${path}`), content.length)),
    ...rest,
  ]
  const script = Buffer.from(lines.join('\n')).toString('base64')
  const contents = files.map(({ content }) => Buffer.from(content).toString('base64'))
  return Buffer.from([script, ...contents, ''].join('\n'))
}

/** A shell reads a line from a pipe byte by byte, which takes seconds for megabytes. */
const LONG_BYTES = 64 * 1024

/** Takes one file from the lines that follow. */
function receive(file: string, bytes: number): string {
  const line = `read -r f; printf %s "$f" | base64 -d > ${file} || exit`
  if (bytes <= LONG_BYTES) return line
  const dd = `dd bs=${4 * Math.ceil(bytes / 3)} count=1 iflag=fullblock 2>/dev/null`
  return `if command -v dd >/dev/null; then ${dd} | base64 -d > ${file} || exit; read -r f; else ${line}; fi`
}

/** One word for a shell, whatever is in it. */
function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}
