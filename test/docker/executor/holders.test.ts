import { readlinkSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { RetryableError } from '../../../src/core/errors.ts'
import { connectEngine } from '../../../src/executors/docker/api/connect.ts'
import { Engine, type RequestOptions } from '../../../src/executors/docker/api/engine.ts'
import type { Task } from '../../../src/executors/executor.ts'
import { canStartPrivateEngine, startPrivateEngine, type PrivateEngine } from '../../support/engine.ts'
import { buildPythonImage, buildShellImage, hasPython } from '../../support/images.ts'
import { MIB, remove, setUp, text, type Bench } from './harness.ts'

const IMAGE = 'opthub-runner-test/shell:1'
const PYTHON = 'opthub-runner-test/python-sockets:1'
const NAMESPACE = 'ls -l /proc/self/ns/net'
const canUsePython = await hasPython()
const never = new AbortController().signal

// In an engine of its own: its network sets the pace, and the engine is restarted.
describe.skipIf(!canStartPrivateEngine())('networks that are set up ahead', () => {
  let own: PrivateEngine
  let engine: MeddledEngine
  let bench: Bench

  beforeAll(async () => {
    own = await startPrivateEngine()
    engine = new MeddledEngine({ socketPath: own.socketPath })
    await buildShellImage(engine, IMAGE, 'cat')
  })
  beforeEach(() => {
    bench = setUp(engine, IMAGE, {})
    return async () => {
      await bench.executor.close()
      engine = new MeddledEngine({ socketPath: own.socketPath })
    }
  })
  afterAll(async () => {
    engine.close()
    await own[Symbol.asyncDispose]()
  })

  /** Runs a job, and waits until a network is ready for the next one. */
  async function withHolder(): Promise<string> {
    await bench.run('true')
    return await readyHolder()
  }
  async function readyHolder(): Promise<string> {
    await expect.poll(() => namespaceOfHolder(), { timeout: 20_000 }).toMatch(/net:\[\d+\]/)
    return await namespaceOfHolder()
  }
  /** That of the only holder, once a job could have it. */
  async function namespaceOfHolder(): Promise<string> {
    const [holder, another] = await bench.holders()
    if (holder === undefined || another !== undefined) return 'none'
    // A moment for what looks at it after its start.
    await delay(200)
    return await namespaceOfContainer(holder.Id).catch(() => 'none')
  }
  async function namespaceOfContainer(id: string): Promise<string> {
    const { State } = (await engine.json('GET', `/containers/${id}/json`)) as Inspected
    return readlinkSync(`/proc/${State.Pid}/ns/net`)
  }
  async function namespaceOfJob(): Promise<string> {
    return netOf(text((await bench.run(NAMESPACE)).lastLine.bytes))
  }

  async function holderIds(): Promise<string[]> {
    return (await bench.holders()).map(({ Id }) => Id)
  }
  /** Resolves when others have taken the place of these. (The kernel gives a network's number to a later one.) */
  async function gone(old: readonly string[]): Promise<void> {
    const remaining = async (): Promise<boolean> => (await holderIds()).some((id) => old.includes(id))
    await expect.poll(remaining, { timeout: 20_000 }).toBe(false)
    await expect.poll(holderIds, { timeout: 20_000 }).not.toEqual([])
  }

  it('serve one job after the other', async () => {
    const held = await withHolder()
    for (let n = 0; n < 5; n += 1) expect(await namespaceOfJob()).toBe(held)
    expect(await bench.holders()).toHaveLength(1)
  })

  it('are never shared by two at once', async () => {
    await withHolder()
    const tasks = await Promise.all(
      [1, 2, 3].map(() => bench.executor.start(bench.spec(`${NAMESPACE}; cat`), never)),
    )
    const seen = await Promise.all(tasks.map(firstLine))
    expect(new Set(seen.map(netOf)).size).toBe(3)
    for (const task of tasks) await task[Symbol.asyncDispose]()
    await expect.poll(() => bench.holders(), { timeout: 30_000 }).toHaveLength(3)
    await delay(300)
    const again = await Promise.all([1, 2, 3].map(() => namespaceOfJob()))
    const held = await Promise.all((await bench.holders()).map(({ Id }) => namespaceOfContainer(Id)))
    expect(again.toSorted()).toEqual(held.toSorted())
  })

  it('are made by the tasks themselves where many start at a time, and serve the next ones', async () => {
    const count = availableParallelism() + 3
    const tasks = await Promise.all(
      Array.from({ length: count }, () => bench.executor.start(bench.spec(`${NAMESPACE}; cat`), never)),
    )
    const used = (await Promise.all(tasks.map(firstLine))).map(netOf)
    const held = await Promise.all((await bench.holders()).map(({ Id }) => namespaceOfContainer(Id)))
    for (const task of tasks) await task[Symbol.asyncDispose]()
    expect(new Set(used).size).toBe(count)
    // Those that found a place at once have networks of their own.
    expect(used.filter((each) => held.includes(each)).length).toBeGreaterThanOrEqual(3)
  })

  it('are not left behind by a task that was given up while it made one', async () => {
    const stop = new AbortController()
    const count = availableParallelism() + 3
    const starts = Array.from({ length: count }, () => bench.executor.start(bench.spec('cat'), stop.signal))
    await expect.poll(() => bench.holders(), { interval: 5, timeout: 20_000 }).not.toEqual([])
    stop.abort(new Error('given up'))
    const outcomes = await Promise.allSettled(starts)
    expect(outcomes.some(({ status }) => status === 'rejected')).toBe(true)
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') await outcome.value[Symbol.asyncDispose]()
    }
    await bench.executor.close()
    expect(await bench.holders()).toEqual([])
    expect(await bench.containers()).toEqual([])
  })

  it('are not given to tasks of other rights, nor to those that are kept', async () => {
    const held = await withHolder()
    const inside = async (spec: Parameters<Bench['spec']>[1]): Promise<string> =>
      netOf(text((await bench.run(NAMESPACE, { spec: spec ?? {} })).lastLine.bytes))
    expect(await inside({ limits: { network: 'none' } })).not.toBe(held)
    expect(await inside({ limits: { runtime: 'runc' } })).not.toBe(held)
    expect(await inside({ keep: true })).not.toBe(held)
    for (const { Id } of await bench.containers()) await remove(engine, Id)
    expect(await inside({ limits: { memoryBytes: 64 * MIB, user: '65534' } })).toBe(held)
  })

  it('take images that expose ports, too', async () => {
    const image = 'opthub-runner-test/exposing:1'
    await buildShellImage(engine, image, 'cat', { changes: ['EXPOSE 80'] })
    const held = await withHolder()
    await using task = await bench.executor.start(bench.spec(NAMESPACE, { image }), never)
    expect(netOf(await firstLine(task))).toBe(held)
  })

  it.skipIf(!canUsePython)('are thrown away when a connection lingers in them', async () => {
    await buildPythonImage(engine, PYTHON, PYTHON_SOCKETS)
    const spec = { image: PYTHON, command: ['/usr/bin/python3', '/app/main.py'] }
    const held = await withHolder()
    const old = await holderIds()
    const first = text((await bench.run('', { spec })).lastLine.bytes)
    // In its own network its port can't be bound any more …
    expect(first).toBe(`${held} bound, then in use`)
    // … and the next job has another network, where it can.
    const second = text((await bench.run('', { spec })).lastLine.bytes)
    expect(second).toMatch(/bound, then in use$/)
    await gone(old)
  })

  it.each(['echo 1.2.3.4 liar >> /etc/hosts', 'echo > /etc/resolv.conf', 'chmod 600 /etc/hosts'])(
    'are thrown away when a job has changed what the next one would see: %s',
    async (script) => {
      const held = await withHolder()
      const old = await holderIds()
      expect(await namespaceOfJob()).toBe(held)
      expect(await holderIds()).toEqual(old)
      await bench.run(script)
      const seen = await bench.run('cat /etc/hosts >&2; ls -l /etc/hosts /etc/resolv.conf >&2')
      expect(text(seen.stderrTail)).not.toContain('liar')
      expect(text(seen.stderrTail)).not.toContain('-rw-------')
      expect(text(seen.stderrTail)).toContain('localhost')
      await gone(old)
    },
  )

  it('fail the surroundings, not the job, when they die under it', async () => {
    const held = await withHolder()
    await using task = await bench.executor.start(bench.spec(`${NAMESPACE}; cat; exit 3`), never)
    expect(netOf(await firstLine(task))).toBe(held)
    for (const { Id } of await bench.holders()) await remove(engine, Id)
    await task.send(new Uint8Array())
    await expect(task.wait()).rejects.toThrow(RetryableError)
  })

  it.each(['kill', 'stop', 'remove'])('are replaced after a docker %s by hand', async (how) => {
    await withHolder()
    const old = await holderIds()
    for (const Id of old) {
      if (how === 'remove') await remove(engine, Id)
      else await engine.json('POST', `/containers/${Id}/${how}`)
    }
    expect(await namespaceOfJob()).not.toBe('none')
    await gone(old)
    const next = await readyHolder()
    expect(await namespaceOfJob()).toBe(next)
  })

  it.each(['create', 'start'])('may die just before the %s: the same attempt goes on', async (step) => {
    await withHolder()
    const [holder] = await bench.holders()
    let meddled = 0
    engine.before = async (path) => {
      if (!path.endsWith(`/${step}`) || meddled > 0) return
      meddled += 1
      await remove(engine, holder?.Id ?? '')
    }
    expect(await namespaceOfJob()).not.toBe('none')
    expect(meddled).toBe(1)
    expect(bench.records.filter(({ level }) => level !== 'DEBUG')).toEqual([])
    expect(await bench.left()).toEqual([])
  })

  it('come back after a restart of the engine, and the old ones go', async () => {
    await withHolder()
    const old = await holderIds()
    await own.stop()
    await own.restart()
    expect((await bench.run('echo up')).verdict).toBe('exited')
    await gone(old)
    await readyHolder()
    expect(await namespaceOfJob()).toBe(await namespaceOfHolder())
  })

  it('and everything else are gone after a close, however many jobs there were', async () => {
    const before = await folders()
    const lanes = Array.from({ length: 4 }, async (_lane, lane) => {
      for (let n = 0; n < 25; n += 1) {
        const limits = lane === 0 ? ({ network: 'none' } as const) : {}
        const { exitCode } = await bench.run('exit 4', { spec: { limits } })
        expect(exitCode).toBe(4)
      }
    })
    await Promise.all(lanes)
    expect((await bench.holders()).length).toBeGreaterThan(0)
    await bench.executor.close()
    const after = await connectEngine({ host: own.host, environment: {} })
    const look = setUp(after, IMAGE)
    expect(await after.json('GET', '/containers/json', { query: { all: '1' } })).toEqual([])
    expect(await folders()).toEqual(before)
    await look.close()
  })
})

