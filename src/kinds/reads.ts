import { setMaxListeners } from 'node:events'
import { retryPauseMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'

/** How long an item that must be there is asked for again. */
export const GRACE_MS = 10_000

/**
 * Reads that run side by side, of which some may turn out to be needless: `start` begins one at once, and whatever is
 * still under way when `work` ends is cut off. What nobody waits for fails in silence.
 */
export async function sideBySide<T>(
  parent: AbortSignal,
  work: (start: <V>(read: (signal: AbortSignal) => Promise<V>) => Promise<V>) => Promise<T>,
): Promise<T> {
  const done = new AbortController()
  const signal = AbortSignal.any([parent, done.signal])
  // A history is read by more queries at a time than Node thinks a signal should have listeners.
  setMaxListeners(0, signal)
  try {
    return await work((read) => {
      const promise = read(signal)
      promise.catch(() => undefined)
      return promise
    })
  } finally {
    done.abort()
  }
}

/** Asks again, with growing pauses, for something that should appear soon; undefined when it does not within 10 s. */
export async function readPatiently<T>(
  read: () => Promise<T | undefined>,
  clock: Clock,
  signal: AbortSignal,
): Promise<T | undefined> {
  const endMs = clock.now() + GRACE_MS
  for (let n = 0; ; n += 1) {
    const value = await read()
    const leftMs = endMs - clock.now()
    if (value !== undefined || leftMs <= 0) return value
    await clock.sleep(Math.min(retryPauseMs(n, 200, 2000), leftMs), signal)
  }
}
