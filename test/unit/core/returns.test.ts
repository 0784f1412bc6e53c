import { afterEach, describe, expect, it } from 'vitest'
import { NotYetError, RetryableError, UnfitError } from '../../../src/core/errors.ts'
import type { Handler, JobContext, WriteOutcome } from '../../../src/core/kind.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import type { JobOutcome } from '../../../src/core/observer.ts'
import { runWorker, type WorkerOptions } from '../../../src/core/worker.ts'
import { SendDeniedError, type Delivery, type Queue } from '../../../src/queues/queue.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { MemoryQueue } from '../../support/memory-queue.ts'

type Redrive = Awaited<ReturnType<Queue['redrive']>>

/** A queue whose redrive policy and sending can be chosen, and which counts receives. */
class StrictQueue extends MemoryQueue {
  policy: Redrive = { maxReceiveCount: 10 }
  /** Thrown by `sendCopy`, the first one first; the last one for good when it is denied. */
  readonly sendErrors: Error[] = []
  isFifo = false
  /** Receipts that are refused from the delete on. */
  failDeletes = 0

  override redrive(): Promise<never> {
    return Promise.resolve(this.policy as never)
  }

  override async receive(max: number, signal: AbortSignal): Promise<Delivery[]> {
    return (await super.receive(max, signal)).map((delivery) => this.#front(delivery))
  }

  #front(delivery: Delivery): Delivery {
    const { sendCopy, ...rest } = delivery
    return {
      ...rest,
      ack: async () => {
        if (this.failDeletes > 0) {
          this.failDeletes -= 1
          throw new RetryableError('queue', 'the delete was lost')
        }
        await delivery.ack()
      },
      ...(!this.isFifo && {
        sendCopy: async (copy) => {
          const error = this.sendErrors.shift()
          if (error instanceof SendDeniedError) this.sendErrors.push(error)
          if (error !== undefined) throw error
          await sendCopy?.(copy)
        },
      }),
    }
  }

  /** The most receives that any message has had. */
  mostReceived(): number {
    return Math.max(...this.messages.map(({ received }) => received))
  }
}

class Bench {
  readonly clock = new ManualClock()
  readonly queue = new StrictQueue(this.clock)
  readonly stored = new Map<string, string>()
  readonly outcomes: JobOutcome[] = []
  readonly records: LogRecord[] = []
  readonly drain = new AbortController()
  readonly abort = new AbortController()
  /** Why jobs whose body begins with "big" don't run here. */
  lack: Error | undefined = new UnfitError('the job needs more than this machine has: 3 GPUs (there are 2)')
  runs = 0

  handler(): Handler<string, string, string> {
    return {
      identify: (payload) => ({ id: payload, shortId: payload, fields: {} }),
      prepare: (payload) => Promise.resolve(this.stored.has(payload) ? 'settled' : payload),
      run: (payload: string, _input: string, job: JobContext) => {
        if (payload.startsWith('big') && this.lack !== undefined) return Promise.reject(this.lack)
        this.runs += 1
        job.timeline.markStarted()
        return Promise.resolve('done')
      },
      saveSuccess: (payload, result): Promise<WriteOutcome> => {
        if (this.stored.has(payload)) return Promise.resolve('exists')
        this.stored.set(payload, result)
        return Promise.resolve('written')
      },
      saveFailure: (payload) => {
        this.stored.set(payload, 'failed')
        return Promise.resolve('written')
      },
    }
  }

  start(more: Partial<WorkerOptions<string, string, string>> = {}): Promise<unknown> {
    return runWorker({
      kind: { name: 'test', parseMessage: (body) => body, handler: this.handler() },
      queue: this.queue,
      probes: {},
      concurrency: 2,
      num: 0,
      drainQueue: false,
      intervalMs: 100,
      visibilitySeconds: 60,
      heartbeatMs: 20_000,
      maxReceiveCount: 10,
      maxHeld: 100,
      drain: this.drain.signal,
      abort: this.abort.signal,
      clock: this.clock,
      log: createLogger((record) => this.records.push(record), 'DEBUG'),
      observer: {
        jobStarted: () => undefined,
        jobEnded: (_job, outcome) => this.outcomes.push(outcome),
        stateChanged: () => undefined,
      },
      ...more,
    }).catch((error: unknown) => error)
  }

  said(msg: string | RegExp): LogRecord[] {
    return this.records.filter((record) => record.msg.match(msg) !== null)
  }
}

let bench: Bench
let running: Promise<unknown> | undefined
afterEach(async () => {
  bench.drain.abort()
  bench.abort.abort()
  await bench.clock.advance(1_000_000)
  await running
})

async function workFor(minutes: number, more: Partial<WorkerOptions<string, string, string>> = {}) {
  running ??= bench.start(more)
  for (let n = 0; n < minutes; n += 1) await bench.clock.advance(60_000)
}

function open(policy: Redrive): Bench {
  bench = new Bench()
  running = undefined
  bench.queue.policy = policy
  return bench
}

