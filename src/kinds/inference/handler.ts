import { randomUUID } from 'node:crypto'
import { messageOf, NotYetError, RetryableError } from '../../core/errors.ts'
import type { Handler, JobContext, JobIdentity, WriteOutcome } from '../../core/kind.ts'
import {
  FINAL_INFERENCE_STATUSES,
  finishedInference,
  fitsItem,
  inferenceKey,
  isFinalInference,
  underway,
  type InferenceOutcome,
} from '../../records/inference.ts'
import { formatTime } from '../../records/result.ts'
import type { Item } from '../../stores/store.ts'
import { isCancelRequested, watchForCancel } from '../cancel.ts'
import { RequestError } from '../fields.ts'
import { fit } from '../fit.ts'
import { deadlineCut } from './bounds.ts'
import { runInference } from './execute.ts'
import { Cut, cutOutcome, failedOutcome, jobErrorOutcome, TryAgainError } from './failure.ts'
import type { InferenceMessage } from './message.ts'
import { planInference, type InferencePlan } from './plan.ts'
import type { InferenceServices } from './services.ts'

/** What a job needs: a plan, or what has come of it already. */
export type InferenceInput = { plan: InferencePlan } | { outcome: InferenceOutcome }

/** What one attempt knows of its job besides its input. */
interface Attempt {
  /** Its own; whoever writes `starting` later has another, and tells of the job from then on. */
  token: string
  /** Writes under way that the result must not overtake. */
  progress: Promise<unknown>
  createdAt: string
  /** Monotonic ms. */
  since: number
}

/** Of two attempts at a time, which two messages of one id make, the first to end has the result. */
const CONDITION = { unlessStatus: FINAL_INFERENCE_STATUSES, keep: ['CreatedAt'] }
/** A server may ask for any pause; nobody waits longer for it. */
const LONGEST_PAUSE_SECONDS = 900
/** For one that asks for none. */
const USUAL_PAUSE_SECONDS = 30

/** Calls models: one answer for each message, kept in one item. */
export function createInference(
  services: InferenceServices,
): Handler<InferenceMessage, InferenceInput, InferenceOutcome> {
  const { store, clock, worker } = services
  const attempts = new WeakMap<JobContext, Attempt>()

  function attemptOf(job: JobContext): Attempt {
    const known = attempts.get(job)
    if (known !== undefined) return known
    const attempt: Attempt = {
      token: randomUUID(),
      progress: Promise.resolve(),
      createdAt: formatTime(clock.date()),
      since: clock.now(),
    }
    attempts.set(job, attempt)
    return attempt
  }

  /** Writes that the job is under way, under a token that nobody else has. */
  async function begin({ id }: InferenceMessage, job: JobContext): Promise<WriteOutcome> {
    const attempt = attemptOf(job)
    const item = underway({ id, attempt: job.attempt, worker, ...attempt }, 'starting')
    job.signal.throwIfAborted()
    job.assertHeld()
    return await store.update(item, CONDITION, () => {
      job.assertHeld()
    })
  }

  /** Tells that the model is asked; the call does not wait for it, the result does. */
  function tellProcessing({ id }: InferenceMessage, job: JobContext): void {
    const attempt = attemptOf(job)
    const item = underway({ id, attempt: job.attempt, worker, ...attempt }, 'processing', clock.date())
    attempt.progress = store
      .update(item, { ...CONDITION, token: attempt.token }, () => {
        job.assertHeld()
      })
      .catch((error: unknown) => {
        // The write of the result meets it again.
        job.log.debug('That the model is asked could not be told', { error: messageOf(error) })
      })
  }

  async function finish(
    message: InferenceMessage,
    outcome: InferenceOutcome,
    job: JobContext,
  ): Promise<WriteOutcome> {
    const { timeline } = job
    const { token, createdAt, since, progress } = attemptOf(job)
    await progress
    const phases = timeline.phases()
    const metadata = 'request' in message ? message.request.metadata : message.metadata
    const stored = fitting(outcome, message)
    const item = finishedInference(
      {
        ...{ id: message.id, token, attempt: job.attempt, worker, createdAt, metadata },
        queueMs: phases.queued ?? null,
        pullMs: phases.pull ?? null,
        totalMs: (phases.queued ?? 0) + clock.now() - since,
        startedAt: timeline.startedAt,
        finishedAt: timeline.finishedAt ?? clock.date(),
      },
      { ...stored, output: fit('Output', stored.output, job.log) },
    )
    return await store.update(item, CONDITION, () => {
      job.assertHeld()
    })
  }

  return {
    identify: identifyInference,

    prepare: async (message, job) => {
      const attempt = attemptOf(job)
      const planned = planOf(message, clock.date(), services)
      // What is not wanted any more is settled by the read, what is final by either: neither waits for the other.
      const [item, begun] = await Promise.all([
        store.get(inferenceKey(message.id), job.signal),
        'plan' in planned ? begin(message, job) : undefined,
      ])
      if (begun === 'exists' || (item !== undefined && isFinalInference(item))) return 'settled'
      attempt.createdAt = createdAtOf(item) ?? attempt.createdAt
      if (item !== undefined && isCancelRequested(item))
        return { outcome: cutOutcome(new Cut('canceled', 'its owner wanted it no more')) }
      return planned
    },

    run: async (message, input, job) => {
      if ('outcome' in input) return input.outcome
      const { plan } = input
      const wish = watchForCancel(services, inferenceKey(message.id), job)
      try {
        return await runInference(plan, services, {
          ...{ signal: job.signal, log: job.log, timeline: job.timeline },
          cancel: wish.signal,
          onStart: () => {
            tellProcessing(message, job)
          },
        })
      } catch (error) {
        // Nobody may write of this attempt once its message is another's.
        await attemptOf(job).progress
        throw error instanceof TryAgainError ? released(error, plan) : error
      } finally {
        wish.end()
        job.timeline.markFinished()
      }
    },

    saveSuccess: async (message, outcome, job) => {
      const { status, error } = outcome
      const told = error === undefined ? {} : { type: error.type, reason: error.message }
      if (status === 'failed') job.log.warn('The call failed', told)
      else job.log.info('The call has ended', { status, ...told })
      return await finish(message, outcome, job)
    },

    saveFailure: (message, failure, job) => finish(message, jobErrorOutcome(failure), job),
  }
}

