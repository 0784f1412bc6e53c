import type { Clock } from '../core/clock.ts'

/** What a promise resolves to; throws the signal's reason when that is aborted first. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const leave = (): void => {
      reject(signal.reason as Error)
    }
    signal.addEventListener('abort', leave, { once: true })
    if (signal.aborted) leave()
    void promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', leave)
    })
  })
}

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
  const timer = clock.sleep(ms, over.signal).then(
    () => {
      late.abort(new Error(`It takes longer than ${ms} ms`))
      return undefined
    },
    // The work has settled.
    () => undefined,
  )
  try {
    const working = work(AbortSignal.any([signal, late.signal]))
    return await unlessAborted(Promise.race([working, timer]), signal)
  } catch (error) {
    signal.throwIfAborted()
    if (late.signal.aborted) return undefined
    throw error
  } finally {
    over.abort()
  }
}
