import { retryPauseMs } from './backoff.ts'
import { childSignal } from './child-signal.ts'
import type { Clock } from './clock.ts'
import { JobError, RetryableError } from './errors.ts'
import type { Handler, JobContext, WriteOutcome } from './kind.ts'

/** How a job that came to its end ended. */
export type Processed = 'succeeded' | 'failed' | 'settled'

/** How the write of a result is tried again while the table is out of reach. */
export interface SavePatience {
  clock: Clock
  /** Nothing is tried again once this is aborted. */
  drain: AbortSignal
  /** Told of each failure, so that nothing is received meanwhile. */
  report: (error: RetryableError) => void
}

/** A result may be the work of hours: it is not thrown away for a table that is throttled for a while. */
const MOST_SAVE_MS = 5 * 60_000

/**
 * Takes one job from its payload to its stored result. Resolves only when the result is stored (by us or before us),
 * so that the message may be deleted; every other end is a throw, and leaves the message.
 */
export async function processJob<P, I, R>(
  handler: Handler<P, I, R>,
  payload: P,
  job: JobContext,
  patience?: SavePatience,
): Promise<Processed> {
  let processed: Processed
  try {
    const input = await handler.prepare(payload, job)
    if (input === 'settled') {
      job.log.warn('The job has its result already; its message is deleted')
      processed = 'settled'
    } else {
      const result = await handler.run(payload, input, job)
      processed = await store('succeeded', () => handler.saveSuccess(payload, result, job), job, patience)
    }
  } catch (error) {
    if (!(error instanceof JobError)) throw error
    processed = await saveFailure(handler, payload, error, job, patience)
  }
  await handler.announce?.(payload, job)
  return processed
}

/** Records a failure that is the job's own; see processJob for what resolving means. */
export async function saveFailure<P, I, R>(
  handler: Handler<P, I, R>,
  payload: P,
  failure: JobError,
  job: JobContext,
  patience?: SavePatience,
): Promise<Processed> {
  if (job.timeline.finishedAt === undefined) job.timeline.markFinished()
  job.log.warn('The job failed', {
    code: failure.code,
    reason: failure.publicMessage,
    detail: failure.detail,
  })
  return await store('failed', () => handler.saveFailure(payload, failure, job), job, patience)
}

async function store(
  written: Processed,
  save: () => Promise<WriteOutcome>,
  job: JobContext,
  patience: SavePatience | undefined,
): Promise<Processed> {
  job.timeline.enter('write')
  const outcome = await savePatiently(save, job, patience)
  job.timeline.leave()
  return outcome === 'written' ? written : 'settled'
}

/**
 * Saves again, with growing pauses, while the table is out of reach and the job is ours; for no longer than it took to
 * come to the result, since then it is as well run again.
 */
async function savePatiently(
  save: () => Promise<WriteOutcome>,
  job: JobContext,
  patience: SavePatience | undefined,
): Promise<WriteOutcome> {
  const since = patience?.clock.now() ?? 0
  const phases = Object.entries(job.timeline.phases())
  const tookMs = phases.reduce((sum, [phase, ms]) => (phase === 'queued' ? sum : sum + ms), 0)
  for (let n = 0; ; n += 1) {
    job.signal.throwIfAborted()
    job.assertHeld()
    try {
      return await save()
    } catch (error) {
      if (patience === undefined || !(error instanceof RetryableError)) throw error
      // What else a save may need has been tried for minutes already, where it was asked for.
      if (error.surrounding !== 'store' && error.surrounding !== 'credentials') throw error
      const { clock, drain, report } = patience
      const pauseMs = retryPauseMs(n, 1000, 30_000)
      if (drain.aborted || clock.now() + pauseMs - since > Math.min(MOST_SAVE_MS, tookMs)) throw error
      report(error)
      job.log.warn('Writing the result failed; trying again', { error: error.message })
      const { signal, free } = childSignal(job.signal, drain)
      try {
        await clock.sleep(pauseMs, signal)
      } catch {
        job.signal.throwIfAborted()
        throw error
      } finally {
        free()
      }
    }
  }
}
