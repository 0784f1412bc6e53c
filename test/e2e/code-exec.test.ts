import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { importHostLanguage } from '../../src/executors/docker/images/host-languages.ts'
import { requireEngine } from '../support/engine.ts'
import { toYaml } from '../support/aws-settings.ts'
import { Workplace, type Run } from '../support/run-bin.ts'

const engine = await requireEngine()
const TAG = 'opthub-runner-test/e2e-python:1'

/** Containers that a call of this test has left. */
async function leftOvers(docker: Engine): Promise<unknown[]> {
  const filters = JSON.stringify({ ancestor: [TAG] })
  return (await docker.json('GET', '/containers/json', { query: { all: '1', filters } })) as unknown[]
}

describe.skipIf(engine === undefined)('code-exec', () => {
  let place: Workplace

  beforeAll(async () => {
    if (engine === undefined) return
    await importHostLanguage(engine, 'python', { tag: TAG, nodePath: process.execPath })
  })
  afterAll(() => engine?.close())
  beforeEach(async () => {
    const languages = {
      python: { image: TAG },
      bash: { image: TAG, command: ['sh', 'main.sh'], file: 'main.sh' },
    }
    place = await Workplace.create(toYaml({ pull_policy: 'never', code_exec: { languages } }))
  })
  afterEach(async () => {
    await place[Symbol.asyncDispose]()
    if (engine !== undefined) await expect.poll(() => leftOvers(engine)).toEqual([])
  })

  async function call(...args: string[]): Promise<{ code: number | string; out: string; err: string }> {
    const run: Run = place.start(['code-exec', ...args])
    const code = await run.ended
    return { code, out: run.stdout(), err: run.stderr() }
  }

  test.each([
    ['prints what it prints', "print('hi')", { code: 0, out: 'hi\n', err: '' }],
    ['ends as it ends', 'exit(7)', { code: 7, out: '', err: '' }],
    [
      'is not said to lack memory because it ends with 137',
      'import os; os._exit(137)',
      { code: 137, out: '', err: 'opthub-runner: the program died by SIGKILL\n' },
    ],
  ])('one program %s', async (_name, program, expected) => {
    expect(await call('--code', program)).toEqual(expected)
  })

  test('a program that never ends is killed', async () => {
    const late = await call('--code', "print('begun', flush=True)\nwhile True: pass", '--timeout', '1')
    expect(late).toMatchObject({ code: 124, out: 'begun\n' })
    expect(late.err).toMatch(/^opthub-runner: the program was killed: .*1 s/)
  })

  test('a program that wants all memory is killed, and that is said', async () => {
    const hungry = await call('--code', 'x = [bytearray(10**7) for _ in range(200)]', '--memory', '64m')
    expect(hungry).toMatchObject({ code: 137, out: '' })
    expect(hungry.err).toContain('memory')
  })

  test('a program that prints for ever is killed, and its beginning is kept', async () => {
    const loud = await call('--code', "while True: print('x' * 1000)")
    expect(loud.code).toBe(153)
    expect(loud.out.slice(0, 1001)).toBe(`${'x'.repeat(1000)}\n`)
    expect(loud.err).toContain('printed more than 131072 bytes')
  })

  test('there is no network', async () => {
    const program = `import socket
for family, address in ((socket.AF_INET, ('1.1.1.1', 53)), (socket.AF_INET6, ('2606:4700:4700::1111', 53))):
    try:
        socket.socket(family).connect(address)
        print('connected')
    except OSError as error:
        print(type(error).__name__)
print(socket.if_nameindex())`
    expect((await call('--code', program)).out).toBe("OSError\nOSError\n[(1, 'lo')]\n")
  })

  test('what is printed appears while the program runs', async () => {
    const run = place.start(['code-exec', '--code', "print('first', flush=True); input(); print('second')"])
    const { stdout } = run.child
    if (stdout === null) throw new Error('no pipe')
    // It waits for ever for an input, so this came before its end.
    await once(stdout, 'data')
    expect(run.stdout()).toBe('first\n')
    run.child.kill('SIGTERM')
    expect(await run.ended).toBe(143)
  }, 30_000)

  test('arguments, files, variables and input reach it', async () => {
    await writeFile(join(place.folder, 'data.csv'), '1,2\n')
    await writeFile(join(place.folder, 'input.txt'), 'from here')
    const program =
      "import os, sys; print(sys.argv, open('data.csv').read(), os.environ['A'], sys.stdin.read())"
    const flags = ['--file', 'data.csv', '--stdin', 'input.txt', '--env', 'A=b c', '--code', program]
    expect((await call(...flags, '--', 'x', '--y')).out).toBe("['main.py', 'x', '--y'] 1,2\n b c from here\n")
  })

  test('its whole result is one line of JSON', async () => {
    const program =
      "open('report.txt', 'w').write('done'); import sys; print('out'); print('err', file=sys.stderr)"
    const { code, out, err } = await call(
      '--json',
      '--id',
      'run-42',
      '--artifact',
      'report.txt',
      '--code',
      program,
    )
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(JSON.parse(out)).toMatchObject({
      ID: 'CodeExecs#run-42',
      Status: 'success',
      Stdout: 'out\n',
      Stderr: 'err\n',
      ExitCode: 0,
      Artifacts: [{ Path: 'report.txt', Bytes: 4, Content: 'done' }],
    })
  })

  test('a language of the config runs by its own command', async () => {
    expect(await call('--language', 'bash', '--code', 'echo "$1"; exit 3', 'word')).toEqual({
      code: 3,
      out: 'word\n',
      err: '',
    })
  })

  test.each([
    [['--code', 'x', '--code-file', 'y'], 2, 'exclude each other'],
    [['--code', 'x', '--timeout', 'soon'], 2, '--timeout soon is no time'],
    [['--code', 'x', '--memory', 'much'], 2, '--memory much is no size'],
    [['--code', 'x', '--file', 'nowhere'], 2, "nowhere can't be read"],
    [['--code', 'x', '--env', 'A'], 2, '--env A has no value'],
    [['--timeout', '3'], 2, 'No program is given, but --timeout is'],
    [['--code', 'x', '--language', 'cobol'], 125, 'there is no language cobol'],
    [['--code', 'x', '--env', 'LD_PRELOAD=/x'], 125, 'LD_PRELOAD'],
    [['--code', 'x', '--timeout', '1h'], 125, 'wall_time_ms'],
  ])('%j is refused with one clear error', async (args, code, text) => {
    const refused = await call(...args)
    expect(refused).toMatchObject({ code, out: '' })
    expect(refused.err).toContain(text)
    expect(refused.err.match(/✖/g)).toHaveLength(1)
  })
})
