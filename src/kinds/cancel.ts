import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { JobContext, WriteOutcome } from '../core/kind.ts'
import type { Item, Key, Store } from '../stores/store.ts'

/** What watching for a job's cancellation needs. */
export interface CancelServices {
  store: Store
  clock: Clock
  /** Between two looks. */
  cancelPollMs: number
}

/** Whether the owner of a job wants it no more. */
export function isCancelRequested(item: Item): boolean {
  return item['CancelRequested'] === true
}

/**
 * Says that a job is wanted no more: a runner that has it, or gets it, ends it. 'exists' = it has its result, in one of
 * `finalStatuses`. Of a job that nobody knows an item is left all the same, so that it never runs.
 */
export async function requestCancel(
  store: Store,
  key: Key,
  finalStatuses: readonly string[],
): Promise<WriteOutcome> {
  return await store.update(
    { ...key, CancelRequested: true, IgnoreStream: true },
    { unlessStatus: finalStatuses },
  )
}

/** A signal that is aborted when the job's owner wants it no more. */
export function watchForCancel(
  { store, clock, cancelPollMs }: CancelServices,
  key: Key,
  job: JobContext,
): { signal: AbortSignal; end: () => void } {
  const canceled = new AbortController()
  const ended = new AbortController()
  const signal = AbortSignal.any([job.signal, ended.signal])
  async function watch(): Promise<void> {
    for (;;) {
      await clock.sleep(cancelPollMs, signal)
      const item = await store.get(key, signal).catch((error: unknown) => {
        signal.throwIfAborted()
        job.log.debug('Looking whether the job is canceled failed', { error: messageOf(error) })
        return undefined
      })
      if (item === undefined || !isCancelRequested(item)) continue
      job.log.info('The job is canceled by its owner')
      canceled.abort()
      return
    }
  }
  // Ends by the end of the job.
  watch().catch(() => undefined)
  return {
    signal: canceled.signal,
    end: () => {
      ended.abort()
    },
  }
}
