import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { RetryableError, StoppedError } from '../../../src/core/errors.ts'
import type { DockerExecutorOptions } from '../../../src/executors/docker/docker-executor.ts'
import { ImageError } from '../../../src/executors/executor.ts'
import { requireEngine } from '../../support/engine.ts'
import { buildShellImage, shellEntries } from '../../support/images.ts'
import { setUp, text, type Bench } from './harness.ts'
import { TestRegistry } from './registry.ts'

const engine = await requireEngine()

describe.skipIf(engine === undefined || process.platform !== 'linux')('pull', () => {
  const never = new AbortController().signal
  let registry: TestRegistry
  let image: string
  let benches: Bench[]
  let now: number
  /** Ids of the images that a test has had. */
  let ids: Set<string>

  beforeAll(async () => {
    registry = await TestRegistry.start()
  })
  beforeEach(() => {
    image = `${registry.host}/test/${crypto.randomUUID()}`
    benches = []
    now = 0
    ids = new Set()
  })
  afterEach(async () => {
    registry.faults = []
    registry.login = undefined
    registry.layerDelayMs = 0
    for (const one of [image, ...ids]) {
      const path = `/images/${encodeURIComponent(one)}`
      await engine?.json('DELETE', path, { query: { force: '1' } }).catch(() => undefined)
    }
    for (const bench of benches) await bench.close()
  })
  afterAll(() => {
    registry.close()
  })

  function open(options: Partial<DockerExecutorOptions> = {}): Bench {
    if (engine === undefined) throw new Error('no engine')
    // The time between two questions is not waited for; that between two tries is short.
    const clock = {
      ...systemClock,
      now: () => now,
      sleep: (ms: number, s?: AbortSignal) => systemClock.sleep(ms / 100, s),
    }
    const bench = setUp(engine, image, { clock, ...options })
    benches.push(bench)
    return bench
  }
  async function push(script: string, architecture?: string): Promise<void> {
    const name = image.slice(image.indexOf('/') + 1)
    // Never the same layer twice: the engine would have it already.
    const entries = await shellEntries(`${script} # ${crypto.randomUUID()}`)
    const command = architecture === undefined ? ['/bin/sh', '/main.sh'] : ['/main.sh']
    await registry.push(name, 'latest', {
      entries,
      command,
      ...(architecture === undefined ? {} : { architecture }),
    })
  }
  async function says(bench: Bench): Promise<string> {
    ids.add((await bench.executor.pull(image, never)).id)
    return text((await bench.run('', { spec: { command: ['/bin/sh', '/main.sh'] } })).lastLine.bytes)
  }
  async function failure(bench: Bench, wanted = image): Promise<unknown> {
    return await bench.executor.pull(wanted, never).catch((error: unknown) => error)
  }
  const manifests = (): number => registry.requests.filter((one) => one.includes('/manifests/')).length

  it('fetches what is missing, and a mended tag after the interval', async () => {
    const bench = open({ imageCheckIntervalMs: 60_000 })
    await push('echo one')
    expect(await says(bench)).toBe('one')
    await push('echo two')
    const asked = manifests()
    now += 59_999
    expect(await says(bench)).toBe('one')
    expect(manifests()).toBe(asked)
    now += 1
    expect(await says(bench)).toBe('two')
  })

  it('asks for every job, only when missing, or never, as told', async () => {
    await push('echo one')
    const absent = await failure(open({ pullPolicy: 'never' }))
    expect(absent).toMatchObject({ name: 'ImageError', reason: 'not_found' })
    expect(await says(open({ pullPolicy: 'if-not-present' }))).toBe('one')
    await push('echo two')
    expect(await says(open({ pullPolicy: 'if-not-present' }))).toBe('one')
    expect(await says(open({ pullPolicy: 'never' }))).toBe('one')
    const always = open({ pullPolicy: 'always' })
    expect(await says(always)).toBe('two')
    await push('echo three')
    expect(await says(always)).toBe('three')
  })

  it('pulls once for all who ask at the same time', async () => {
    await push('echo one')
    registry.layerDelayMs = 200
    const bench = open()
    const before = registry.requests.filter((one) => one.includes('/blobs/')).length
    const ids = await Promise.all(Array.from({ length: 8 }, () => bench.executor.pull(image, never)))
    expect(new Set(ids.map(({ id }) => id)).size).toBe(1)
    expect(bench.records.filter(({ msg }) => msg === 'Pulling the image')).toHaveLength(1)
    expect(registry.requests.filter((one) => one.includes('/blobs/')).length - before).toBe(2)
  })

  it('lets one caller go without disturbing the others, and stops when all have gone', async () => {
    await push('echo one')
    registry.layerDelayMs = 500
    const bench = open()
    const stop = new AbortController()
    const leaving = bench.executor.pull(image, stop.signal)
    const staying = bench.executor.pull(image, never)
    setTimeout(() => {
      stop.abort(new StoppedError('stop'))
    }, 100)
    await expect(leaving).rejects.toThrow(StoppedError)
    await expect(staying).resolves.toHaveProperty('id')
    await engine?.json('DELETE', `/images/${encodeURIComponent(image)}`, { query: { force: '1' } })
    const all = new AbortController()
    const both = [bench.executor.pull(image, all.signal), bench.executor.pull(image, all.signal)]
    setTimeout(() => {
      all.abort(new StoppedError('stop'))
    }, 100)
    for (const one of both) await expect(one).rejects.toThrow(StoppedError)
    registry.layerDelayMs = 0
    await expect(bench.executor.pull(image, never)).resolves.toHaveProperty('id')
  })

  it('uses what is here when no registry answers, and says so once', async () => {
    if (engine === undefined) return
    await buildShellImage(engine, `${image}:latest`, 'echo local')
    registry.faults = [404, 404]
    const bench = open()
    expect(await says(bench)).toBe('local')
    now += 60_000
    expect(await says(bench)).toBe('local')
    registry.close()
    registry = await TestRegistry.start()
    now += 60_000
    expect(await says(bench)).toBe('local')
    expect(bench.records.filter(({ level }) => level === 'WARNING')).toHaveLength(1)
  })

  it('does not wait for a registry that hangs when the image is here', async () => {
    if (engine === undefined) return
    await buildShellImage(engine, `${image}:latest`, 'echo local')
    registry.faults = ['hang', 'hang', 'hang']
    expect(await says(open({ registryPatienceMs: 300 }))).toBe('local')
  })

  it.each([500, 503, 429])('tries again after HTTP %i', async (status) => {
    await push('echo one')
    registry.faults = [status, status]
    expect(await says(open())).toBe('one')
  })

  it("gives up on a registry that stays broken, which is not the image's fault", async () => {
    registry.faults = Array<number>(50).fill(503)
    const error = await failure(open())
    expect(error).toBeInstanceOf(RetryableError)
    expect((error as RetryableError).surrounding).toBe('registry')
    const nowhere = await failure(open(), '127.0.0.1:1/nowhere')
    expect(nowhere).toMatchObject({ name: 'RetryableError', surrounding: 'registry' })
  })

  it('knows at once what is not there, refused, or no name', async () => {
    const bench = open()
    expect(await failure(bench)).toMatchObject({ name: 'ImageError', reason: 'not_found' })
    const asked = manifests()
    registry.login = 'judge:secret-password'
    expect(await failure(bench)).toMatchObject({ name: 'ImageError', reason: 'denied' })
    expect(manifests() - asked).toBeLessThanOrEqual(2)
    for (const wanted of ['Upper/Case', 'a b', '-x', 'x:y:z', '', '../etc']) {
      expect(await failure(bench, wanted), wanted).toMatchObject({ reason: 'invalid_reference' })
    }
    expect(await failure(bench, '0'.repeat(64))).toMatchObject({ reason: 'not_found' })
  })

  it("logs in from Docker's config file and by a credential helper, and shows no password", async () => {
    const folder = await mkdtemp(join(tmpdir(), 'docker-config-'))
    const auth = Buffer.from('judge:secret-password').toString('base64')
    await push('echo private')
    registry.login = 'judge:secret-password'
    await writeFile(
      join(folder, 'config.json'),
      JSON.stringify({ auths: { [`http://${registry.host}/v2/`]: { auth } } }),
    )
    const environment = { DOCKER_CONFIG: folder, PATH: `${folder}:${process.env['PATH'] ?? ''}` }
    const byFile = open({ environment })
    expect(await says(byFile)).toBe('private')
    await engine?.json('DELETE', `/images/${encodeURIComponent(image)}`, { query: { force: '1' } })

    const helper = join(folder, 'docker-credential-test')
    const answer = `{"ServerURL":"x","Username":"judge","Secret":"secret-password"}`
    await writeFile(helper, `#!/bin/sh\n[ "$1 $(cat)" = "get ${registry.host}" ] && echo '${answer}'\n`)
    await chmod(helper, 0o755)
    await writeFile(join(folder, 'config.json'), JSON.stringify({ credHelpers: { [registry.host]: 'test' } }))
    const byHelper = open({ environment })
    expect(await says(byHelper)).toBe('private')

    await writeFile(helper, `#!/bin/sh\necho secret-password; echo secret-password >&2; exit 1\n`)
    now += 60_000
    await engine?.json('DELETE', `/images/${encodeURIComponent(image)}`, { query: { force: '1' } })
    expect(await failure(byHelper)).toMatchObject({ surrounding: 'registry' })
    expect(JSON.stringify([...byFile.records, ...byHelper.records])).not.toContain('secret-password')
    await rm(folder, { recursive: true })
  })

  it('runs only allowed images', async () => {
    await push('echo one')
    const bench = open({ allowedImages: [`${registry.host}/test/*`, 'ghcr.io/org/*'] })
    expect(await says(bench)).toBe('one')
    expect(await failure(bench, 'python:3')).toMatchObject({ reason: 'not_allowed' })
    await expect(bench.executor.start(bench.spec('true', { image: 'python:3' }), never)).rejects.toThrow(
      ImageError,
    )
  })

  it('names a platform that does not fit', async () => {
    await push('no program of any machine', 's390x')
    const bench = open()
    await bench.executor.pull(image, never)
    const running = bench.run('', { spec: { command: ['/main.sh'] } })
    await expect(running).rejects.toThrow(/built for s390x, this machine is \w+: exec format error/)
    await expect(bench.run('', { spec: { command: ['/main.sh'] } })).rejects.toThrow(ImageError)
  })

  it('refuses an image of another platform than the one that was asked for', async () => {
    await push('no program of any machine', 's390x')
    const bench = open({ platform: 'linux/arm64' })
    const error = await failure(bench)
    expect(error).toMatchObject({ name: 'ImageError', reason: 'platform_mismatch' })
    expect(String(error)).toMatch(/s390x.*arm64/)
    await expect(open().executor.pull(image, never, 'linux/s390x')).resolves.toHaveProperty('id')
    const here = open({ pullPolicy: 'never' })
    const other = await here.executor.pull(image, never, 'linux/arm64').catch((reason: unknown) => reason)
    expect(String(other)).toContain('is here for linux/s390x, not for linux/arm64')
    const spec = here.spec('true', { limits: { platform: 'linux/arm64', network: 'none' } })
    await expect(here.executor.start(spec, never)).rejects.toMatchObject({ reason: 'platform_mismatch' })
  })

  it('warns once of an image that only an emulator could run', async () => {
    await push('no program of any machine', 's390x')
    const bench = open({ pullPolicy: 'always' })
    await bench.executor.pull(image, never)
    await bench.executor.pull(image, never)
    const machine = expect.stringMatching(/^linux\/\w+$/) as string
    expect(bench.records.filter(({ level }) => level === 'WARNING')).toMatchObject([
      { fields: { image, built_for: 'linux/s390x', machine } },
    ])
  })

  it('knows an image by its id', async () => {
    if (engine === undefined) return
    await buildShellImage(engine, `${image}:latest`, 'echo local')
    const bench = open({ pullPolicy: 'always' })
    const info = await bench.executor.pull(image, never)
    ids.add(info.id)
    const asked = manifests()
    expect(await bench.executor.pull(info.id, never)).toEqual(info)
    expect(manifests()).toBe(asked)
  })
})
