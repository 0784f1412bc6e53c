import { describe, expect, it } from 'vitest'
import { LeaseLostError, RetryableError, StoppedError } from '../../../src/core/errors.ts'
import { Lease, MAX_LEASE_MS } from '../../../src/core/lease.ts'
import { createLogger } from '../../../src/core/log.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'

const log = createLogger(() => undefined)

function open(extend: (seconds: number, lost: AbortSignal) => Promise<void>, maxMs = MAX_LEASE_MS) {
  const clock = new ManualClock()
  const parent = new AbortController()
  const options = { visibilitySeconds: 60, heartbeatMs: 20_000, maxMs, clock, log }
  const lease = new Lease({ receivedAt: clock.now(), extend }, options, parent.signal)
  return { clock, parent, lease }
}

describe('Lease', () => {
  it('renews steadily and never asks for more than the visibility', async () => {
    const asked: number[] = []
    const { clock, lease } = open(async (seconds) => {
      asked.push(seconds)
      return Promise.resolve()
    })
    await clock.advance(200_000)
    expect(asked).toEqual(Array.from({ length: 10 }, () => 60))
    lease.assertHeld()
    expect(lease.signal.aborted).toBe(false)
    await lease.end()
  })

  it('tries a failed renewal again inside what is left, and is lost when time runs out', async () => {
    let calls = 0
    const { clock, lease } = open(async () => {
      calls += 1
      return Promise.reject(new RetryableError('queue', 'connection reset'))
    })
    await clock.advance(54_000)
    expect(calls).toBeGreaterThan(4)
    lease.assertHeld()
    await clock.advance(1_500)
    expect(lease.signal.reason).toBeInstanceOf(LeaseLostError)
    expect(() => {
      lease.assertHeld()
    }).toThrow(LeaseLostError)
    await lease.end()
  })

  it('survives some failed renewals', async () => {
    let calls = 0
    const { clock, lease } = open(async () => {
      calls += 1
      return calls < 4 ? Promise.reject(new RetryableError('queue', 'throttled')) : Promise.resolve()
    })
    await clock.advance(100_000)
    lease.assertHeld()
    await lease.end()
  })

  it('is lost at once when the queue refuses the receipt', async () => {
    const { clock, lease } = open(async () =>
      Promise.reject(new LeaseLostError('the receipt handle is stale')),
    )
    await clock.advance(20_001)
    expect(lease.signal.reason).toBeInstanceOf(LeaseLostError)
    await lease.end()
  })

  it('is lost at its deadline even while a renewal hangs', async () => {
    let answer = (): void => undefined
    const hanging = new Promise<void>((resolve) => (answer = resolve))
    const { clock, lease } = open(async () => hanging)
    await clock.advance(55_001)
    expect(lease.signal.reason).toBeInstanceOf(LeaseLostError)
    answer()
    await lease.end()
  })

  it('counts from the start of the last confirmed renewal, not from its answer', async () => {
    const answers: (() => void)[] = []
    const { clock, lease } = open(async () => new Promise<void>((resolve) => answers.push(resolve)))
    await clock.advance(30_000) // asked at 20 s, answered at 30 s: held until 75 s
    answers[0]?.()
    await settle()
    await clock.advance(44_000)
    lease.assertHeld()
    await clock.advance(1_500)
    expect(lease.signal.aborted).toBe(true)
    for (const answer of answers) answer()
    await lease.end()
  })

  it('knows after a freeze that it is lost, before any timer has fired', () => {
    const { clock, lease } = open(async () => Promise.resolve())
    clock.freeze(55_000)
    expect(() => {
      lease.assertHeld()
    }).toThrow(/ran out/)
    expect(lease.signal.aborted).toBe(true)
  })

  it('asks for no renewal when it wakes from a freeze that was too long', async () => {
    let calls = 0
    const { clock, lease } = open(async () => {
      calls += 1
      return Promise.resolve()
    })
    clock.freeze(55_000)
    await clock.advance(1)
    expect(calls).toBe(0)
    expect(lease.signal.reason).toBeInstanceOf(LeaseLostError)
  })

  it('cuts the tries of a renewal when it is lost, and lets them be when it is ended', async () => {
    const signals: AbortSignal[] = []
    const hang = async (_seconds: number, lost: AbortSignal): Promise<void> => {
      signals.push(lost)
      await new Promise<void>((_resolve, reject) => {
        lost.addEventListener('abort', () => {
          reject(new Error('cut'))
        })
      })
    }
    const { clock, lease } = open(hang)
    await clock.advance(30_000)
    expect(signals.map(({ aborted }) => aborted)).toEqual([false])
    clock.freeze(40_000)
    expect(() => {
      lease.assertHeld()
    }).toThrow(LeaseLostError)
    await clock.advance(100_000)
    expect(signals.map(({ reason }) => reason as unknown)).toEqual([lease.signal.reason])
    const other = open(hang)
    await other.clock.advance(20_001)
    void other.lease.end()
    await settle()
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false])
  })

  it('cuts a renewal that nobody answers, and asks again in time', async () => {
    let calls = 0
    const { clock, lease } = open(async (_seconds, cut) => {
      calls += 1
      if (calls > 1) return
      await new Promise<void>((_resolve, reject) => {
        cut.addEventListener('abort', () => {
          reject(new Error('cut'))
        })
      })
    })
    // Asked at 20 s, while 35 s are left: cut at about 32 s.
    await clock.advance(31_000)
    expect(calls).toBe(1)
    await clock.advance(3_000)
    expect(calls).toBe(2)
    await clock.advance(200_000)
    lease.assertHeld()
    await lease.end()
  })

  it('ends at the longest time a message can be held', async () => {
    const { clock, lease } = open(async () => Promise.resolve(), 100_000)
    await clock.advance(99_000)
    lease.assertHeld()
    await clock.advance(1_500)
    expect(String(lease.signal.reason)).toMatch(/longest time/)
    await lease.end()
  })

  it('passes on a stop with its reason and goes on holding the message until it is ended', async () => {
    let calls = 0
    const { clock, parent, lease } = open(async () => {
      calls += 1
      return Promise.resolve()
    })
    parent.abort(new StoppedError('second signal'))
    expect(lease.signal.reason).toBeInstanceOf(StoppedError)
    await clock.advance(41_000)
    expect(calls).toBe(2)
    await lease.end()
    await clock.advance(100_000)
    expect(calls).toBe(2)
  })

  it('ends only when no renewal is under way', async () => {
    let answer = (): void => undefined
    const { clock, lease } = open(async () => new Promise<void>((resolve) => (answer = resolve)))
    await clock.advance(20_001)
    let ended = false
    const ending = lease.end().then(() => (ended = true))
    await settle()
    expect(ended).toBe(false)
    answer()
    await ending
    expect(ended).toBe(true)
  })
})
