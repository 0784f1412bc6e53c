import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { RetryableError } from '../../../src/core/errors.ts'
import { connectEngine } from '../../../src/executors/docker/api/connect.ts'
import type { Engine } from '../../../src/executors/docker/api/engine.ts'
import { ImageError } from '../../../src/executors/executor.ts'
import {
  canStartPrivateEngine,
  requireEngine,
  startPrivateEngine,
  type PrivateEngine,
} from '../../support/engine.ts'
import { buildShellImage } from '../../support/images.ts'
import { list, MIB, remove, setUp, text, type Bench } from './harness.ts'

const IMAGE = 'opthub-runner-test/shell:1'
const shared = await requireEngine()

async function eventually(check: () => Promise<boolean>): Promise<void> {
  for (let n = 0; !(await check()); n += 1) {
    if (n > 600) throw new Error('it never came true')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

describe.skipIf(shared === undefined)('what goes wrong at the start', () => {
  let bench: Bench
  const never = new AbortController().signal

  beforeAll(async () => {
    if (shared === undefined) return
    bench = setUp(shared, await buildShellImage(shared, IMAGE, 'cat'))
  })
  afterEach(async () => {
    expect(await bench.left()).toEqual([])
  })
  afterAll(() => bench.close())

  it.each([
    ['an image that is not there', { image: 'opthub-runner-test/nope:1' }, 'not_found'],
    ['no name of an image', { image: 'Not An Image' }, 'not_startable'],
    ['a missing program', { command: ['/nope'] }, 'not_startable'],
    ['a missing command', { command: ['nope'] }, 'not_startable'],
    ['a command that is a text', { command: ['/etc/passwd'] }, 'not_startable'],
    ['a program named like a fault', { command: ['no space left on device'] }, 'not_startable'],
    ['an unknown user', { limits: { user: 'zorro' } }, 'not_startable'],
    ['an unknown runtime', { limits: { runtime: 'nope' } }, 'not_startable'],
    ['too little memory', { limits: { memoryBytes: 1000 } }, 'not_startable'],
    ['more CPUs than there are', { limits: { cpus: 5000 } }, 'not_startable'],
    ['an unknown limit', { limits: { ulimits: { nope: 1 } } }, 'not_startable'],
    ['wrong mount options', { limits: { tmpfs: { '/x': 'size=much' } } }, 'not_startable'],
    ['an unknown mount option', { limits: { tmpfs: { '/x': 'nope' } } }, 'not_startable'],
    ['another platform', { limits: { platform: 'linux/s390x' } }, 'platform_mismatch'],
    ['a variable without a name', { environment: { '': 'x' } }, 'not_startable'],
  ])('%s is the image or its settings, and leaves nothing', async (_name, spec, reason) => {
    const error: unknown = await bench.executor
      .start(bench.spec('true', spec), never)
      .catch((e: unknown) => e)
    expect(error).toBeInstanceOf(ImageError)
    expect((error as ImageError).reason).toBe(reason)
  })

  it('shows no value of a variable that is not valid', async () => {
    const spec = bench.spec('true', { environment: { TOKEN: 'secret\0value' } })
    const error: unknown = await bench.executor.start(spec, never).catch((e: unknown) => e)
    expect(String(error)).toContain('TOKEN')
    expect(String(error)).not.toContain('secret')
  })

  it('does not touch the container that has the name already', async () => {
    const spec = bench.spec('echo mine; cat')
    await using first = await bench.executor.start(spec, never)
    await expect(bench.executor.start(spec, never)).rejects.toThrow(RetryableError)
    await first.send(new Uint8Array())
    expect(await first.wait()).toEqual({ exitCode: 0, oomKilled: false })
  })

  it("a program of no known format in an image of this architecture is the job's own failure", async () => {
    const result = await bench.run('', { spec: { command: ['/main.sh'] } })
    expect(result.verdict).toBe('exited')
    expect(result.exitCode).not.toBe(0)
  })
})

describe.skipIf(shared === undefined)('what others do to a container', () => {
  let bench: Bench

  beforeAll(async () => {
    if (shared === undefined) return
    bench = setUp(shared, await buildShellImage(shared, IMAGE, 'cat'))
  })
  afterAll(() => bench.close())

  it.each([
    ['kill', 'POST', '/kill', {}],
    ['stop', 'POST', '/stop', { t: '0' }],
    ['stop, which the program obeys with exit code 0,', 'POST', '/stop', { t: '10' }],
    ['remove', 'DELETE', '', { force: '1' }],
  ])("a docker %s is not the job's fault", async (_name, method, path, query) => {
    const running = bench.run('trap "exit 0" TERM; echo {}; while :; do sleep 0.05; done')
    const failed = expect(running).rejects.toThrow(RetryableError)
    await eventually(async () => (await bench.containers()).length > 0 && bench.timeline.current === 'run')
    const [container] = await bench.containers()
    await shared?.json(method, `/containers/${container?.Id ?? ''}${path}`, { query })
    await failed
    expect(await bench.left()).toEqual([])
  })
})

describe.skipIf(shared === undefined || !canStartPrivateEngine())('an engine that goes away', () => {
  let own: PrivateEngine
  let engine: Engine
  let bench: Bench

  beforeAll(async () => {
    own = await startPrivateEngine()
    engine = await connectEngine({ host: own.host, environment: {} })
    bench = setUp(engine, await buildShellImage(engine, IMAGE, 'cat'))
  })
  afterAll(async () => {
    await bench.close()
    await own[Symbol.asyncDispose]()
  })

  async function whileItRuns(script: string, act: () => Promise<unknown>): Promise<void> {
    const running = bench.run(script)
    const failed = expect(running).rejects.toThrow(RetryableError)
    await eventually(async () => bench.timeline.current === 'run' && (await bench.containers()).length > 0)
    await act()
    await failed
  }

  it('by a crash: the job is tried again, and its container goes later', async () => {
    await whileItRuns('trap "exit 0" TERM; while :; do sleep 0.05; done', () => own.crash())
    await expect(bench.executor.probe(new AbortController().signal)).rejects.toThrow(RetryableError)
    await expect(bench.run('true')).rejects.toThrow(RetryableError)
    await expect(bench.executor.pull(IMAGE, new AbortController().signal)).rejects.toThrow(RetryableError)
    await own.restart()
    await bench.executor.probe(new AbortController().signal)
    expect(await bench.containers()).toHaveLength(1)
    expect(await bench.executor.reap(new AbortController().signal)).toBe(1)
    expect(await bench.left()).toEqual([])
    expect(text((await bench.run('echo again')).lastLine.bytes)).toBe('again')
  })

  it.each([
    ['as SIGKILL does', 137],
    ['as if nothing were', 0],
    ['by failing', 3],
  ])('by a stop in order, with a program that ends on SIGTERM %s', async (_name, code) => {
    await whileItRuns(`trap "exit ${code}" TERM; while :; do sleep 0.05; done`, () => own.stop())
    await own.restart()
    await bench.executor.reap(new AbortController().signal)
    expect(await bench.left()).toEqual([])
  })

  it('in the middle of much input and output', async () => {
    const input = Buffer.alloc(200 * MIB, 'x')
    const running = bench.run('trap "exit 0" TERM; cat /dev/zero & wait', { input, maxTotalBytes: Infinity })
    const failed = expect(running).rejects.toThrow(RetryableError)
    await eventually(async () => bench.timeline.current === 'run' && (await bench.containers()).length > 0)
    await own.crash()
    await failed
    await own.restart()
    await bench.executor.reap(new AbortController().signal)
    expect(await bench.left()).toEqual([])
  })

  it("a full disk is the surroundings' fault", async () => {
    await using small = await startPrivateEngine({ diskMib: 64 })
    const tight = await connectEngine({ host: small.host, environment: {} })
    const fill = setUp(tight, await buildShellImage(tight, IMAGE, 'cat'))
    // The job's own trouble: it alone filled its own file system, and says so.
    const result = await fill.run('head -c 100000000 /dev/zero > /x || exit 9', { spec: { keep: true } })
    expect(result).toMatchObject({ verdict: 'exited', exitCode: 9 })
    const error: unknown = await fill.run('true').catch((e: unknown) => e)
    expect(error).toBeInstanceOf(RetryableError)
    expect((error as RetryableError).surrounding).toBe('disk')
    for (const { Id } of await list(tight, ['org.opthub.runner.keep=true'])) await remove(tight, Id)
    expect(text((await fill.run('echo room again')).lastLine.bytes)).toBe('room again')
    await fill.close()
  })
})
