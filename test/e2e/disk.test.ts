import { randomBytes } from 'node:crypto'
import { rm, statfs, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectEngine } from '../../src/executors/docker/api/connect.ts'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { TcpFront } from '../docker/executor/tcp-front.ts'
import { TestRegistry } from '../docker/executor/registry.ts'
import { canStartPrivateEngine, startPrivateEngine, type PrivateEngine } from '../support/engine.ts'
import { buildShellImage, hasPython, shellEntries } from '../support/images.ts'
import { type Run, Workplace } from '../support/run-bin.ts'
import { KEYS, Terminal } from '../support/terminal.ts'

const MIB = 1024 ** 2
const MATCH = '33333333-2222-3333-4444-555555555555'
const BIN = resolve(import.meta.dirname, '../../bin/opthub-runner.js')
const PASSWORD = 'secret-password'
const SCRIPT = `read -r seconds; sleep "$seconds"; echo '{"objective": 1}'`
const canAsk = await hasPython()

describe.skipIf(!canStartPrivateEngine())('the disk of the engine', () => {
  let own: PrivateEngine
  let engine: Engine
  let registry: TestRegistry
  let front: TcpFront
  let image: string

  beforeAll(async () => {
    registry = await TestRegistry.start()
    registry.login = `judge:${PASSWORD}`
    front = await TcpFront.start(() => Number(registry.host.split(':')[1]))
    own = await startPrivateEngine({ diskMib: 150, showsDisk: true })
    engine = await connectEngine({ host: own.host, environment: {} })
    image = `${await front.hostInside(own.pid)}/test/problem:1`
    await registry.push('test/problem', '1', {
      entries: await shellEntries(SCRIPT),
      command: ['/bin/sh', '/main.sh'],
    })
  })
  afterAll(async () => {
    engine.close()
    await front[Symbol.asyncDispose]()
    registry.close()
    await own[Symbol.asyncDispose]()
  })

  function config(...more: string[]): string {
    return [
      'wait_time: 1',
      'heartbeat_interval: 3',
      'visibility_timeout: 10',
      `docker: {host: "${own.host}", registry_auth: {"${image.split('/', 1)[0] ?? ''}": {username: judge, password: ${PASSWORD}}}}`,
      `matches: {${MATCH}: {problem: {image: "${image}"}}}`,
      ...more,
      '',
    ].join('\n')
  }
  async function submit(place: Workplace, seconds: number): Promise<void> {
    const who = ['--match', MATCH, '--participant', 'User#1', '--variable', String(seconds)]
    await place.run(['submit', 'evaluator', '--local', ...who])
  }
  async function said(run: Run, msg: string, count = 1): Promise<void> {
    await expect
      .poll(() => run.records().filter((record) => record['msg'] === msg).length, { timeout: 120_000 })
      .toBeGreaterThanOrEqual(count)
  }
  async function free(): Promise<number> {
    const { bavail, bsize } = await statfs(own.dataRoot)
    return bavail * bsize
  }
  interface Listed {
    Id: string
    Names: string[]
  }
  async function containers(): Promise<string[]> {
    const listed = (await engine.json('GET', '/containers/json', { query: { all: '1' } })) as Listed[]
    return listed.map(({ Names: [name = ''] }) => name).sort()
  }
  async function tags(): Promise<string[]> {
    const listed = (await engine.json('GET', '/images/json')) as { RepoTags: string[] | null }[]
    return listed.flatMap(({ RepoTags }) => RepoTags ?? []).sort()
  }

  test('a full one makes a runner wait, from its start on, and costs no message', async () => {
    const filler = join(own.dataRoot, 'filler')
    const fill = async (): Promise<void> => {
      await writeFile(filler, randomBytes((await free()) - 30 * MIB))
    }
    await using place = await Workplace.create(config('min_free_disk: 40 MiB', 'log_level: DEBUG'))
    await fill()
    const refused = place.start(['code-exec', '--code', 'print(1)'])
    expect(await refused.ended).toBe(125)
    expect(refused.stderr()).toMatch(/Too many requests.*\n.*disk is too full.*\n.*opthub-runner prune/)
    await submit(place, 0)
    const run = place.start(['evaluator', '--local', '--num', '2', '--process-name', 'disk'])
    await said(run, 'Paused: nothing is received until this works again')
    const [paused] = run.records().filter(({ level }) => level === 'ERROR')
    expect(paused).toMatchObject({ surrounding: 'disk' })
    expect(paused?.['error']).toMatch(/^Docker's disk is too full: \d+ MiB are free .*docker system df/)
    await expect.poll(() => place.run(['status']), { timeout: 30_000 }).toContain('paused')
    expect(run.stderr()).not.toContain('Ready')
    await rm(filler)
    await said(run, 'Job ended')
    expect(run.records().find(({ msg }) => msg === 'Job ended')).toMatchObject({
      attempt: 1,
      outcome: 'succeeded',
    })

    await fill()
    await said(run, 'Paused: nothing is received until this works again', 2)
    await submit(place, 0)
    await rm(filler)
    expect(await run.ended).toBe(0)
    expect(run.stderr()).not.toContain(PASSWORD)
    expect(run.records().filter(({ msg }) => msg === 'Job ended')).toMatchObject([
      { outcome: 'succeeded', attempt: 1 },
      { outcome: 'succeeded', attempt: 1 },
    ])
  })

  test('prune removes what runners have left, shows it first, and nothing else', async () => {
    await buildShellImage(engine, 'somebody/elses:1', 'sleep 1000')
    const query = { name: 'somebody-elses' }
    await engine.json('POST', '/containers/create', { query, body: { Image: 'somebody/elses:1' } })
    await using place = await Workplace.create(config('min_free_disk: 0', 'warm: 0'))
    // What another data folder's runner has pulled is not this one's.
    await engine.json('DELETE', `/images/${encodeURIComponent(image)}`).catch(() => undefined)
    await submit(place, 1000)
    const dead = place.start(['evaluator', '--local', '--process-name', 'dead'])
    await expect
      .poll(async () => (await containers()).find((name) => name.startsWith('/evaluator-')), {
        timeout: 60_000,
      })
      .toBeDefined()
    const [job = ''] = (await containers()).filter((name) => name.startsWith('/evaluator-'))
    // What lives is not touched, and is not asked about.
    await place.run(['prune', '--yes'])
    expect(await containers()).toContain(job)
    expect(await tags()).toContain(image)
    dead.child.kill('SIGKILL')
    await dead.ended
    const before = await containers()

    const refused = place.start(['prune'])
    expect(await refused.ended).toBe(2)
    expect(refused.stderr()).toMatch(/^container +evaluator-\S+ .*of dead, which is dead/m)
    expect(refused.stderr()).toMatch(new RegExp(`^pulled image +${image} `, 'm'))
    expect(refused.stderr()).toContain('Nothing was removed: there is no terminal to ask at')
    expect(await containers()).toEqual(before)

    if (canAsk) {
      await using terminal = Terminal.start([process.execPath, BIN, 'prune'], {
        cwd: place.folder,
        environment: { OPTHUB_RUNNER_HOME: join(place.folder, 'home') },
      })
      await terminal.type('[y/N]', `n${KEYS.enter}`)
      expect(await terminal.ended()).toBe(0)
      expect(terminal.text).toContain('Nothing was removed.')
      expect(await containers()).toEqual(before)
    }

    const done = JSON.parse(await place.run(['prune', '--yes', '--json'])) as {
      items: { what: string; name: string; removed: boolean }[]
      freed_bytes: number
    }
    expect(done.items.map(({ what, removed }) => [what, removed])).toContainEqual(['pulled image', true])
    expect(done.items.every(({ removed }) => removed)).toBe(true)
    expect(done.freed_bytes).toBeGreaterThan(MIB)
    expect(await containers()).toEqual(['/somebody-elses'])
    expect(await tags()).toEqual(['somebody/elses:1'])
    expect(await place.run(['prune'])).toBe('Nothing to remove.\n')
    expect(JSON.parse(await place.run(['prune', '--json']))).toEqual({ items: [], freed_bytes: 0 })
  })
})
