import { childSignal } from '../core/child-signal.ts'
import type { Clock } from '../core/clock.ts'
import { unlessAborted } from '../core/unless-aborted.ts'

/**
 * What `work` resolves to; undefined when it takes longer than `ms`, whether or not it heeds its signal. Throws the reason
 * of `signal` when that is aborted first.
 */
export async function within<T>(
  clock: Clock,
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  signal.throwIfAborted()
  const over = new AbortController()
  const late = new AbortController()
  const { signal: both, free } = childSignal(signal, late.signal)
  const timer = clock.sleep(ms, over.signal).then(
    () => {
      late.abort(new Error(`It takes longer than ${ms} ms`))
      return undefined
    },
    // The work has settled.
    () => undefined,
  )
  try {
    return await unlessAborted(Promise.race([work(both), timer]), signal)
  } catch (error) {
    signal.throwIfAborted()
    if (late.signal.aborted) return undefined
    throw error
  } finally {
    over.abort()
    free()
  }
}