/** An engine whose requests somebody may come before. */
class MeddledEngine extends Engine {
  before: (path: string) => Promise<void> = () => Promise.resolve()

  override async json(method: string, path: string, options?: RequestOptions): Promise<unknown> {
    if (method === 'POST') await this.before(path)
    return await super.json(method, path, options)
  }
}

interface Inspected {
  State: { Pid: number }
}

/** Prints the network that it is in, then whether a port can be bound, and once more after a connection to it. */
const PYTHON_SOCKETS = `
import os, socket
def listen():
    s = socket.socket()
    s.bind(('127.0.0.1', 5555))
    s.listen()
    return s
try:
    server = listen()
    client = socket.create_connection(('127.0.0.1', 5555))
    peer, _ = server.accept()
    peer.close()
    client.recv(1)
    client.close()
    server.close()
    try:
        listen()
        print(os.readlink('/proc/self/ns/net'), 'bound, then bound')
    except OSError:
        print(os.readlink('/proc/self/ns/net'), 'bound, then in use')
except OSError as e:
    print(os.readlink('/proc/self/ns/net'), 'not bound', e)
`

async function firstLine(task: Task): Promise<string> {
  let line = ''
  for await (const { data } of task.output()) {
    line += text(data)
    if (line.includes('\n')) break
  }
  return line
}

function netOf(line: string): string {
  return /net:\[\d+\]/.exec(line)?.[0] ?? 'none'
}

/** This process's own folders for the engine; others may run. */
async function folders(): Promise<string[]> {
  const own = new RegExp(`^opthub-runner-hosts-.*_${process.pid}_`)
  return (await readdir(tmpdir())).filter((name) => own.test(name))
}
