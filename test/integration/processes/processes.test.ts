import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { currentProcessId, processState } from '../../../src/core/process-id.ts'
import { newPath, readEntry, writeEntry } from '../../../src/processes/folder.ts'
import { findProcess, listProcesses } from '../../../src/processes/list-processes.ts'
import { openProcess } from '../../../src/processes/open-process.ts'
import { parseRecord, type ProcessRecord } from '../../../src/processes/record.ts'
import { askToStop, untilEnded } from '../../../src/processes/stop-process.ts'
import { compileChild } from '../../support/compile-child.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const compiled = compileChild(join(import.meta.dirname, 'child.ts'), ['core', 'processes'])
afterAll(() => {
  compiled.remove()
})

let dataDir: string
const children: ChildProcess[] = []
const host = {
  pid: process.pid,
  hostname: hostname(),
  kill: (pid: number, signal: 'SIGTERM' | 0) => {
    process.kill(pid, signal)
  },
}
const never = new AbortController().signal
const wait = { host, clock: systemClock, signal: never }

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'opthub-processes-'))
})
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  await rm(dataDir, { recursive: true, force: true })
})

function open(name: string, more: Partial<Parameters<typeof openProcess>[0]> = {}) {
  const log = createLogger(() => undefined)
  return openProcess({ dataDir, name, kind: 'scorer', force: false, host, log, signal: never, ...more })
}

interface Child {
  process: ChildProcess
  /** Its first line. */
  said: Promise<string>
  tell(line: string): void
}

function launch(name: string, force = ''): Child {
  const child = spawn(process.execPath, [compiled.script, dataDir, name, force], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  children.push(child)
  let text = ''
  const said = new Promise<string>((done) => {
    child.stdout.on('data', (part: Buffer) => {
      text += part.toString()
      if (text.includes('\n')) done(text.trim())
    })
    child.once('exit', () => {
      done(text.trim())
    })
  })
  return { process: child, said, tell: (line) => child.stdin.write(`${line}\n`) }
}

async function files(): Promise<string[]> {
  return await readdir(join(dataDir, 'processes')).catch(() => [])
}

async function only() {
  const [found, ...more] = await listProcesses(dataDir, host)
  if (found === undefined || more.length > 0) throw new Error(`there are ${more.length} more`)
  return found
}

/** Writes what another process might have left. */
async function leave(name: string, record: Partial<ProcessRecord>): Promise<string> {
  const path = newPath(dataDir, name, record.pid ?? 1)
  const now = new Date().toISOString()
  await writeEntry(path, {
    name,
    kind: 'scorer',
    pid: 1,
    hostname: hostname(),
    startedAt: now,
    seenAt: now,
    state: 'polling',
    jobs: { done: 3, failed: 1, active: 2 },
    ...record,
  })
  return path
}

/** Lets time pass, as files are read, until the work has ended. */
async function throughTime<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  const end = { isReached: false }
  const ended = work.finally(() => {
    end.isReached = true
  })
  ended.catch(() => undefined)
  while (!end.isReached) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    await clock.advance(1000)
  }
  return await ended
}

async function ownId(): Promise<string[]> {
  return ((await currentProcessId()) ?? '').split(':')
}

const job = { kind: 'scorer' } as never

