import { retryPauseMs } from '../core/backoff.ts'
import { childSignal } from '../core/child-signal.ts'
import type { Clock } from '../core/clock.ts'
import { RetryableError } from '../core/errors.ts'
import { TransientError } from './files.ts'

/** How long a transfer is tried. */
export interface Patience {
  clock: Clock
  /** Given up when nothing has moved for so long. */
  patienceMs: number
  firstPauseMs: number
  maxPauseMs: number
  /** A read of which nothing comes for so long is cut, and tried again. */
  idleMs: number
}

export const PATIENCE = { patienceMs: 300_000, firstPauseMs: 500, maxPauseMs: 30_000, idleMs: 30_000 }

/**
 * Does `work` again while it throws TransientError, with growing pauses. `moved` starts the time anew: a transfer that
 * gets on is never given up. Throws RetryableError('files') at the end of the patience.
 */
export async function withPatience<T>(
  { clock, patienceMs, firstPauseMs, maxPauseMs }: Patience,
  signal: AbortSignal,
  work: (moved: () => void) => Promise<T>,
): Promise<T> {
  let since = clock.now()
  let retry = 0
  const moved = (): void => {
    since = clock.now()
    retry = 0
  }
  for (;;) {
    let failed: TransientError
    try {
      signal.throwIfAborted()
      return await work(moved)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof TransientError)) throw error
      failed = error
    }
    const pauseMs = Math.max(retryPauseMs(retry, firstPauseMs, maxPauseMs), failed.retryAfterMs ?? 0)
    if (clock.now() + pauseMs - since > patienceMs)
      throw new RetryableError('files', failed.message, { cause: failed })
    retry += 1
    await clock.sleep(pauseMs, signal)
  }
}

/** `work` on each, so many at a time; the first that fails stops the others, and is thrown when all have ended. */
export async function inParallel<T, R>(
  items: readonly T[],
  width: number,
  parent: AbortSignal,
  work: (item: T, signal: AbortSignal) => Promise<R>,
): Promise<R[]> {
  const { signal, cut, free } = childSignal(parent)
  const results: R[] = []
  let next = 0
  async function lane(): Promise<void> {
    for (let index = next; index < items.length && !signal.aborted; index = next) {
      next += 1
      // `item` is there: index is below the length.
      results[index] = await work(items[index] as T, signal)
    }
  }
  let failed: { error: unknown } | undefined
  const lanes = Array.from({ length: Math.min(width, items.length) }, () =>
    lane().catch((error: unknown) => {
      failed ??= { error }
      cut(error)
    }),
  )
  await Promise.all(lanes)
  free()
  parent.throwIfAborted()
  if (failed !== undefined) throw failed.error
  return results
}
