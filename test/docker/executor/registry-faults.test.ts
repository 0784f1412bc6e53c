import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { StoppedError } from '../../../src/core/errors.ts'
import { connectEngine } from '../../../src/executors/docker/api/connect.ts'
import type { DockerExecutorOptions } from '../../../src/executors/docker/docker-executor.ts'
import type { Engine } from '../../../src/executors/docker/api/engine.ts'
import { canStartPrivateEngine, startPrivateEngine, type PrivateEngine } from '../../support/engine.ts'
import { shellEntries } from '../../support/images.ts'
import { setUp, text, type Bench } from './harness.ts'
import { TestRegistry } from './registry.ts'
import { TcpFront } from './tcp-front.ts'

const MIB = 1024 ** 2

describe.skipIf(!canStartPrivateEngine())('a pull that goes wrong half-way', () => {
  const never = new AbortController().signal
  let registry: TestRegistry
  let front: TcpFront
  let own: PrivateEngine
  let engine: Engine
  let host: string
  let image: string

  beforeAll(async () => {
    registry = await TestRegistry.start()
    front = await TcpFront.start(() => Number(registry.host.split(':')[1]))
    // It tries each layer once, so that it is us who try again.
    own = await startPrivateEngine({ diskMib: 64, args: ['--max-download-attempts=1'] })
    engine = await connectEngine({ host: own.host, environment: {} })
    host = await front.hostInside(own.pid)
  })
  afterAll(async () => {
    await front[Symbol.asyncDispose]()
    registry.close()
    await own[Symbol.asyncDispose]()
  })
  beforeEach(() => {
    image = `${host}/test/${crypto.randomUUID()}`
    front.cutAfterBytes = undefined
    front.cuts = Infinity
    front.hasCut = 0
    registry.faults = []
    registry.layerDelayMs = 0
  })

  function open(options: Partial<DockerExecutorOptions> = {}): Bench {
    const sleep = (ms: number, s?: AbortSignal): Promise<void> => systemClock.sleep(ms / 100, s)
    return setUp(engine, image, { clock: { ...systemClock, sleep }, ...options })
  }
  async function push(bytes: number): Promise<void> {
    const content = randomBytes(bytes)
    const entries = [
      ...(await shellEntries('echo whole')),
      { path: '/ballast', type: 'text', content } as const,
    ]
    const name = image.slice(image.indexOf('/') + 1)
    await registry.push(name, 'latest', { entries, command: ['/bin/sh', '/main.sh'] })
  }
  async function says(bench: Bench): Promise<string> {
    await bench.executor.pull(image, never)
    return text((await bench.run('', { spec: { command: ['/bin/sh', '/main.sh'] } })).lastLine.bytes)
  }
  async function failure(bench: Bench): Promise<unknown> {
    return await bench.executor.pull(image, never).catch((error: unknown) => error)
  }
  const left = async (): Promise<unknown> => await engine.json('GET', '/images/json', { query: { all: '1' } })

  it('is tried again when the connection is cut in the middle of a layer', async () => {
    await push(3 * MIB)
    Object.assign(front, { cutAfterBytes: 128 * 1024, cuts: 5 })
    const bench = open()
    expect(await says(bench)).toBe('whole')
    expect(front.hasCut).toBe(5)
    expect(bench.records.some(({ msg }) => msg === 'Pulling failed; trying again')).toBe(true)
    await engine.json('DELETE', `/images/${encodeURIComponent(image)}`, { query: { force: '1' } })
  })

  it('is not the fault of the image when it is always cut', async () => {
    await push(3 * MIB)
    front.cutAfterBytes = 128 * 1024
    const before = await left()
    expect(await failure(open())).toMatchObject({ name: 'RetryableError', surrounding: 'registry' })
    expect(front.hasCut).toBeGreaterThanOrEqual(4)
    expect(await left()).toEqual(before)
  })

  it('is not the fault of the image when it is cut before anything came', async () => {
    await push(MIB)
    front.cutAfterBytes = 0
    expect(await failure(open())).toMatchObject({ name: 'RetryableError', surrounding: 'registry' })
  })

  it('ends when the registry says nothing, before or in the middle of a layer', async () => {
    await push(MIB)
    registry.faults = Array<'hang'>(10).fill('hang')
    const bench = open({ registrySilenceMs: 300 })
    const error = await failure(bench)
    expect(error).toMatchObject({ name: 'RetryableError', surrounding: 'registry' })
    expect(String(error)).toContain('nothing came from')
    registry.faults = []
    registry.layerDelayMs = 60_000
    expect(await failure(bench)).toMatchObject({ name: 'RetryableError', surrounding: 'registry' })
  })

  it('fills the disk, leaves nothing half, and works when there is room', async () => {
    await push(100 * MIB)
    const before = await left()
    const bench = open()
    const error = await failure(bench)
    expect(error).toMatchObject({ name: 'RetryableError', surrounding: 'disk' })
    expect(String(error)).toMatch(/Docker's disk is full: .*no space left on device.*docker system df/)
    expect(await left()).toEqual(before)
    // What is half there would take the room of this one.
    await push(20 * MIB)
    expect(await says(bench)).toBe('whole')
    await engine.json('DELETE', `/images/${encodeURIComponent(image)}`, { query: { force: '1' } })
  })

  it('is one pull for eight who ask at a time, and is cut when all have left', async () => {
    await push(MIB)
    registry.layerDelayMs = 500
    const bench = open()
    const stops = Array.from({ length: 8 }, () => new AbortController())
    const waiting = stops.map(({ signal }) =>
      bench.executor.pull(image, signal).catch((error: unknown) => error),
    )
    await systemClock.sleep(100)
    for (const stop of stops.slice(1)) stop.abort(new StoppedError('stop'))
    expect(await waiting[0]).toMatchObject({ id: expect.stringMatching(/^sha256:/) as string })
    for (const one of waiting.slice(1)) expect(await one).toBeInstanceOf(StoppedError)
    expect(bench.records.filter(({ msg }) => msg === 'Pulling the image')).toHaveLength(1)
    await engine.json('DELETE', `/images/${encodeURIComponent(image)}`, { query: { force: '1' } })
    await push(MIB)
    const before = await left()
    const again = new AbortController()
    const all = Array.from({ length: 8 }, () =>
      bench.executor.pull(image, again.signal).catch((error: unknown) => error),
    )
    await systemClock.sleep(100)
    again.abort(new StoppedError('stop'))
    for (const one of all) expect(await one).toBeInstanceOf(StoppedError)
    await systemClock.sleep(1000)
    expect(await left()).toEqual(before)
  })
})
