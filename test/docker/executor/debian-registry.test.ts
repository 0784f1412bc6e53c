import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import type { DockerExecutorOptions } from '../../../src/executors/docker/docker-executor.ts'
import { requireEngine } from '../../support/engine.ts'
import { shellEntries } from '../../support/images.ts'
import { DebianRegistry, hasDebianRegistry, PASSWORD, USERNAME } from './debian-registry.ts'
import { setUp, text, type Bench } from './harness.ts'
import { TcpFront } from './tcp-front.ts'

const engine = await requireEngine()
const isHere = hasDebianRegistry()
if (!isHere && engine !== undefined && process.env['CI'] === 'true')
  throw new Error('CI needs docker-registry: apt-get install docker-registry')
if (!isHere)
  console.error('\n!!! No docker-registry (Debian package), so the tests with a real registry do NOT run.\n')

const DENIED = { name: 'ImageError', reason: 'denied' }
const NOT_FOUND = { name: 'ImageError', reason: 'not_found' }
const BROKEN = { name: 'RetryableError', surrounding: 'registry' }

describe.skipIf(engine === undefined || !isHere || process.platform !== 'linux')('a real registry', () => {
  const never = new AbortController().signal
  let registry: DebianRegistry
  let front: TcpFront
  let image: string
  let benches: Bench[]
  let now: number
  let folder: string
  let ids: Set<string>

  beforeAll(async () => {
    registry = await DebianRegistry.start()
    front = await TcpFront.start(() => registry.port)
  })
  afterAll(async () => {
    await front[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
  })
  beforeEach(async () => {
    image = `${front.host}/test/${crypto.randomUUID()}`
    benches = []
    ids = new Set()
    now = 0
    folder = await mkdtemp(join(tmpdir(), 'docker-config-'))
  })
  afterEach(async () => {
    for (const one of [image, ...ids]) {
      const path = `/images/${encodeURIComponent(one)}`
      await engine?.json('DELETE', path, { query: { force: '1' } }).catch(() => undefined)
    }
    for (const bench of benches) {
      expect(JSON.stringify(bench.records)).not.toContain(PASSWORD)
      await bench.close()
    }
    await rm(folder, { recursive: true })
  })

  function open(options: Partial<DockerExecutorOptions> = {}): Bench {
    if (engine === undefined) throw new Error('no engine')
    const clock = {
      ...systemClock,
      now: () => now,
      sleep: (ms: number, s?: AbortSignal) => systemClock.sleep(ms / 100, s),
    }
    const registryLogins = { [front.host]: { username: USERNAME, password: PASSWORD } }
    const bench = setUp(engine, image, { clock, registryLogins, ...options })
    benches.push(bench)
    return bench
  }
  async function push(script: string): Promise<string> {
    const entries = await shellEntries(`${script} # ${crypto.randomUUID()}`)
    const name = image.slice(image.indexOf('/') + 1)
    return await registry.push(name, 'latest', { entries, command: ['/bin/sh', '/main.sh'] })
  }
  async function says(bench: Bench): Promise<string> {
    ids.add((await bench.executor.pull(image, never)).id)
    return text((await bench.run('', { spec: { command: ['/bin/sh', '/main.sh'] } })).lastLine.bytes)
  }
  async function failure(bench: Bench, wanted = image): Promise<Error> {
    return await bench.executor.pull(wanted, never).then(
      () => new Error('it was pulled'),
      (error: unknown) => error as Error,
    )
  }
  /** A program of ours as `docker-credential-x`, and an environment that finds it. */
  async function helper(script: string): Promise<Record<string, string>> {
    await writeFile(join(folder, 'docker-credential-x'), `#!/bin/sh\n${script}\n`)
    await chmod(join(folder, 'docker-credential-x'), 0o755)
    await writeFile(join(folder, 'config.json'), JSON.stringify({ credsStore: 'x' }))
    return { DOCKER_CONFIG: folder, PATH: `${folder}:${process.env['PATH'] ?? ''}` }
  }

  it('is pulled from once, says the digest, and is asked again when it is due', async () => {
    const first = await push('echo one')
    const bench = open()
    const pulled = await bench.executor.pull(image, never)
    ids.add(pulled.id)
    expect(pulled).toEqual({ id: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string, digest: first })
    const sent = front.sentBytes
    expect(await says(bench)).toBe('one')
    expect(front.sentBytes).toBe(sent)
    now += 60_000
    expect(await says(bench)).toBe('one')
    // A question for the manifest, and no layer.
    expect(front.sentBytes - sent).toBeLessThan(10_000)
    const second = await push('echo two')
    expect(await says(bench)).toBe('one')
    now += 60_000
    expect(await bench.executor.pull(image, never)).toMatchObject({ digest: second })
    expect(await says(bench)).toBe('two')
  })

  it('is asked for every job where that is wanted, and a digest only once', async () => {
    const first = await push('echo one')
    const always = open({ pullPolicy: 'always' })
    expect(await says(always)).toBe('one')
    await push('echo two')
    expect(await says(always)).toBe('two')
    const pinned = `${image}@${first}`
    const bench = open()
    const { id, digest } = await bench.executor.pull(pinned, never)
    ids.add(id)
    expect(digest).toBe(first)
    const sent = front.sentBytes
    now += 60_000
    expect(await bench.executor.pull(pinned, never)).toEqual({ id, digest })
    expect(front.sentBytes).toBe(sent)
  })

  it('knows what is refused from what is not there', async () => {
    await push('echo one')
    const wrong = open({
      registryLogins: { [front.host]: { username: USERNAME, password: 'wrong-password' } },
    })
    expect(await failure(wrong)).toMatchObject(DENIED)
    expect(await failure(open({ registryLogins: {} }))).toMatchObject(DENIED)
    const bench = open()
    expect(await failure(bench, `${image}:nothing`)).toMatchObject(NOT_FOUND)
    expect(await failure(bench, `${front.host}/test/nothing`)).toMatchObject(NOT_FOUND)
    expect(await failure(bench, `${front.host}/test/denied`)).toMatchObject(NOT_FOUND)
    expect(await failure(bench, `${front.host}/unauthorized/access:denied`)).toMatchObject(NOT_FOUND)
    expect(await failure(bench, `${image}@sha256:${'0'.repeat(64)}`)).toMatchObject(NOT_FOUND)
    expect(await says(bench)).toBe('one')
  })

  it('is waited for a little when it is down, then it is no fault of the image', async () => {
    await push('echo one')
    await registry.down()
    const bench = open()
    const error = await failure(bench)
    expect(error).toMatchObject(BROKEN)
    expect(error.message).toContain(image)
    expect(bench.records.filter(({ msg }) => msg === 'Pulling failed; trying again')).toHaveLength(3)
    const later = bench.executor.pull(image, never)
    await registry.up()
    ids.add((await later.catch(() => bench.executor.pull(image, never))).id)
    await registry.down()
    now += 60_000
    expect(await says(bench)).toBe('one')
    await registry.up()
  })

  it("takes the runner's own login before Docker's", async () => {
    await push('echo private')
    const auth = Buffer.from(`${USERNAME}:wrong-password`).toString('base64')
    await writeFile(join(folder, 'config.json'), JSON.stringify({ auths: { [front.host]: { auth } } }))
    const environment = { DOCKER_CONFIG: folder }
    expect(await failure(open({ environment, registryLogins: {} }))).toMatchObject(DENIED)
    expect(await says(open({ environment }))).toBe('private')
  })

  it('gets its login from a credential helper', async () => {
    await push('echo private')
    const answer = JSON.stringify({ ServerURL: front.host, Username: USERNAME, Secret: PASSWORD })
    const environment = await helper(`[ "$1 $(cat)" = 'get ${front.host}' ] && echo '${answer}'`)
    expect(await says(open({ environment, registryLogins: {} }))).toBe('private')
  })

  it.each([
    ['fails', `echo ${PASSWORD}; echo ${PASSWORD} >&2; exit 3`, 'failed with exit code 3'],
    ['prints garbage', `echo '{"Username": "${USERNAME}", "Secret": "${PASSWORD}'`, 'answered no JSON'],
    // The one that it started holds its output open.
    ['hangs', 'trap "" TERM; sleep 20 & sleep 20', 'did not answer for 0.3 s'],
    ['is killed', 'kill -9 $$', 'was killed'],
  ])('says that a credential helper %s, which is not the fault of the image', async (_name, script, why) => {
    await push('echo private')
    const environment = await helper(script)
    const bench = open({ environment, registryLogins: {}, helperTimeoutMs: 300 })
    const error = await failure(bench)
    expect(error).toMatchObject(BROKEN)
    expect(error.message).toContain(`docker-credential-x ${why}`)
    expect(error.message).toContain('docker.registry_auth')
    expect(error.message).not.toContain(PASSWORD)
    expect(bench.records.filter(({ msg }) => msg.startsWith('No login'))).toMatchObject([
      { level: 'WARNING' },
      ...[1, 2, 3].map(() => ({ level: 'DEBUG' })),
    ])
  })

  it('is asked without a login where a helper has none, or is not there', async () => {
    await push('echo private')
    const environment = await helper('echo "credentials not found in native keychain"; exit 1')
    expect(await failure(open({ environment, registryLogins: {} }))).toMatchObject(DENIED)
    await rm(join(folder, 'docker-credential-x'))
    const error = await failure(open({ environment, registryLogins: {} }))
    expect(error).toMatchObject(BROKEN)
    expect(error.message).toContain("docker-credential-x can't be run")
  })
})
