import { expect, test } from 'vitest'
import { RetryableError } from '../../src/core/errors.ts'
import type { Handler } from '../../src/core/kind.ts'
import { createLogger, type LogRecord } from '../../src/core/log.ts'
import { runWorker } from '../../src/core/worker.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { MemoryQueue } from '../support/memory-queue.ts'

const JOBS = 40
const CONCURRENCY = 4
const MINUTE_MS = 60_000

test.each(['engine', 'store', 'credentials', 'disk'] as const)(
  'ten minutes without %s in mid-competition cost no trial, and no receive but those of the jobs under way',
  async (surrounding) => {
    const clock = new ManualClock()
    const queue = new MemoryQueue(clock, 60_000, 20_000)
    const records: LogRecord[] = []
    const results = new Map<string, string>()
    let outage: RetryableError | undefined
    const ask = (): Promise<void> => (outage === undefined ? Promise.resolve() : Promise.reject(outage))
    const save = async (id: string, status: string): Promise<'written' | 'exists'> => {
      await ask()
      if (results.has(id)) return 'exists'
      results.set(id, status)
      return 'written'
    }
    const handler: Handler<string, string, string> = {
      identify: (id) => ({ id, shortId: id, fields: {} }),
      prepare: async (id) => {
        await ask()
        return results.has(id) ? 'settled' : id
      },
      run: async (id, _input, job) => {
        job.timeline.markStarted()
        await clock.sleep(5000, job.signal)
        await ask()
        return id
      },
      saveSuccess: (id) => save(id, 'Success'),
      saveFailure: (id) => save(id, 'Failed'),
    }
    const drain = new AbortController()
    const working = runWorker({
      kind: { name: 'test', parseMessage: (body) => body, handler },
      queue,
      probes: { [surrounding]: ask },
      concurrency: CONCURRENCY,
      num: 0,
      drainQueue: true,
      intervalMs: 2000,
      visibilitySeconds: 60,
      heartbeatMs: 20_000,
      maxReceiveCount: 10,
      maxHeld: 100,
      drain: drain.signal,
      abort: new AbortController().signal,
      clock,
      log: createLogger((record) => records.push(record), 'INFO'),
      observer: { jobStarted: () => undefined, jobEnded: () => undefined, stateChanged: () => undefined },
    })
    for (let n = 1; n <= JOBS; n += 1) await queue.send(`job-${String(n)}`)
    const received = (): number => queue.messages.filter((message) => message.received > 0).length

    await clock.advance(17_000)
    const before = results.size
    expect(before).toBe(3 * CONCURRENCY)
    expect(received()).toBe(4 * CONCURRENCY)
    outage = new RetryableError(surrounding, 'gone')
    await clock.advance(10 * MINUTE_MS)
    expect(results.size).toBe(before)
    expect(received()).toBe(4 * CONCURRENCY)

    outage = undefined
    await clock.advance(5 * MINUTE_MS)
    expect([...results.values()]).toEqual(Array.from({ length: JOBS }, () => 'Success'))
    expect(queue.left()).toEqual([])
    const again = queue.messages.filter((message) => message.received > 1)
    expect(again.map((message) => message.received)).toEqual(Array.from({ length: CONCURRENCY }, () => 2))
    expect(records.filter(({ msg }) => msg.startsWith('Paused'))).toHaveLength(1)
    drain.abort()
    await clock.advance(MINUTE_MS)
    await working
  },
)