describe('a job that this machine can not run', () => {
  it('never comes near the dead-letter queue, is never failed, and is said once', async () => {
    const { queue, stored } = open({ maxReceiveCount: 4 })
    await queue.send('big')
    await workFor(90)
    expect(queue.left()).toEqual(['big'])
    expect(queue.mostReceived()).toBeLessThanOrEqual(2)
    expect(queue.messages.length).toBeGreaterThan(5)
    expect(stored.size).toBe(0)
    const words = bench.said(/can not run the job/)
    expect(words).toHaveLength(1)
    expect(JSON.stringify(words[0])).toContain('3 GPUs (there are 2)')
    expect(bench.outcomes.every((outcome) => outcome === 'released')).toBe(true)
    expect(bench.said(/Paused/)).toEqual([])
  })

  it('is only released where nothing is dead-lettered', async () => {
    const { queue } = open('none')
    await queue.send('big')
    await workFor(90)
    expect(queue.messages).toHaveLength(1)
    expect(queue.log.filter((line) => line.startsWith('copy'))).toEqual([])
    expect(queue.log.filter((line) => line.startsWith('release')).length).toBeGreaterThan(5)
  })

  it('becomes a copy at once where nobody says how many receives there are', async () => {
    const { queue } = open('unknown')
    await queue.send('big')
    await workFor(3)
    expect(queue.messages.every(({ received }) => received <= 1)).toBe(true)
    expect(queue.log.filter((line) => line.startsWith('copy')).length).toBeGreaterThan(0)
  })

  it('is sent before it is deleted, and keeps its delay', async () => {
    const { queue } = open({ maxReceiveCount: 1 })
    await queue.send('big')
    await workFor(0)
    await bench.clock.advance(5000)
    expect(queue.log).toEqual(['copy m1 0', 'ack m1'])
    expect(queue.messages[1]?.received).toBe(0)
    await bench.clock.advance(60_000)
    expect(queue.messages[1]?.received).toBe(1)
  })

  it('runs on a runner that it fits, once', async () => {
    const { queue, stored } = open({ maxReceiveCount: 2 })
    await queue.send('big')
    await workFor(30)
    expect(stored.size).toBe(0)
    bench.lack = undefined
    await workFor(15)
    expect(stored.get('big')).toBe('done')
    expect(bench.runs).toBe(1)
    expect(queue.left()).toEqual([])
  })

  it('runs once though a crash has left the copy and the original', async () => {
    const { queue, stored } = open({ maxReceiveCount: 1 })
    await queue.send('big')
    // As a process that dies between the two: the copy is there, the original is not deleted.
    queue.failDeletes = 6
    await workFor(2)
    expect(queue.left()).toEqual(['big', 'big'])
    bench.lack = undefined
    await workFor(15)
    expect(queue.left()).toEqual([])
    expect(stored.get('big')).toBe('done')
    expect(bench.runs).toBe(1)
  })

  it('leaves the other jobs alone', async () => {
    const { queue, stored } = open({ maxReceiveCount: 2 })
    for (const body of ['big-1', 'a', 'big-2', 'b', 'big-3', 'c']) await queue.send(body)
    await workFor(2)
    expect([...stored.keys()].sort()).toEqual(['a', 'b', 'c'])
  })

  it.each(['denied', 'FIFO'])('is held where no copy may be sent (%s)', async (why) => {
    const { queue, stored } = open({ maxReceiveCount: 4 })
    if (why === 'FIFO') queue.isFifo = true
    else queue.sendErrors.push(new SendDeniedError('AccessDenied: not authorized to perform sqs:SendMessage'))
    await queue.send('big')
    await queue.send('a')
    await workFor(120)
    expect(queue.mostReceived()).toBe(2)
    expect(queue.messages).toHaveLength(2)
    expect(stored.has('a')).toBe(true)
    expect(bench.said(/No message may be sent/)).toHaveLength(why === 'FIFO' ? 0 : 1)
    // It is looked at from time to time, without another receive.
    bench.lack = undefined
    await workFor(11)
    expect(stored.get('big')).toBe('done')
    expect(queue.mostReceived()).toBe(2)
  })

  it('does not keep a runner from ending with its queue', async () => {
    const { queue } = open({ maxReceiveCount: 1 })
    queue.isFifo = true
    await queue.send('big')
    await workFor(1, { drainQueue: true })
    await running
    expect(queue.left()).toEqual(['big'])
    expect(queue.messages[0]?.visibleAt).toBeLessThanOrEqual(bench.clock.now())
  })

  it('is held while the sending fails, and sent as soon as it works', async () => {
    const { queue } = open({ maxReceiveCount: 1 })
    for (let n = 0; n < 4; n += 1) queue.sendErrors.push(new RetryableError('queue', 'SQS does not answer'))
    await queue.send('big')
    await workFor(5)
    expect(queue.messages).toHaveLength(1)
    expect(queue.mostReceived()).toBe(1)
    await workFor(11)
    expect(queue.messages.length).toBeGreaterThan(1)
    expect(queue.left()).toEqual(['big'])
  })

  it('goes back at once when the runner is told to stop', async () => {
    const { queue } = open({ maxReceiveCount: 1 })
    queue.isFifo = true
    await queue.send('big')
    await workFor(2)
    bench.drain.abort()
    await bench.clock.advance(1000)
    await running
    expect(queue.log.at(-1)).toBe('release m1 0')
  })
})

describe('jobs that wait for what is in use on this machine', () => {
  it('are no more than there are slots: the rest stays for other machines', async () => {
    const { queue } = open('none')
    let give = (): void => undefined
    const sooner = new Promise<void>((resolve) => (give = resolve))
    bench.lack = new NotYetError('no GPU is free', 30, { sooner, distance: 0, isShortage: true })
    for (let n = 0; n < 10; n += 1) await queue.send(`big-${String(n)}`)
    await workFor(30)
    expect(queue.messages.filter(({ received }) => received > 0)).toHaveLength(2)
    expect(queue.mostReceived()).toBe(1)
    bench.lack = undefined
    give()
    await workFor(1)
    expect(bench.stored.size).toBe(10)
  })
})
