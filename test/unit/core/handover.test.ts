import { describe, expect, it } from 'vitest'
import { LeaseLostError, StoppedError } from '../../../src/core/errors.ts'
import type { Handler, JobContext, WriteOutcome } from '../../../src/core/kind.ts'
import type { LeaseRecords } from '../../../src/core/lease-record.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import type { JobOutcome } from '../../../src/core/observer.ts'
import { runWorker } from '../../../src/core/worker.ts'
import type { Delivery, Queue } from '../../../src/queues/queue.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { MemoryLeaseRecords } from '../../support/memory-lease-records.ts'
import { MemoryQueue } from '../../support/memory-queue.ts'

const HOUR = 3600_000

/** One queue, one table, and runners that may die. */
class World {
  readonly clock = new ManualClock()
  readonly queue = new MemoryQueue(this.clock, 60_000, 20_000)
  readonly leases = new MemoryLeaseRecords()
  /** Results, and by which runner. */
  readonly results: string[] = []
  /** Milliseconds that the job takes from its start to its end. */
  jobMs = 36 * HOUR

  runner(name: string, slots = 1): Runner {
    return new Runner(this, name, slots)
  }

  save(by: string, job: JobContext): WriteOutcome {
    if (this.results.length > 0) return 'exists'
    if (job.fence === undefined || !this.leases.pass(job.fence)) throw new LeaseLostError('fenced')
    this.results.push(by)
    return 'written'
  }
}

class Runner {
  readonly name: string
  readonly records: LogRecord[] = []
  readonly outcomes: JobOutcome[] = []
  readonly drain = new AbortController()
  readonly abort = new AbortController()
  readonly ended: Promise<void>
  running = 0
  starts = 0
  isDead = false
  readonly #world: World

  constructor(world: World, name: string, slots: number) {
    this.#world = world
    this.name = name
    const { clock } = world
    this.ended = runWorker({
      kind: { name: 'test', parseMessage: (body) => body, handler: this.#handler() },
      queue: this.#queue(),
      probes: {},
      concurrency: slots,
      num: 0,
      drainQueue: false,
      intervalMs: 2000,
      visibilitySeconds: 60,
      heartbeatMs: 20_000,
      maxReceiveCount: 10,
      handover: { records: this.#mortal(world.leases), afterMs: 11.5 * HOUR },
      maxHeld: 100,
      drain: this.drain.signal,
      abort: this.abort.signal,
      clock,
      log: createLogger((record) => this.records.push(record), 'DEBUG'),
      observer: {
        jobStarted: () => undefined,
        jobEnded: (_job, outcome) => this.outcomes.push(outcome),
        stateChanged: () => undefined,
      },
    }).catch((error: unknown) => {
      if (!(error instanceof StoppedError)) throw error
    })
  }

  /** As kill -9: nothing that it asks for has an effect any more. */
  kill(): void {
    this.isDead = true
  }

  #handler(): Handler<string, string, string> {
    const world = this.#world
    return {
      identify: (payload) => ({ id: payload, shortId: payload, fields: {} }),
      prepare: (payload) => Promise.resolve(world.results.length > 0 ? 'settled' : payload),
      run: async (_payload, _input, job) => {
        this.running += 1
        this.starts += 1
        try {
          await world.clock.sleep(world.jobMs, job.signal)
          return 'ok'
        } finally {
          this.running -= 1
        }
      },
      saveSuccess: async (_payload, _result, job) => {
        await this.#live()
        return world.save(this.name, job)
      },
      saveFailure: () => Promise.reject(new Error('no job fails here')),
    }
  }

  #queue(): Queue {
    const { queue } = this.#world
    return {
      probe: () => queue.probe(),
      redrive: () => queue.redrive(),
      send: (body) => queue.send(body),
      close: () => undefined,
      receive: async (max, signal) => {
        await this.#live()
        const deliveries = await queue.receive(max, signal)
        await this.#live()
        return deliveries.map((delivery) => this.#mortal(delivery))
      },
    }
  }

  #live(): Promise<void> {
    return this.isDead ? new Promise(() => undefined) : Promise.resolve()
  }

  /** The same object, whose methods never answer once the runner is dead. */
  #mortal<T extends LeaseRecords | Delivery>(target: T): T {
    return new Proxy(target, {
      get: (object, name) => {
        const value: unknown = Reflect.get(object, name)
        if (typeof value !== 'function') return value
        return async (...args: unknown[]): Promise<unknown> => {
          await this.#live()
          return await (value.apply(object, args) as Promise<unknown>)
        }
      },
    })
  }
}

