import { retryPauseMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { messageOf, RetryableError } from '../../core/errors.ts'
import { UnreachableError } from './http.ts'

/** The API said no to this request, and will again. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Of calls that are made once in a job, so that a restart of the API costs none. */
const RETRY_MS = 5 * 60_000

/** Does `work` again, for some minutes, while the API is out of reach. */
export async function patiently<T>(clock: Clock, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const since = clock.now()
  for (let n = 0; ; n += 1) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error
      const pauseMs = retryPauseMs(n, 500, 15_000)
      if (clock.now() - since + pauseMs > RETRY_MS) throw asSurroundings(error)
      await clock.sleep(pauseMs, signal)
    }
  }
}

/** What the API's troubles mean for the worker. */
export function asSurroundings(error: unknown): unknown {
  if (error instanceof UnreachableError)
    return new RetryableError('queue', messageOf(error), { cause: error })
  if (!(error instanceof RefusedError)) return error
  const surrounding = error.status === 401 || error.status === 403 ? 'credentials' : 'queue'
  return new RetryableError(surrounding, error.message, { cause: error })
}

/** Whether the API has failed, which is all that it says of a job that was deleted. */
export function isFault(error: unknown): boolean {
  return error instanceof UnreachableError && error.status === 500
}
