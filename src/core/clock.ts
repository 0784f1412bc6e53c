import { setTimeout as delay } from 'node:timers/promises'

/** Time as the program sees it; passed in, so that leases and backoffs can be tested without waiting. */
export interface Clock {
  /** Monotonic milliseconds: for leases and timeouts. Never jumps with the wall clock. */
  now(): number
  /** The wall clock, for what is stored and shown. */
  date(): Date
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  sleep: async (ms, signal) => {
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal })
    } catch (error) {
      throw signal?.reason ?? error
    }
  },
}

/** Resolves with true at a deadline that may be put off meanwhile, with false when aborted before it. */
export async function hasCome(deadlineMs: () => number, clock: Clock, signal: AbortSignal): Promise<boolean> {
  try {
    for (let leftMs = deadlineMs() - clock.now(); leftMs > 0; leftMs = deadlineMs() - clock.now()) {
      await clock.sleep(leftMs, signal)
    }
    return true
  } catch {
    return false
  }
}
