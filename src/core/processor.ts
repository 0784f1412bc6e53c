import { JobError } from './errors.ts'
import type { Handler, JobContext } from './kind.ts'

/** How a job that came to its end ended. */
export type Processed = 'succeeded' | 'failed' | 'settled'

/**
 * Takes one job from its payload to its stored result. Resolves only when the result is stored (by us or before us),
 * so that the message may be deleted; every other end is a throw, and leaves the message.
 */
export async function processJob<P, I, R>(
  handler: Handler<P, I, R>,
  payload: P,
  job: JobContext,
): Promise<Processed> {
  let processed: Processed
  try {
    const input = await handler.prepare(payload, job)
    if (input === 'settled') {
      job.log.warn('The job has its result already; its message is deleted')
      processed = 'settled'
    } else {
      const result = await handler.run(payload, input, job)
      processed = await store('succeeded', () => handler.saveSuccess(payload, result, job), job)
    }
  } catch (error) {
    if (!(error instanceof JobError)) throw error
    processed = await saveFailure(handler, payload, error, job)
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
): Promise<Processed> {
  if (job.timeline.finishedAt === undefined) job.timeline.markFinished()
  job.log.warn('The job failed', {
    code: failure.code,
    reason: failure.publicMessage,
    detail: failure.detail,
  })
  return await store('failed', () => handler.saveFailure(payload, failure, job), job)
}

async function store(
  written: Processed,
  save: () => Promise<'written' | 'exists'>,
  job: JobContext,
): Promise<Processed> {
  job.timeline.enter('write')
  job.signal.throwIfAborted()
  job.assertHeld()
  const outcome = await save()
  job.timeline.leave()
  return outcome === 'written' ? written : 'settled'
}