/** What a message asks for, or why that is not done. */
function planOf(
  message: InferenceMessage,
  now: Date,
  { settings, isImageAllowed }: InferenceServices,
): InferenceInput {
  if ('problem' in message) return { outcome: failedOutcome('validation', message.problem) }
  const { deadline } = message.request
  if (deadline !== undefined && deadline <= now) return { outcome: cutOutcome(deadlineCut(deadline)) }
  try {
    return { plan: planInference(message.request, settings, isImageAllowed) }
  } catch (error) {
    if (!(error instanceof RequestError)) throw error
    return { outcome: failedOutcome('validation', error.message) }
  }
}

/** Who a job is, for logs and container names. */
export function identifyInference({ id }: InferenceMessage): JobIdentity {
  return { id, shortId: id.replace(/[^A-Za-z0-9]+/g, '-').slice(0, 40), fields: {} }
}

/** An output that is too long for its item stands at its location alone. */
function fitting(outcome: InferenceOutcome, message: InferenceMessage): InferenceOutcome {
  if ('problem' in message || fitsItem(outcome.output, message.request.metadata)) return outcome
  if (outcome.outputLocation !== undefined) return { ...outcome, output: null }
  const why = 'The answer is longer than its item can hold (400 KB): give an output_location for it.'
  return failedOutcome('output_too_large', why, outcome)
}

/** What becomes of a message whose call may go well later. */
function released(error: TryAgainError, plan: InferencePlan): NotYetError | RetryableError {
  const { type, message, retryAfterSeconds = USUAL_PAUSE_SECONDS } = error
  // The one model of this runner is everybody's; another one is that of this job.
  const isShared = plan.mode === 'existing' || (plan.mode !== 'oneshot' && plan.kept.isPinned)
  // Waiting is counted by nobody: what the job's own model says must not buy any number of tries.
  if (isShared && type === 'overloaded') {
    const seconds = Math.min(Math.max(1, retryAfterSeconds), LONGEST_PAUSE_SECONDS)
    // No more than there are slots wait for it: another runner's model may have time.
    return new NotYetError(`The model is overloaded: ${message}`, seconds, { cause: error, isShortage: true })
  }
  return new RetryableError(isShared ? 'model' : 'container', `${type}: ${message}`, { cause: error })
}

function createdAtOf(item: Item | undefined): string | undefined {
  const createdAt = item?.['CreatedAt']
  return typeof createdAt === 'string' ? createdAt : undefined
}
