import { spawn, spawnSync, type ChildProcess, type StdioOptions } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { requireEngine } from '../support/engine.ts'
import { buildShellImage } from '../support/images.ts'

const BIN = resolve(import.meta.dirname, '../../bin/opthub-runner.js')
const MIB = 1024 ** 2
const engine = await requireEngine()
const IMAGE = `opthub-runner-test/exec-${crypto.randomUUID()}:1`
const hasScript = spawnSync('script', ['--version']).status === 0

describe.skipIf(engine === undefined)('exec', () => {
  let folder: string

  beforeAll(async () => {
    if (engine === undefined) return
    await buildShellImage(engine, IMAGE, 'cat')
    folder = await realpath(await mkdtemp(join(tmpdir(), 'opthub-exec-')))
  })
  afterAll(async () => {
    await engine?.json('DELETE', `/images/${encodeURIComponent(IMAGE)}`, { query: { force: '1' } })
    engine?.close()
    await rm(folder, { recursive: true, force: true })
  })

  function start(args: readonly string[], stdio: StdioOptions = 'pipe', cwd = folder): ChildProcess {
    const env = { ...process.env, DOCKER_HOST: engine?.label, NO_COLOR: '1' }
    return spawn(process.execPath, [BIN, 'exec', ...args], { cwd, stdio, env })
  }

  /** Runs to its end with this input. */
  async function exec(args: readonly string[], input = '', cwd = folder) {
    const child = start(args, 'pipe', cwd)
    const { stdin, stdout, stderr } = child
    if (stdin === null || stdout === null || stderr === null) throw new Error('no pipes')
    stdin.on('error', () => undefined)
    stdin.end(input)
    const [out, err, code] = await Promise.all([text(stdout), text(stderr), codeOf(child)])
    return { code, out, err }
  }
  const sh = (script: string, ...flags: string[]) => exec([...flags, IMAGE, '/bin/sh', '-c', script])

  async function containers(all = true): Promise<{ Id: string; Names: string[]; State: string }[]> {
    const query = { all: all ? '1' : '0', filters: JSON.stringify({ ancestor: [IMAGE] }) }
    return (await engine?.json('GET', '/containers/json', { query })) as never
  }
  async function started(): Promise<void> {
    await expect.poll(async () => (await containers(false)).length, { timeout: 30_000 }).toBe(1)
  }

  test('is the program: input, output, errors, arguments and exit code', async () => {
    expect(await exec([IMAGE], 'in\n')).toEqual({ code: 0, out: 'in\n', err: '' })
    expect(await sh('echo out; echo err >&2; exit 42')).toEqual({ code: 42, out: 'out\n', err: 'err\n' })
    const words = ['a b', '$(id)', '', '--help', '-v', '--', '*']
    for (const separator of [[], ['--']]) {
      const { out } = await exec([IMAGE, ...separator, '/bin/printf', '[%s]', ...words])
      expect(out).toBe('[a b][$(id)][][--help][-v][--][*]')
    }
    expect((await exec(['--', IMAGE, '/bin/printf', '%s', '--'])).out).toBe('--')
    expect(await containers()).toEqual([])
  })

  test('carries bytes as they are, and gigabytes without keeping them', async () => {
    const child = start([IMAGE])
    const { stdin, stdout } = child
    if (stdin === null || stdout === null) throw new Error('no pipes')
    const block = Buffer.from(Array.from({ length: MIB }, (_, n) => (n * 7) % 256))
    const sent = createHash('md5')
    const received = createHash('md5')
    let most = 0
    async function feed(): Promise<void> {
      for (let n = 0; n < 1024; n += 1) {
        sent.update(block)
        if (!stdin?.write(block)) await once(stdin as NonNullable<typeof stdin>, 'drain')
        if (n % 16 === 0) most = Math.max(most, await residentBytes(child.pid))
      }
      stdin?.end()
    }
    async function drain(): Promise<void> {
      for await (const data of stdout as AsyncIterable<Buffer>) received.update(data)
    }
    const ended = codeOf(child)
    await Promise.all([feed(), drain()])
    expect(await ended).toBe(0)
    expect(received.digest('hex')).toBe(sent.digest('hex'))
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThan(256 * MIB)
  })

  test('waits for a slow reader, and keeps nothing for it', async () => {
    const child = start([IMAGE, '/bin/sh', '-c', 'head -c 200000000 /dev/zero'])
    await delay(3000)
    expect(await residentBytes(child.pid)).toBeLessThan(256 * MIB)
    if (child.stdout === null) throw new Error('no pipe')
    expect((await buffer(child.stdout)).length).toBe(200_000_000)
  })

  test('sees the mounted folder as its working folder, and leaves files to the caller', async () => {
    await writeFile(join(folder, 'in.txt'), 'abc')
    await mkdir(join(folder, 'below'))
    const read = 'pwd; cat in.txt; echo done > out.txt'
    expect(await sh(read, '--mount', '.')).toEqual({ code: 0, out: `${folder}\nabc`, err: '' })
    const { uid } = await stat(join(folder, 'out.txt'))
    expect([await readFile(join(folder, 'out.txt'), 'utf8'), uid]).toEqual(['done\n', process.getuid?.()])
    const inside = await exec(
      ['--mount', '..:/work:ro', IMAGE, '/bin/sh', '-c', 'pwd; touch x'],
      '',
      join(folder, 'below'),
    )
    expect(inside).toMatchObject({ code: 1, out: '/work/below\n' })
    expect((await sh('pwd', '--mount', '.:/work', '--workdir', '/bin')).out).toBe('/bin\n')
  })

  test('obeys its flags', async () => {
    const flags = [
      '--env',
      'A=1',
      '--env',
      'B=x y',
      '--user',
      '12:34',
      '--network',
      'none',
      '--memory',
      '64m',
    ]
    const walls = [
      '--read-only',
      '--tmpfs',
      '/t:size=1m',
      '--ulimit',
      'nofile=77',
      '--pids',
      '50',
      '--cpus',
      '1',
    ]
    const { code, out } = await sh(
      'echo "$A $B"; id -u; id -g; ulimit -n; touch /x || touch /t/x && echo ok',
      ...flags,
      ...walls,
    )
    expect({ code, out }).toEqual({ code: 0, out: '1 x y\n12\n34\n77\nok\n' })
  })

  test.each([
    [
      'an image that is not there',
      ['--pull', 'never', 'opthub-runner-test/nonesuch:1'],
      69,
      /can't be run[^]*docker build/,
    ],
    ['a name that is none', ['No Such Image'], 2, /is not the name of an image/],
    ['a program that is not there', [IMAGE, '/nonesuch'], 126, /can't be run[^]*Arguments take the place/],
    ['a folder that is not there', ['--mount', '/no/such', IMAGE], 2, /\/no\/such can't be mounted/],
    ['a wrong flag', ['--timeout', 'soon', IMAGE], 2, /--timeout must be a number above 0/],
    ['no image', [], 2, /missing required argument 'image'/i],
  ])('says what is wrong about %s', async (_, args, code, why) => {
    const result = await exec(args)
    expect(result).toMatchObject({ code, out: '' })
    expect(result.err).toMatch(why)
    expect(result.err).toContain(`exit: ${code}`)
  })

  test('says so when no engine answers', () => {
    const env = { ...process.env, DOCKER_HOST: 'unix:///nowhere/docker.sock' }
    const { status, stderr } = spawnSync(process.execPath, [BIN, 'exec', IMAGE], { env, input: '' })
    expect([status, stderr.toString()]).toEqual([69, expect.stringContaining('Docker is not running')])
  })

  test('ends at once by a signal while an engine does not answer', async () => {
    const silent = createServer().listen(join(folder, 'silent'))
    const asked = once(silent, 'connection')
    const env = { ...process.env, DOCKER_HOST: `unix://${folder}/silent` }
    const child = spawn(process.execPath, [BIN, 'exec', IMAGE], { env, stdio: ['ignore', 'ignore', 'pipe'] })
    const [complaint] = await Promise.all([
      text(child.stderr),
      codeOf(child).then((code) => {
        expect(code).toBe(130)
      }),
      asked.then(() => child.kill('SIGINT')),
    ])
    expect(complaint).toBe('')
    silent.close()
  })

  test('tells what ended the program when it did not end by itself', async () => {
    const late = await sh('trap "exit 0" TERM; echo begun; sleep 100 & wait', '--timeout', '1')
    expect(late).toMatchObject({
      code: 124,
      out: 'begun\n',
      err: expect.stringContaining('worked longer than 1 s') as string,
    })
    const hungry = await sh('x=a; while true; do x="$x$x"; done', '--memory', '16m')
    expect(hungry).toMatchObject({ code: 137, err: expect.stringContaining('memory ran out') as string })
    expect(await containers()).toEqual([])
  })

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('ends at once by %s, and removes the container', async (signal, code) => {
    const child = start([IMAGE, '/bin/sh', '-c', 'trap "" INT TERM; while true; do sleep 1; done'], 'ignore')
    await started()
    child.kill(signal)
    expect(await codeOf(child)).toBe(code)
    expect(await containers()).toEqual([])
  })

  test('ends quietly when nobody reads any more', async () => {
    const child = start([IMAGE, '/bin/sh', '-c', 'while true; do echo line; done'])
    const { stdout, stderr } = child
    if (stdout === null || stderr === null) throw new Error('no pipes')
    const complaint = text(stderr)
    await once(stdout, 'data')
    stdout.destroy()
    expect(await codeOf(child)).toBe(0)
    expect(await complaint).toBe('')
    expect(await containers()).toEqual([])
  })

  test('ends with its program, whatever is done with its input', async () => {
    const open = start([IMAGE, '/bin/printf', 'done'])
    expect(await codeOf(open)).toBe(0)
    const empty = start([IMAGE], ['ignore', 'pipe', 'inherit'])
    expect(await codeOf(empty)).toBe(0)
    // Closed before it began, as by `<&-`.
    const shell = spawn(
      'sh',
      ['-c', `exec "$0" "$@" <&-`, process.execPath, BIN, 'exec', IMAGE, '/bin/wc', '-c'],
      {
        env: { ...process.env, DOCKER_HOST: engine?.label },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    expect(await Promise.all([text(shell.stdout), codeOf(shell)])).toEqual(['0\n', 0])
    expect(await containers()).toEqual([])
  })

  test.skipIf(!hasScript)('reads from a terminal until its end of file', async () => {
    const command = `'${process.execPath}' '${BIN}' exec '${IMAGE}' /bin/sh -c 'read x; echo "got $x"; cat; echo end'`
    const terminal = spawn('script', ['-qefc', command, '/dev/null'], {
      env: { ...process.env, DOCKER_HOST: engine?.label },
    })
    terminal.stdin.write('line\n')
    let out = ''
    terminal.stdout.on('data', (data: Buffer) => (out += data.toString()))
    await expect.poll(() => out, { timeout: 30_000 }).toContain('got line')
    terminal.stdin.write('\u0004')
    expect(await codeOf(terminal)).toBe(0)
    expect(out).toMatch(/end\r\n$/)
  })

  test('keeps the container when asked, and says how to read it', async () => {
    const { code, err } = await sh('echo kept', '--no-rm')
    const [container] = await containers()
    expect(container).toMatchObject({ State: 'exited' })
    const name = container?.Names[0]?.slice(1) ?? ''
    await engine?.json('DELETE', `/containers/${container?.Id ?? ''}`)
    expect(code).toBe(0)
    expect(err).toContain(`docker logs ${name}`)
  })
})

/** The exit code, or the name of the signal that ended it. */
async function codeOf(child: ChildProcess): Promise<number | string> {
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  return code ?? signal ?? 'nothing'
}

async function residentBytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8').catch(() => '')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
}