describe('a process', () => {
  test('is seen while it runs, and leaves nothing behind', async () => {
    const running = await open('one')
    const { record, liveness, path } = await only()
    expect(liveness).toBe('alive')
    expect(record).toMatchObject({ name: 'one', kind: 'scorer', pid: process.pid, state: 'starting' })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await stat(join(dataDir, 'processes'))).mode & 0o777).toBe(0o700)
    await running.close()
    expect(await files()).toEqual([])
    running.jobStarted()
    running.stopping('drain')
    await systemClock.sleep(50)
    expect(await files()).toEqual([])
  })

  test('shows live numbers, its state and its last error, without secrets', async () => {
    const seen: LogRecord[] = []
    const running = await open('one', { secrets: ['hunter2hunter2'] })
    const log = running.watch(createLogger((record) => seen.push(record)))
    running.stateChanged('polling')
    for (const outcome of ['succeeded', 'settled', 'failed', 'released', 'held', 'lost'] as const) {
      running.jobStarted()
      running.jobEnded(job, outcome)
    }
    running.jobStarted()
    log.child({ match: 'm' }).error('Match parked', { reason: 'the key hunter2hunter2 is wrong' })
    await expect
      .poll(async () => (await only()).record, { timeout: 5000 })
      .toMatchObject({
        state: 'polling',
        jobs: { done: 2, failed: 1, active: 1 },
        lastError: { message: 'Match parked: the key *** is wrong' },
      })
    expect(seen).toMatchObject([{ msg: 'Match parked', fields: { match: 'm' } }])
    running.stateChanged('paused', 'the engine is down')
    await expect.poll(async () => (await only()).record.reason, { timeout: 5000 }).toBe('the engine is down')
    running.stateChanged('polling')
    await expect.poll(async () => (await only()).record.reason, { timeout: 5000 }).toBeUndefined()
    expect((await only()).record.lastError?.message).toBe('the engine is down')
    await running.close()
  })

  test('writes at most once a second, and the last state in the end', async () => {
    const running = await open('one')
    const { path } = await only()
    const inodes = new Set<number>()
    const begin = Date.now()
    let jobs = 0
    while (Date.now() < begin + 1500) {
      running.jobStarted()
      running.jobEnded(job, 'succeeded')
      jobs += 1
      inodes.add((await stat(path)).ino)
      await systemClock.sleep(5)
    }
    // The file of the beginning, and one for each second that has begun.
    expect(inodes.size).toBeLessThanOrEqual(2 + (Date.now() - begin) / 1000)
    await expect.poll(async () => (await only()).record.jobs.done, { timeout: 5000 }).toBe(jobs)
    await running.close()
  })

  test.each([
    ['../../etc/passwd'],
    ['a/b\\c'],
    ['\ud800'],
    ['\u{1f600}'.repeat(60)],
    ['..'],
    ['A name with blanks'],
    ['x'.repeat(128)],
  ])('may have any name: %j', async (name) => {
    const running = await open(name)
    expect((await only()).record.name).toBe(name)
    await expect(open(name)).rejects.toThrow('is in use')
    await running.close()
    expect(await files()).toEqual([])
  })

  test('names that only differ in their case are two', async () => {
    const [a, b] = await Promise.all([open('name'), open('NAME')])
    expect(await listProcesses(dataDir, host)).toHaveLength(2)
    await Promise.all([a.close(), b.close()])
  })

  test('runs on where its folder can not be written', async () => {
    await writeFile(join(dataDir, 'processes'), 'in the way')
    const seen: LogRecord[] = []
    const running = await open('one', { log: createLogger((record) => seen.push(record)) })
    running.jobStarted()
    await running.close()
    expect(seen[0]?.msg).toContain('can be neither shown')
  })
})

describe('a name', () => {
  test('has one living owner', async () => {
    const child = launch('evaluator 1')
    expect(await child.said).toBe('open')
    const error = await open('evaluator 1').catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      what: 'The process name "evaluator 1" is in use',
      why: expect.stringContaining(`pid ${String(child.process.pid)}`) as string,
      hint: expect.stringContaining("opthub-runner stop 'evaluator 1'") as string,
      exitCode: 1,
    })
  })

  test('of a process that was killed is free at once', async () => {
    const child = launch('one')
    await child.said
    child.process.kill('SIGKILL')
    await once(child.process, 'exit')
    const seen: LogRecord[] = []
    const running = await open('one', { log: createLogger((record) => seen.push(record)) })
    expect(seen[0]?.msg).toBe('Took over the name of a process that is dead')
    expect((await only()).record.pid).toBe(process.pid)
    await running.close()
  })

  test('goes to exactly one of many that start at once, and to nobody twice', async () => {
    // Something stale lies there, too.
    await leave('one', { id: `${(await ownId()).slice(0, 2).join(':')}:1:1` })
    const starters = Array.from({ length: 6 }, () => launch('one'))
    const said = await Promise.all(starters.map((child) => child.said))
    expect(said.filter((text) => text === 'open')).toHaveLength(1)
    expect(said.filter((text) => text.includes('is in use'))).toHaveLength(5)
    expect(await files()).toHaveLength(1)
  })

  test('is handed over with force, after the jobs of its owner', async () => {
    const child = launch('one')
    await child.said
    child.tell('start')
    await expect.poll(async () => (await only()).record.jobs.active, { timeout: 5000 }).toBe(1)
    let opened = false
    const opening = open('one', { force: true }).then((running) => {
      opened = true
      return running
    })
    await expect.poll(async () => (await only()).record.stopping, { timeout: 5000 }).toBe('drain')
    await systemClock.sleep(300)
    expect(opened).toBe(false)
    child.tell('end')
    const running = await opening
    expect((await only()).record.pid).toBe(process.pid)
    await running.close()
  })

  test('the waiting for it ends with the signal', async () => {
    const child = launch('one')
    await child.said
    child.tell('start')
    await expect.poll(async () => (await only()).record.jobs.active, { timeout: 5000 }).toBe(1)
    const stop = new AbortController()
    const opening = open('one', { force: true, signal: stop.signal })
    await expect.poll(async () => (await only()).record.stopping, { timeout: 5000 }).toBe('drain')
    const why = new Error('Ctrl-C')
    stop.abort(why)
    await expect(opening).rejects.toBe(why)
  })
})