describe('a job that outlasts its message', () => {
  it('is recorded once, with its message replaced by a copy before SQS takes it away', async () => {
    const world = new World()
    const a = world.runner('a')
    await world.queue.send('long')
    await world.clock.advance(37 * HOUR)
    expect(world.results).toEqual(['a'])
    expect(a.starts).toBe(1)
    expect(world.leases.records.size).toBe(0)
    expect(world.queue.left()).toEqual([])
    const copy = world.queue.log.indexOf('copy m1 1')
    expect(copy).toBeGreaterThan(0)
    expect(world.queue.log.indexOf('ack m1')).toBeGreaterThan(copy)
    a.drain.abort(new StoppedError('test'))
    await world.clock.advance(60_000)
    await a.ended
  })

  it('is watched by others without a slot, and started by nobody else while its owner lives', async () => {
    const world = new World()
    const a = world.runner('a')
    await world.queue.send('long')
    await world.clock.advance(HOUR)
    const b = world.runner('b')
    await world.clock.advance(36 * HOUR)
    expect(world.results).toEqual(['a'])
    expect([a.starts, b.starts]).toEqual([1, 0])
    expect(world.queue.left()).toEqual([])
  })

  it('is taken over within about two minutes when its owner is killed, and again', async () => {
    const world = new World()
    const a = world.runner('a')
    await world.queue.send('long')
    await world.clock.advance(HOUR)
    const b = world.runner('b')
    await world.clock.advance(14 * HOUR)
    a.kill()
    await world.clock.advance(130_000)
    expect(b.running).toBe(1)
    const c = world.runner('c')
    await world.clock.advance(13 * HOUR)
    b.kill()
    await world.clock.advance(130_000)
    expect(c.running).toBe(1)
    await world.clock.advance(37 * HOUR)
    expect(world.results).toEqual(['c'])
    expect(world.leases.records.size).toBe(0)
    expect(world.queue.left()).toEqual([])
  })

  it('is killed at its owner when that one was cut off, and recorded by the heir alone', async () => {
    const world = new World()
    const a = world.runner('a')
    await world.queue.send('long')
    await world.clock.advance(HOUR)
    world.runner('b')
    await world.clock.advance(12 * HOUR)
    a.kill()
    await world.clock.advance(60_000)
    expect(a.running).toBe(0)
    a.isDead = false
    await world.clock.advance(37 * HOUR)
    expect(world.results).toEqual(['b'])
    expect(world.queue.left()).toEqual([])
  })

  it('goes on elsewhere when its owner is told to stop', async () => {
    const world = new World()
    const a = world.runner('a')
    await world.queue.send('long')
    await world.clock.advance(HOUR)
    const b = world.runner('b')
    await world.clock.advance(12 * HOUR)
    a.drain.abort(new StoppedError('stop'))
    a.abort.abort(new StoppedError('stop'))
    await world.clock.advance(130_000)
    await a.ended
    expect(b.running).toBe(1)
    await world.clock.advance(37 * HOUR)
    expect(world.results).toEqual(['b'])
  })

  it('gives a watched message back on a drain', async () => {
    const world = new World()
    world.runner('a')
    await world.queue.send('long')
    await world.clock.advance(HOUR)
    const b = world.runner('b')
    await world.clock.advance(11 * HOUR)
    b.drain.abort(new StoppedError('stop'))
    await world.clock.advance(60_000)
    await b.ended
    expect(world.queue.log.at(-1)).toMatch(/^release|^extend/)
    await world.clock.advance(30 * HOUR)
    expect(world.results).toEqual(['a'])
    expect(world.queue.left()).toEqual([])
  })

  it('is not recorded by a runner that got a doubled message and knows of no record', async () => {
    const world = new World()
    world.jobMs = 20 * HOUR
    const a = world.runner('a')
    await world.queue.send('long')
    await world.clock.advance(14 * HOUR)
    const b = world.runner('b', 2)
    world.jobMs = 60_000
    await world.queue.send('long')
    await world.clock.advance(HOUR)
    expect(b.starts).toBe(1)
    expect(world.results).toEqual([])
    await world.clock.advance(8 * HOUR)
    expect(world.results).toEqual(['a'])
    expect(a.starts).toBe(1)
    expect(world.queue.left()).toEqual([])
  })
})
