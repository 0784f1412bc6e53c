import type { Clock } from '../core/clock.ts'
import type { JobError } from '../core/errors.ts'
import type { JobContext, WriteOutcome } from '../core/kind.ts'
import { flagKey, resultKey, type Trial } from '../records/keys.ts'
import { failedItem, flagItem, type ResultSeries, type Span } from '../records/result.ts'
import type { Item, Store } from '../stores/store.ts'

/** Whether a trial has its result, whatever came of it. Runners before 0.4 wrote results without flags. */
export async function isSettled(
  store: Store,
  series: ResultSeries,
  trial: Trial,
  signal: AbortSignal,
): Promise<boolean> {
  const keys = [
    flagKey(series, trial),
    resultKey(series, 'Success', trial),
    resultKey(series, 'Failed', trial),
  ]
  const items = await Promise.all(keys.map((key) => store.get(key, signal)))
  return items.some((item) => item !== undefined)
}

/** A job's times as they are stored. */
export function spanOf({ timeline }: JobContext, clock: Clock): Span {
  const createdAt = clock.date()
  const finishedAt = timeline.finishedAt ?? createdAt
  return { startedAt: timeline.startedAt ?? finishedAt, finishedAt, createdAt }
}

/** Writes a result and its flag together, unless the flag is there. */
export async function saveResult(
  store: Store,
  series: ResultSeries,
  trial: Trial,
  item: Item,
  job: JobContext,
): Promise<WriteOutcome> {
  job.assertHeld()
  return await store.put([item, flagItem(series, trial)], flagKey(series, trial), job.fence, () => {
    job.assertHeld()
  })
}

/** Writes a trial's own failure, for the participant and for the administrator. */
export async function saveFailedResult(
  store: Store,
  series: ResultSeries,
  trial: Trial,
  failure: JobError,
  job: JobContext,
  clock: Clock,
): Promise<WriteOutcome> {
  const { publicMessage, detail } = failure
  const texts = {
    errorMessage: publicMessage,
    adminErrorMessage: detail.includes(publicMessage) ? detail : `${publicMessage}\n\n${detail}`.trimEnd(),
  }
  return await saveResult(store, series, trial, failedItem(series, trial, spanOf(job, clock), texts), job)
}