describe('who lives', () => {
  test('a recycled pid is not taken for its old owner', async () => {
    const [boot = '', namespace = '', pid = '', start = ''] = await ownId()
    expect(await processState([boot, namespace, pid, start].join(':'))).toBe('alive')
    expect(await processState([boot, namespace, pid, String(Number(start) + 1)].join(':'))).toBe('dead')
    expect(await processState([boot, namespace, '0', start].join(':'))).toBe('dead')
    expect(await processState([boot, namespace, '../1', start].join(':'))).toBe('dead')
    expect(await processState(['other', namespace, pid, start].join(':'))).toBe('unknown')
    expect(await processState('')).toBe('unknown')
    await leave('one', { pid: process.pid, id: [boot, namespace, pid, '1'].join(':') })
    const { record, liveness } = await only()
    expect(liveness).toBe('dead')
    await askToStop({ record, path: '/nonexistent' }, 'drain', wait)
    expect(await files()).toEqual([])
  })

  test('what an earlier boot of this machine has left is dead, however fresh it looks', async () => {
    const [, ...rest] = await ownId()
    await leave('one', { id: ['another-boot', ...rest].join(':') })
    expect((await only()).liveness).toBe('dead')
  })

  test('another machine or container is judged by its signs of life, and not reached', async () => {
    const [boot = '', , ...rest] = await ownId()
    const container = { id: [boot, '1', ...rest].join(':'), hostname: 'c0ffee' }
    const path = await leave('one', container)
    expect((await only()).liveness).toBe('elsewhere')
    await expect(askToStop(await only(), 'drain', wait)).rejects.toThrow('runs elsewhere')
    await rm(path)
    await leave('one', { ...container, seenAt: new Date(Date.now() - 120_000).toISOString() })
    const running = await open('one')
    expect((await only()).record.pid).toBe(process.pid)
    await running.close()
  })

  test.each([false, true])(
    'one that gives no sign of life gives up its name in a minute, one that does keeps it (force: %s)',
    async (force) => {
      const [boot = '', , ...rest] = await ownId()
      const clock = new ManualClock()
      const container = { id: [boot, '1', ...rest].join(':'), seenAt: clock.date().toISOString() }
      await leave('killed', container)
      const seen: LogRecord[] = []
      const log = createLogger((record) => seen.push(record))
      const running = await throughTime(clock, open('killed', { force, clock, log }))
      expect(clock.now()).toBeGreaterThan(60_000)
      expect(seen.map(({ msg }) => msg)).toEqual([
        'Waiting whether the process that has this name still lives: it ran in a container or on a machine of its own',
        'Took over the name of a process that is dead',
      ])
      await running.close()
      const path = await leave('lives', { ...container, seenAt: clock.date().toISOString() })
      const opening = open('lives', { force, clock, log })
      await expect.poll(() => seen.length).toBe(3)
      const { record } = (await readEntry(path)) ?? {}
      if (record !== undefined) await writeEntry(path, { ...record, seenAt: new Date().toISOString() })
      await expect(throughTime(clock, opening)).rejects.toMatchObject({
        what: 'The process "lives" runs elsewhere',
      })
    },
  )

  test('where the system has no process ids, by its pid and its signs of life', async () => {
    const { judge } = await import('../../../src/processes/liveness.ts')
    const text = JSON.stringify((await leaveless()).record)
    const record = parseRecord(text)
    // On this machine, which has ids, one without can only come from elsewhere.
    expect(record && (await judge(record, host, new Date()))).toBe('elsewhere')
    expect(record && (await judge(record, host, new Date(Date.now() + 61_000)))).toBe('dead')
  })
})

