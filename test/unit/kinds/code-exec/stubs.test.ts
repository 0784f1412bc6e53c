import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { shellStub, STUBS, type Frame, type StubName } from '../../../../src/kinds/code-exec/stubs.ts'

const FILES = { python: 'main.py', node: 'main.js', bash: 'main.sh' }

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stub-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

/** Runs a program by its stub, with this machine's interpreters, in a folder of its own. */
async function run(
  name: StubName,
  frame: Partial<Frame>,
  stdin = '',
  command: readonly string[] = STUBS[name].command,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const whole = { code: '', file: FILES[name], files: [], args: [], env: {}, ...frame }
  return await play(command, Buffer.concat([STUBS[name].frame(whole), Buffer.from(stdin)]))
}

async function play(
  [program = '', ...args]: readonly string[],
  input: Buffer,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const env = { PATH: process.env['PATH'], HOME: folder }
  const child = spawn(program, args, { cwd: folder, env, stdio: ['pipe', 'pipe', 'pipe'] })
  const parts = { stdout: '', stderr: '' }
  child.stdout.on('data', (data: Buffer) => (parts.stdout += data.toString()))
  child.stderr.on('data', (data: Buffer) => (parts.stderr += data.toString()))
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...parts }
}

const RAW = Buffer.from([0, 255, 10, 39, 13])

