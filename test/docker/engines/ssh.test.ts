import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OperatorError, RetryableError } from '../../../src/core/errors.ts'
import { connectEngine } from '../../../src/executors/docker/api/connect.ts'
import { compileChild } from '../../support/compile-child.ts'
import { requireEngine } from '../../support/engine.ts'
import { buildShellImage } from '../../support/images.ts'
import { MIB, setUp, text } from '../executor/harness.ts'
import { alive, createSsh, type StandInSsh } from './stand-in-ssh.ts'

const direct = await requireEngine()
const hasCli = spawnSync('docker', ['--version']).status === 0
const IMAGE = `opthub-runner-test/ssh-${crypto.randomUUID()}:1`

describe.skipIf(direct === undefined || !hasCli)('an engine behind ssh', () => {
  let ssh: StandInSsh
  let compiled: ReturnType<typeof compileChild>

  beforeAll(async () => {
    compiled = compileChild(join(import.meta.dirname, 'idle-child.ts'), ['core', 'executors'])
    if (direct === undefined) return
    await buildShellImage(direct, IMAGE, 'cat')
    ssh = await createSsh(direct.label)
  })
  afterAll(async () => {
    compiled.remove()
    await direct?.json('DELETE', `/images/${encodeURIComponent(IMAGE)}`, { query: { force: '1' } })
    direct?.close()
    await ssh[Symbol.asyncDispose]()
  })

  const connect = (environment = ssh.environment, host = 'ssh://me@box:2222') =>
    connectEngine({ host, environment })

  async function failure(environment: Record<string, string>): Promise<OperatorError> {
    const error: unknown = await connect(environment).catch((e: unknown) => e)
    if (!(error instanceof OperatorError)) throw new Error('it did not fail as it should', { cause: error })
    expect(error.exitCode).toBe(69)
    expect(error.what).toBe("Docker can't be reached at ssh://me@box:2222")
    expect(error.hint).toContain('ssh HOST docker version')
    return error
  }

  it('is asked by the command that the docker CLI runs', async () => {
    const engine = await connect()
    expect(engine.label).toBe('ssh://me@box:2222')
    engine.close()
    expect((await ssh.calls()).at(-1)).toBe(
      '-o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=30 -T -l me -p 2222 -- box docker system dial-stdio',
    )
  })

  it('runs tasks: input to its end, output, exit codes, and nothing is left', async () => {
    const bench = setUp(await connect(), IMAGE, { isFleeting: true })
    try {
      const both = await bench.run('cat; echo 3 >&2; exit 7', { input: Buffer.from('1\n2') })
      expect(text(both.lastLine.bytes)).toBe('2')
      expect(text(both.stderrTail)).toBe('3\n')
      expect(both).toMatchObject({ verdict: 'exited', exitCode: 7 })
      const deaf = await bench.run('echo done', { input: Buffer.alloc(4 * MIB) })
      expect(text(deaf.lastLine.bytes)).toBe('done')
      const late = await bench.run('echo begun; sleep 100', { timeoutMs: 300, stopGraceSeconds: 0 })
      expect(late.verdict).toBe('timeout')
      expect(await bench.containers()).toEqual([])
    } finally {
      await bench.close()
    }
    await expect.poll(async () => alive(await ssh.pids())).toEqual([])
  })

  it('carries megabytes of bytes both ways', async () => {
    const bench = setUp(await connect(), IMAGE, { isFleeting: true })
    try {
      const input = Buffer.alloc(24 * MIB, 'a\u0000\u00ff', 'latin1')
      const { lastLine } = await bench.run('tee /tmp/x >/dev/null; cat /tmp/x; md5sum < /tmp/x', {
        input,
        maxLineBytes: 100 * MIB,
      })
      const sum = createHash('md5').update(input).digest('hex')
      expect(text(lastLine.bytes.slice(-35))).toBe(`${sum}  -`)
      expect(lastLine.bytes.length).toBe(input.length + 35)
    } finally {
      await bench.close()
    }
  })

  it('keeps one connection for many requests, and leaves no process and no pipe', async () => {
    const open = async (): Promise<number> => (await readdir('/proc/self/fd')).length
    const before = [await open(), (await ssh.pids()).length] as const
    const engine = await connect()
    for (let n = 0; n < 200; n += 1) await engine.json('GET', '/version')
    // The ping has one of its own.
    expect((await ssh.pids()).length - before[1]).toBe(2)
    for (let n = 0; n < 10; n += 1) await (await engine.open('GET', '/_ping', { fresh: true })).toArray()
    expect((await ssh.pids()).length - before[1]).toBe(12)
    await expect.poll(async () => alive(await ssh.pids())).toHaveLength(1)
    engine.close()
    await expect.poll(async () => alive(await ssh.pids())).toEqual([])
    await expect.poll(open).toBe(before[0])
  })

  it('says that the engine is gone when a connection breaks, and makes another', async () => {
    const engine = await connect()
    const bench = setUp(engine, IMAGE, { isFleeting: true })
    try {
      const known = new Set(await ssh.pids())
      const running = bench.run('sleep 100')
      const broken = expect(running).rejects.toThrow(RetryableError)
      await expect.poll(async () => (await bench.containers()).length).toBe(1)
      await delay(500)
      for (const pid of alive(await ssh.pids())) if (!known.has(pid)) process.kill(pid, 'SIGKILL')
      await broken
      expect(await bench.containers()).toEqual([])
    } finally {
      await bench.close()
    }
  })

  it('lets the process end by itself while a connection is idle', async () => {
    const child = spawn(process.execPath, [compiled.script], {
      env: { ...process.env, ...ssh.environment, DOCKER_HOST: 'ssh://box' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let out = ''
    child.stdout.on('data', (data: Buffer) => (out += data.toString()))
    expect(await once(child, 'close')).toEqual([0, null])
    expect(out).toBe('linux\n')
    await expect.poll(async () => alive(await ssh.pids())).toEqual([])
  })

  it.each([
    [
      'is not let in',
      'echo "me@box: Permission denied (publickey)." >&2; exit 255',
      'me@box: Permission denied (publickey).',
    ],
    ['finds no docker there', 'exec sh -c nonesuch-docker', /not found/],
    ['finds no engine there', 'DOCKER_HOST=unix:///nowhere/s exec sh -c "$*"', /nowhere/],
    ['ends without a word', 'exit 3', 'ssh ended with exit code 3'],
  ])('says so when ssh %s', async (_, script, why) => {
    await using failing = await createSsh('', script)
    const error = await failure(failing.environment)
    if (typeof why === 'string') expect(error.why).toBe(why)
    else expect(error.why).toMatch(why)
  })

  it('says so when there is no ssh', async () => {
    expect((await failure({ PATH: '/nowhere' })).why).toBe('ssh could not be started: spawn ssh ENOENT')
  })
})
