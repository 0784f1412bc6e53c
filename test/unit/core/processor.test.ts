import { beforeEach, describe, expect, it } from 'vitest'
import { JobError, LeaseLostError, RetryableError, StoppedError } from '../../../src/core/errors.ts'
import type { Handler, JobContext, WriteOutcome } from '../../../src/core/kind.ts'
import { createLogger } from '../../../src/core/log.ts'
import { processJob, type Processed } from '../../../src/core/processor.ts'
import { Timeline } from '../../../src/core/timeline.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const MINUTE_MS = 60_000

describe('the write of a result', () => {
  let clock = new ManualClock()
  let drain = new AbortController()
  let abort = new AbortController()
  let lost: LeaseLostError | undefined
  let runs = 0
  let runMs = 0
  let tries = 0
  const told: string[] = []
  beforeEach(() => {
    clock = new ManualClock()
    drain = new AbortController()
    abort = new AbortController()
    lost = undefined
    runs = 0
    runMs = 10 * MINUTE_MS
    tries = 0
    told.length = 0
  })

  function start(save: () => Promise<WriteOutcome>, failure?: JobError): Promise<Processed> {
    const saving = (): Promise<WriteOutcome> => {
      tries += 1
      return save()
    }
    const handler: Handler<string, string, string> = {
      identify: (id) => ({ id, shortId: id, fields: {} }),
      prepare: (id) => Promise.resolve(id),
      run: (id) => {
        runs += 1
        return failure === undefined ? Promise.resolve(id) : Promise.reject(failure)
      },
      saveSuccess: saving,
      saveFailure: saving,
    }
    const job: JobContext = {
      attempt: 1,
      signal: abort.signal,
      assertHeld: () => {
        if (lost !== undefined) throw lost
      },
      log: createLogger(() => undefined),
      timeline: new Timeline(clock),
    }
    job.timeline.add('run', runMs)
    job.timeline.add('queued', 10 * MINUTE_MS)
    const report = ({ surrounding }: RetryableError): void => void told.push(surrounding)
    const processed = processJob(handler, 'a', job, { clock, drain: drain.signal, report })
    processed.catch(() => undefined)
    return processed
  }

  const fail = (surrounding: 'store' | 'credentials' | 'queue') => () =>
    Promise.reject(new RetryableError(surrounding, 'out of reach'))

  it.each([
    [undefined, 'succeeded'],
    [new JobError('no_result', 'nothing printed'), 'failed'],
  ] as const)('is tried again while the table is out of reach, the job is not (%s)', async (failure, end) => {
    const processed = start(
      () => (tries < 5 ? fail('store')() : Promise.resolve('written' as const)),
      failure,
    )
    await clock.advance(MINUTE_MS)
    expect(await processed).toBe(end)
    expect(runs).toBe(1)
    expect(told).toEqual(['store', 'store', 'store', 'store'])
  })

  it('is given up after five minutes', async () => {
    const processed = start(fail('credentials'))
    await clock.advance(4 * MINUTE_MS)
    const before = tries
    expect(before).toBeGreaterThan(8)
    await clock.advance(MINUTE_MS)
    await expect(processed).rejects.toMatchObject({ surrounding: 'credentials' })
    await clock.advance(5 * MINUTE_MS)
    expect(tries).toBeLessThanOrEqual(before + 3)
  })

  it('is tried again for no longer than the job took', async () => {
    runMs = MINUTE_MS
    const long = start(fail('store'))
    await clock.advance(2 * MINUTE_MS)
    await expect(long).rejects.toMatchObject({ surrounding: 'store' })
    expect(tries).toBeGreaterThan(3)
    runMs = 500
    tries = 0
    await expect(start(fail('store'))).rejects.toMatchObject({ surrounding: 'store' })
    expect(tries).toBe(1)
  })

  it.each(['before', 'while it waits'])('is not tried again once the drain has begun (%s)', async (when) => {
    if (when === 'before') drain.abort()
    const processed = start(fail('store'))
    await clock.advance(1)
    drain.abort()
    await expect(processed).rejects.toBeInstanceOf(RetryableError)
    expect(tries).toBe(1)
  })

  it('ends with the stop, and with the lease', async () => {
    const stopped = start(fail('store'))
    await clock.advance(1)
    const reason = new StoppedError('second signal')
    abort.abort(reason)
    await expect(stopped).rejects.toBe(reason)
    abort = new AbortController()
    const held = start(fail('store'))
    await clock.advance(1)
    lost = new LeaseLostError('it ran out')
    await clock.advance(MINUTE_MS)
    await expect(held).rejects.toBe(lost)
    expect(tries).toBe(2)
  })

  it('is tried once where what failed has been tried for long already', async () => {
    await expect(start(fail('queue'))).rejects.toBeInstanceOf(RetryableError)
    expect(tries).toBe(1)
  })
})