describe('python', () => {
  test('is its own main module, with its arguments, environment and files', async () => {
    const code = [
      'import sys, os',
      'print(__name__, __file__ == os.path.join(os.getcwd(), "main.py"), sys.argv, os.environ["K"])',
      'print(sys.modules["__main__"].__dict__ is globals(), sys.path[0] == os.getcwd(), "become" in globals())',
      'print(open("in/raw", "rb").read())',
      'import helper; print(helper.value)',
    ].join('\n')
    const files = [
      { path: 'in/raw', content: RAW },
      { path: 'helper.py', content: Buffer.from('value = "hé"') },
    ]
    const {
      code: exit,
      stdout,
      stderr,
    } = await run('python', { code, files, args: ['a b', ''], env: { K: "v'\n" } })
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    expect(stdout).toBe(
      `__main__ True ['main.py', 'a b', ''] v'\n\nTrue True False\nb"\\x00\\xff\\n'\\r"\nhé\n`,
    )
    expect((await stat(join(folder, 'main.py'))).mode & 0o777).toBe(0o644)
  })

  test('has the rest of standard input for its own, to its end', async () => {
    const code = 'import sys\nprint(repr(input()), repr(sys.stdin.read()), repr(sys.stdin.read()))'
    expect(await run('python', { code }, 'one\ntwo\nthree')).toMatchObject({
      stdout: "'one' 'two\\nthree' ''\n",
    })
    expect(
      await run('python', { code: 'import sys\nprint(len(sys.stdin.buffer.read()))' }, 'x'.repeat(1e6)),
    ).toMatchObject({
      stdout: '1000000\n',
    })
  })

  test('shows a traceback with its own lines only', async () => {
    const code = 'def f():\n    raise ValueError("no é")\nf()\n'
    const { code: exit, stderr } = await run('python', { code })
    expect(exit).toBe(1)
    expect(stderr).toBe(
      [
        'Traceback (most recent call last):',
        `  File "${folder}/main.py", line 3, in <module>`,
        '    f()',
        `  File "${folder}/main.py", line 2, in f`,
        '    raise ValueError("no é")',
        'ValueError: no é',
        '',
      ].join('\n'),
    )
  })

  test('shows what can not be compiled', async () => {
    const { code: exit, stderr } = await run('python', { code: 'x = 1\nprint(\n' })
    expect(exit).toBe(1)
    expect(stderr).toMatch(/^ {2}File "\S+main\.py", line 2\n {4}print\(\n/)
    expect(stderr).toMatch(/SyntaxError: '\(' was never closed\n$/)
  })

  test.each([
    ['import sys; sys.exit(3)', 3, ''],
    ['import sys; sys.exit("bye")', 1, 'bye\n'],
    ['raise SystemExit', 0, ''],
    [
      'import atexit; atexit.register(print, "end"); import threading; threading.Timer(0.01, print, ["t"]).start()',
      0,
      '',
    ],
    ['import os; os._exit(9)', 9, ''],
  ])('ends as it would alone: %s', async (code, exit, stderr) => {
    expect(await run('python', { code })).toMatchObject({ code: exit, stderr })
  })

  test('may start others of its kind', async () => {
    for (const method of ['fork', 'spawn']) {
      const code = `
import multiprocessing
def double(x): return 2 * x
if __name__ == "__main__":
    multiprocessing.set_start_method("${method}")
    with multiprocessing.Pool(2) as pool: print(pool.map(double, [1, 2, 3]))
`
      expect(await run('python', { code })).toMatchObject({ code: 0, stdout: '[2, 4, 6]\n' })
    }
  })

  test('keeps what was printed before a kill', async () => {
    const code = 'import os, signal\nprint("before")\nos.kill(os.getpid(), signal.SIGKILL)'
    expect(await run('python', { code })).toMatchObject({ code: null, stdout: 'before\n' })
  })

  test('that gets no request ends', async () => {
    expect(await play(STUBS.python.command, Buffer.alloc(0))).toEqual({ code: 0, stdout: '', stderr: '' })
  })
})

describe('node', () => {
  test('is its own main module, with its arguments, environment and files', async () => {
    const code = [
      'console.log(require.main === module, __filename.endsWith("/main.js"), process.argv.slice(2), process.env.K)',
      'console.log(require("fs").readFileSync("in/raw").toString("hex"), require("./helper.js"))',
      'console.log(typeof globalThis.require, typeof globalThis.fs, typeof crypto.subtle, process.execArgv)',
    ].join('\n')
    const files = [
      { path: 'in/raw', content: RAW },
      { path: 'helper.js', content: Buffer.from('module.exports = "hé"') },
    ]
    const {
      code: exit,
      stdout,
      stderr,
    } = await run('node', { code, files, args: ['a b', ''], env: { K: "v'" } })
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    expect(stdout).toBe(`true true [ 'a b', '' ] v'\n00ff0a270d hé\nundefined undefined object []\n`)
  })

  test('knows modules of both sorts', async () => {
    const esm =
      'import fs from "node:fs"\nconst x = await Promise.resolve(7)\nconsole.log(x, typeof fs.readFileSync, import.meta.url.slice(-4))'
    expect(await run('node', { code: esm })).toMatchObject({ code: 0, stdout: '7 function .mjs\n' })
    expect(await run('node', { code: 'export const a = 1; console.log(a)' })).toMatchObject({ stdout: '1\n' })
    expect(
      await run('node', { code: '#!/usr/bin/env node\nconsole.log(this === module.exports)' }),
    ).toMatchObject({
      stdout: 'true\n',
    })
  })

  test('has the rest of standard input for its own, to its end', async () => {
    const code = 'let n = 0; process.stdin.on("data", (d) => (n += d.length)).on("end", () => console.log(n))'
    expect(await run('node', { code }, 'x'.repeat(1e6))).toMatchObject({ stdout: '1000000\n' })
    expect(
      await run('node', { code: 'console.log(require("fs").readFileSync(0, "utf8"))' }, 'é'),
    ).toMatchObject({
      stdout: 'é\n',
    })
  })

  test('shows its errors and ends with its codes', async () => {
    const { code, stderr } = await run('node', { code: '\nthrow new Error("no")' })
    expect(code).toBe(1)
    expect(stderr).toMatch(/main\.js:2\nthrow new Error\("no"\)\n/)
    expect(await run('node', { code: 'const x = ;' })).toMatchObject({ code: 1 })
    expect(await run('node', { code: 'process.exitCode = 5' })).toMatchObject({ code: 5 })
  })

  test('may start others of its kind', async () => {
    const code = `
const { fork } = require('child_process')
if (process.send) process.send('hi')
else fork(__filename).on('message', (m) => console.log(m))`
    expect(await run('node', { code })).toMatchObject({ code: 0, stdout: 'hi\n' })
  })

  test('that gets no request ends', async () => {
    expect(await play(STUBS.node.command, Buffer.alloc(0))).toEqual({ code: 0, stdout: '', stderr: '' })
  })
})

describe.each(['sh', 'bash', 'busybox'])('bash, started by %s', (shell) => {
  const command =
    shell === 'busybox' ? ['busybox', ...STUBS.bash.command] : [shell, ...STUBS.bash.command.slice(1)]

  test('is the program, with its arguments, environment, files and standard input', async () => {
    const code =
      'echo "$0|$1|$2|$#|$K|${f-unset}"; read -r x; echo "$x"; cat; od -An -tx1 in/raw; cat "in/a b\'"'
    const files = [
      { path: 'in/raw', content: RAW },
      { path: "in/a b'", content: Buffer.from('') },
    ]
    const result = await run(
      'bash',
      { code, files, args: ["a 'b", '$x\n'], env: { K: 'é"\\n' } },
      'one\\\ntwo',
      command,
    )
    expect(result).toEqual({
      code: 0,
      stdout: 'main.sh|a \'b|$x\n|2|é"\\n|unset\none\\\ntwo 00 ff 0a 27 0d\n',
      stderr: '',
    })
  })

  test('has its environment whatever the names in it are to a shell', async () => {
    const own = { BASHOPTS: '', BASH_VERSINFO: '', EUID: '7', OPTIND: 'x', PPID: '', SHELLOPTS: '', UID: '7' }
    const env = { ...own, f: 'é', IFS: 'x', PATH: process.env['PATH'] ?? '', Z: 'last' }
    const { code, stdout, stderr } = await run('bash', { code: 'echo "$f|$Z"', env }, '', command)
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'é|last\n', stderr: '' })
  })

  test('gets files of any length', async () => {
    const lengths = [0, 1, 65_536, 65_537, 3_000_000]
    const files = lengths.map((length, n) => ({ path: `f${String(n)}`, content: Buffer.alloc(length, 'é') }))
    const code = 'cat f4 > copy; wc -c < f0; wc -c < f1; wc -c < f2; wc -c < f3; wc -c < f4; cat'
    const { code: exit, stdout } = await run('bash', { code, files }, 'the rest', command)
    expect([exit, stdout.split(/\s+/).filter((word) => word !== '')]).toEqual([
      0,
      [...lengths.map(String), 'the', 'rest'],
    ])
    expect((await readFile(join(folder, 'copy'))).equals(Buffer.alloc(3_000_000, 'é'))).toBe(true)
  })

  test('ends with its own code, and without a request', async () => {
    expect(await run('bash', { code: 'exit 7' }, '', command)).toMatchObject({ code: 7 })
    expect(await run('bash', { code: 'kill -9 $$' }, '', command)).toMatchObject({ code: null })
    expect((await play(command, Buffer.alloc(0))).stdout).toBe('')
  })
})

test('any command can take the place of the interpreter', async () => {
  const stub = shellStub(['cat', 'x/code'])
  const input = stub.frame({ code: 'the code', file: 'x/code', files: [], args: [], env: {} })
  expect(await play(stub.command, input)).toMatchObject({ code: 0, stdout: 'the code' })
  expect(await readFile(join(folder, 'x/code'), 'utf8')).toBe('the code')
})