async function leaveless() {
  await leave('none', {})
  return only()
}

describe('stopping', () => {
  test('lets jobs end, and asking twice is asking once', async () => {
    const child = launch('one')
    await child.said
    child.tell('start')
    await expect.poll(async () => (await only()).record.jobs.active, { timeout: 5000 }).toBe(1)
    const entry = await only()
    await askToStop(entry, 'drain', wait)
    await expect.poll(async () => (await only()).record.stopping, { timeout: 5000 }).toBe('drain')
    await askToStop(entry, 'drain', wait)
    await systemClock.sleep(200)
    expect((await only()).record.stopping).toBe('drain')
    child.tell('end')
    await untilEnded(entry, wait)
    expect(await files()).toEqual([])
  })

  test('by force ends them, whether it was asked before or not', async () => {
    for (const before of [false, true]) {
      const child = launch('one')
      await child.said
      child.tell('start')
      await expect.poll(async () => (await only()).record.jobs.active, { timeout: 5000 }).toBe(1)
      const entry = await only()
      if (before) {
        await askToStop(entry, 'drain', wait)
        await expect.poll(async () => (await only()).record.stopping, { timeout: 5000 }).toBe('drain')
      }
      await askToStop(entry, 'abort', wait)
      await untilEnded(entry, wait)
      if (child.process.exitCode === null) await once(child.process, 'exit')
      expect(child.process.exitCode).toBe(0)
    }
  })

  test('one that is stuck is told so', async () => {
    const child = launch('one')
    await child.said
    child.process.kill('SIGSTOP')
    let now = 0
    const clock = { ...systemClock, now: () => (now += 10_000), sleep: () => Promise.resolve() }
    await expect(askToStop(await only(), 'abort', { ...wait, clock })).rejects.toMatchObject({
      what: 'The process "one" does not react',
      hint: expect.stringContaining(`kill -9 ${String(child.process.pid)}`) as string,
    })
  })

  test('another user may not', async () => {
    const child = launch('one')
    await child.said
    const kill = (): never => {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' })
    }
    await expect(
      askToStop(await only(), 'drain', { ...wait, host: { ...host, kill } }),
    ).rejects.toMatchObject({ why: `pid ${String(child.process.pid)} belongs to another user` })
  })

  test('a name that nobody has is answered with the nearest', async () => {
    const running = await open('evaluator-1')
    await expect(findProcess(dataDir, host, 'evaluatr-1')).rejects.toMatchObject({
      what: 'There is no process named "evaluatr-1"',
      hint: expect.stringContaining('Did you mean "evaluator-1"?') as string,
    })
    await running.close()
    await expect(findProcess(dataDir, host, 'x')).rejects.toMatchObject({
      why: 'no runner of this data folder runs',
    })
  })
})

describe('the folder', () => {
  test('keeps foreign files, drops torn ones of ours and old temporary ones', async () => {
    const folder = join(dataDir, 'processes')
    await mkdir(folder)
    const torn = newPath(dataDir, 'torn', 1)
    await writeFile(torn, '{"name": "to')
    await writeFile(newPath(dataDir, 'huge', 1), 'x'.repeat(200_000))
    await writeFile(newPath(dataDir, 'odd', 1), '[1]')
    await writeFile(newPath(dataDir, 'odd', 1), '{"name": 1, "pid": "x"}')
    await writeFile(join(folder, 'notes.json'), '{}')
    await writeFile(join(folder, '.0123456789ab.tmp'), '')
    await utimes(join(folder, '.0123456789ab.tmp'), 1, 1)
    await writeFile(join(folder, '.ba9876543210.tmp'), '')
    expect(await listProcesses(dataDir, host)).toEqual([])
    expect((await files()).sort()).toEqual(['.ba9876543210.tmp', 'notes.json'])
  })

  test('that is not there is empty', async () => {
    expect(await listProcesses(join(dataDir, 'nowhere'), host)).toEqual([])
  })

  test('a record of a later version is read as far as it can be', async () => {
    const running = await open('one')
    const { path } = await only()
    const later = {
      ...(JSON.parse(await readFile(path, 'utf8')) as object),
      state: 'dancing',
      jobs: 5,
      extra: {},
    }
    expect(parseRecord(JSON.stringify(later))).toMatchObject({
      state: 'starting',
      jobs: { done: 0, failed: 0, active: 0 },
    })
    await running.close()
  })
})
