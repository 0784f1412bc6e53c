import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, statfs, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { connectEngine } from '../../../src/executors/docker/api/connect.ts'
import type { DockerExecutorOptions } from '../../../src/executors/docker/docker-executor.ts'
import type { Engine } from '../../../src/executors/docker/api/engine.ts'
import { canStartPrivateEngine, startPrivateEngine, type PrivateEngine } from '../../support/engine.ts'
import { buildShellImage, shellEntries } from '../../support/images.ts'
import { setUp, text, type Bench } from './harness.ts'
import { TestRegistry } from './registry.ts'
import { TcpFront } from './tcp-front.ts'

const MIB = 1024 ** 2

/** What an image of 20 MiB leaves free on a disk of 200 MiB decides what the tests below expect. */
describe.skipIf(!canStartPrivateEngine())('min_free_disk', () => {
  const never = new AbortController().signal
  let registry: TestRegistry
  let front: TcpFront
  let own: PrivateEngine
  let engine: Engine
  let host: string
  let dataDir: string
  let prefix: string

  beforeAll(async () => {
    registry = await TestRegistry.start()
    front = await TcpFront.start(() => Number(registry.host.split(':')[1]))
    own = await startPrivateEngine({ diskMib: 200, showsDisk: true })
    engine = await connectEngine({ host: own.host, environment: {} })
    host = await front.hostInside(own.pid)
  })
  afterAll(async () => {
    await front[Symbol.asyncDispose]()
    registry.close()
    engine.close()
    await own[Symbol.asyncDispose]()
  })
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'data-'))
    prefix = `test/${crypto.randomUUID()}`
  })
  afterEach(async () => {
    await rm(dataDir, { recursive: true })
    await engine.json('POST', '/containers/prune')
    const query = { filters: JSON.stringify({ dangling: ['false'] }) }
    await engine.json('POST', '/images/prune', { query })
  })

  function open(options: Partial<DockerExecutorOptions> = {}): Bench {
    return setUp(engine, nameOf('a'), { dataDir, pullPolicy: 'if-not-present', ...options })
  }
  function nameOf(name: string, tag = 'latest'): string {
    return `${host}/${prefix}/${name}:${tag}`
  }
  async function push(name: string, tag = 'latest'): Promise<void> {
    const entries = await shellEntries(`echo ${name}`)
    entries.push({ path: '/ballast', type: 'text', content: randomBytes(20 * MIB) })
    await registry.push(`${prefix}/${name}`, tag, { entries, command: ['/bin/sh', '/main.sh'] })
  }
  async function pull(bench: Bench, name: string): Promise<string> {
    await push(name)
    return (await bench.executor.pull(nameOf(name), never)).id
  }
  /** As if a job had last wanted it so many minutes ago. */
  async function age(id: string, minutes: number): Promise<void> {
    const images = join(dataDir, 'images')
    for (const key of await readdir(images)) {
      const then = new Date(Date.now() - minutes * 60_000)
      await utimes(join(images, key, id.replace('sha256:', '')), then, then)
    }
  }
  async function free(): Promise<number> {
    const { DockerRootDir: root } = (await engine.json('GET', '/info')) as { DockerRootDir: string }
    const { bavail, bsize } = await statfs(root)
    return bavail * bsize
  }
  async function isHere(name: string): Promise<boolean> {
    return await engine.json('GET', `/images/${encodeURIComponent(name)}/json`).then(
      () => true,
      () => false,
    )
  }
  const probe = (bench: Bench): Promise<unknown> =>
    bench.executor.probe(never).catch((error: unknown) => error)

  it('removes what was pulled and not used for the longest, and no more than needed', async () => {
    const bench = open()
    const [a, b, c] = [await pull(bench, 'a'), await pull(bench, 'b'), await pull(bench, 'c')]
    await age(a, 10)
    await age(b, 30)
    await age(c, 20)
    // One of them is enough.
    const tight = open({ minFreeDiskBytes: (await free()) + 10 * MIB })
    expect(await probe(tight)).toBeUndefined()
    expect([await isHere(a), await isHere(b), await isHere(c)]).toEqual([true, false, true])
    expect(tight.records.map(({ msg }) => msg)).toEqual([
      "Docker's disk is too full: removed an image that no job used for the longest time",
    ])
    // A job's own image is the last to go.
    const tighter = open({ minFreeDiskBytes: (await free()) + 10 * MIB })
    await tighter.executor.pull(nameOf('c'), never)
    expect([await isHere(a), await isHere(c)]).toEqual([false, true])
    // What is gone is pulled again when a job wants it.
    expect((await bench.executor.pull(nameOf('b'), never)).id).toBe(b)
  })

  it('takes no job while nothing is left to be removed, says so, and goes on by itself', async () => {
    const filler = join(own.dataRoot, 'filler')
    const bench = open({ minFreeDiskBytes: (await free()) - 10 * MIB })
    await push('a')
    expect(await probe(bench)).toBeUndefined()
    await writeFile(filler, randomBytes(30 * MIB))
    const error = await probe(bench)
    expect(error).toMatchObject({ name: 'RetryableError', surrounding: 'disk' })
    expect(String(error)).toMatch(
      /Docker's disk is too full: \d+ MiB are free in .*, min_free_disk is \d+ MiB, .*docker system df/,
    )
    await expect(bench.executor.pull(nameOf('a'), never)).rejects.toMatchObject({ surrounding: 'disk' })
    expect(await isHere(nameOf('a'))).toBe(false)
    await rm(filler)
    expect(await probe(bench)).toBeUndefined()
    await expect(bench.executor.pull(nameOf('a'), never)).resolves.toHaveProperty('id')
  })

  it('keeps what is in use, just pulled, or not ours', async () => {
    const bench = open()
    // Somebody else's: there before a runner wanted it, made here, or pulled by hand.
    const theirs = await pull(open({ dataDir: join(dataDir, 'other') }), 'theirs')
    await bench.executor.pull(nameOf('theirs'), never)
    await buildShellImage(engine, nameOf('made'), 'echo made')
    await bench.executor.pull(nameOf('made'), never)
    const used = await pull(bench, 'used')
    const stopped = await pull(bench, 'stopped')
    await age(used, 10)
    await age(stopped, 10)
    await using running = await bench.executor.start(
      bench.spec('cat', { image: nameOf('used'), limits: { network: 'none' } }),
      never,
    )
    expect(await running.isRunning()).toBe(true)
    await engine.json('POST', '/containers/create', { body: { Image: stopped, Cmd: ['/bin/sh'] } })
    const fresh = await pull(bench, 'fresh')
    const tight = open({ minFreeDiskBytes: 1000 * MIB })
    expect(await probe(tight)).toMatchObject({ surrounding: 'disk' })
    for (const id of [theirs, used, stopped, fresh]) expect(await isHere(id)).toBe(true)
    expect(await isHere(nameOf('made'))).toBe(true)
    await age(fresh, 1)
    await probe(tight)
    expect(await isHere(fresh)).toBe(false)
  })

  it('takes only our name from an image that somebody else has named, too', async () => {
    const bench = open()
    const id = await pull(bench, 'a')
    const query = { repo: 'somebody/elses', tag: '1' }
    await engine.json('POST', `/images/${encodeURIComponent(id)}/tag`, { query })
    await age(id, 10)
    const tight = open({ minFreeDiskBytes: 1000 * MIB })
    expect(await probe(tight)).toMatchObject({ surrounding: 'disk' })
    expect(await isHere(nameOf('a'))).toBe(false)
    expect(await isHere('somebody/elses:1')).toBe(true)
    expect(tight.records.map(({ msg }) => msg).join()).toContain('lost the name that we pulled')
    await engine.json('DELETE', '/images/somebody%2Felses:1')
  })

  it('removes an image with all names by which runners have pulled it, and what a tag has left', async () => {
    const bench = open({ pullPolicy: 'always' })
    const first = await pull(bench, 'a')
    await push('a')
    const second = (await bench.executor.pull(nameOf('a'), never)).id
    expect(second).not.toBe(first)
    // The same content by another tag, and by its digest.
    const { digest = '' } = await bench.executor.pull(nameOf('a'), never)
    registry.copy(`${prefix}/a`, 'latest', 'other')
    expect((await bench.executor.pull(nameOf('a', 'other'), never)).id).toBe(second)
    await bench.executor.pull(`${host}/${prefix}/a@${digest}`, never)
    await age(first, 20)
    await age(second, 10)
    await probe(open({ minFreeDiskBytes: 1000 * MIB }))
    expect([await isHere(first), await isHere(second)]).toEqual([false, false])
    expect(
      await readdir(join(dataDir, 'images')).then(([key = '']) => readdir(join(dataDir, 'images', key))),
    ).toEqual([])
  })

  it('does not take for ours what somebody pulled by hand after ours was gone', async () => {
    const bench = open()
    const id = await pull(bench, 'a')
    await engine.json('DELETE', `/images/${encodeURIComponent(id)}`)
    await bench.executor.reap(never)
    const byHand = open({ dataDir: join(dataDir, 'other') })
    expect((await byHand.executor.pull(nameOf('a'), never)).id).toBe(id)
    expect(await probe(open({ minFreeDiskBytes: 1000 * MIB }))).toMatchObject({ surrounding: 'disk' })
    expect(await isHere(id)).toBe(true)
  })

  it('makes room for an image that does not fit, whatever was free before', async () => {
    const bench = open({ minFreeDiskBytes: 1 })
    const old = await pull(bench, 'old')
    await age(old, 10)
    const filler = join(own.dataRoot, 'filler')
    await writeFile(filler, randomBytes((await free()) - 40 * MIB))
    try {
      // Compressed and unpacked at the same time: more than is free.
      const fresh = await pull(bench, 'fresh')
      expect([await isHere(old), await isHere(fresh)]).toEqual([false, true])
    } finally {
      await rm(filler)
    }
  })

  it('gives a job its image again that went between its pull and its start', async () => {
    const bench = open()
    const id = await pull(bench, 'a')
    await engine.json('DELETE', `/images/${encodeURIComponent(id)}`)
    const { lastLine } = await bench.run('', { spec: { command: ['/bin/sh', '/main.sh'] } })
    expect(text(lastLine.bytes)).toBe('a')
    await expect(
      bench.executor.start(bench.spec('true', { image: nameOf('unheard') }), never),
    ).rejects.toMatchObject({ reason: 'not_found' })
  })

  it('is not judged where the disk can not be seen', async () => {
    await using hidden = await startPrivateEngine({ diskMib: 50 })
    const other = await connectEngine({ host: hidden.host, environment: {} })
    const bench = setUp(other, 'x', { dataDir, minFreeDiskBytes: 10 ** 15 })
    expect(await probe(bench)).toBeUndefined()
    expect(await probe(bench)).toBeUndefined()
    expect(bench.records).toMatchObject([
      { level: 'DEBUG', msg: expect.stringContaining('min_free_disk') as string },
    ])
    await bench.close()
  })
})
