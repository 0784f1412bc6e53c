import { randomUUID } from 'node:crypto'
import { NotYetError, type JobError } from '../../core/errors.ts'
import type { Handler, JobContext, JobIdentity, WriteOutcome } from '../../core/kind.ts'
import type { Logger } from '../../core/log.ts'
import { ImageError, type ImageInfo } from '../../executors/executor.ts'
import {
  codeExecKey,
  FINAL_STATUSES,
  finishedItem,
  isFinal,
  roomForArtifacts,
  runningItem,
  type CodeExecOutcome,
} from '../../records/code-exec.ts'
import { formatTime } from '../../records/result.ts'
import type { Item } from '../../stores/store.ts'
import { isCancelRequested, watchForCancel } from '../cancel.ts'
import { fetchImage, orRejected, runPlan, type RunOptions } from './execute.ts'
import { RequestError } from '../fields.ts'
import type { CodeExecMessage } from './message.ts'
import { rejected } from './outcome.ts'
import { planJob, type Plan } from './plan.ts'
import type { CodeExecServices } from './services.ts'

/** What a job needs: a plan and its image, or what has come of it already. */
export type CodeExecInput = { plan: Plan; image: ImageInfo } | { outcome: CodeExecOutcome }

/** What one attempt knows of its job besides its input. */
interface Attempt {
  /** Its own: by it a write whose answer was lost is known again. */
  token: string
  createdAt: string
  /** Monotonic ms. */
  since: number
}

/** Of two attempts at a time, which two messages of one id make, the first to end has the result. */
const CONDITION = { unlessStatus: FINAL_STATUSES }

/** Runs code that nobody trusts, once, and keeps what came of it in one item. */
export function createCodeExec(
  services: CodeExecServices,
): Handler<CodeExecMessage, CodeExecInput, CodeExecOutcome> {
  const { store, clock } = services
  const attempts = new WeakMap<JobContext, Attempt>()
  /** Languages whose image can't be had, and why, as far as that was said in the log. */
  const broken = new Map<string, string>()

  function attemptOf(job: JobContext): Attempt {
    const known = attempts.get(job)
    if (known !== undefined) return known
    const now = clock.date()
    const attempt = { token: randomUUID(), createdAt: formatTime(now), since: clock.now() }
    attempts.set(job, attempt)
    return attempt
  }

  /** Writes that the job is under way, under a token that nobody else has. */
  async function begin({ id }: CodeExecMessage, job: JobContext): Promise<WriteOutcome> {
    const attempt = attemptOf(job)
    const item = runningItem({ id, attempt: job.attempt, ...attempt }, clock.date())
    job.signal.throwIfAborted()
    job.assertHeld()
    return await store.update(item, CONDITION, () => {
      job.assertHeld()
    })
  }

  async function finish(
    { id, ...message }: CodeExecMessage,
    outcome: CodeExecOutcome,
    job: JobContext,
  ): Promise<WriteOutcome> {
    const { timeline } = job
    const { token, createdAt, since } = attemptOf(job)
    const { startedAt } = timeline
    const finishedAt = timeline.finishedAt ?? clock.date()
    const handledMs = clock.now() - since
    const item = finishedItem(
      {
        ...{ id, token, createdAt, startedAt, finishedAt, attempt: job.attempt },
        queueMs: timeline.phases().queued ?? null,
        prepareMs:
          startedAt === undefined
            ? null
            : Math.max(0, handledMs - (clock.date().getTime() - startedAt.getTime())),
        metadata: 'request' in message ? message.request.metadata : new Map(),
      },
      outcome,
    )
    return await store.update(item, CONDITION, () => {
      job.assertHeld()
    })
  }

  /** What is to be thrown for a language that can't be used: all of its jobs wait, said once. */
  function park(error: ImageError, language: string, log: Logger): NotYetError {
    if (broken.get(language) !== error.message) {
      broken.set(language, error.message)
      log.error('The jobs of a language wait until this is mended', { language, reason: error.message })
    }
    return new NotYetError(error.message, services.retrySeconds, { parked: true, cause: error })
  }

  async function asOperators<T>({ language }: Plan, log: Logger, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw error instanceof ImageError && language !== undefined ? park(error, language, log) : error
    }
  }

  return {
    identify: identifyCodeExec,

    prepare: async (message, job) => {
      const attempt = attemptOf(job)
      const item = await store.get(codeExecKey(message.id), job.signal)
      if (item !== undefined && isFinal(item)) return 'settled'
      attempt.createdAt = createdAtOf(item) ?? attempt.createdAt
      if (item !== undefined && isCancelRequested(item)) return { outcome: rejected('', 'canceled') }
      if ('problem' in message) return { outcome: rejected(message.problem) }
      try {
        const plan = planJob(message.request, services.settings, {
          now: clock.date(),
          isImageAllowed: services.isImageAllowed,
        })
        const options = { signal: job.signal, log: job.log, timeline: job.timeline }
        const image = await asOperators(plan, job.log, () => fetchImage(plan, services, options))
        return (await begin(message, job)) === 'exists' ? 'settled' : { plan, image }
      } catch (error) {
        if (!(error instanceof RequestError)) throw error
        return { outcome: rejected(error.message) }
      }
    },

    run: async ({ id }, input, job) => {
      if ('outcome' in input) return input.outcome
      const { plan, image } = input
      const wish = watchForCancel(services, codeExecKey(id), job)
      const options: RunOptions = {
        ...{ signal: job.signal, log: job.log, timeline: job.timeline },
        cancel: wish.signal,
        roomForArtifacts,
      }
      try {
        const outcome = await asOperators(plan, job.log, () =>
          orRejected(() => runPlan(plan, image, services, options)),
        )
        // Not before: an image that is there may still not be startable.
        if (broken.delete(plan.language ?? ''))
          job.log.info('A language works again', { language: plan.language })
        return outcome
      } finally {
        wish.end()
        job.timeline.markFinished()
      }
    },

    saveSuccess: (message, outcome, job) => {
      job.log.info('The job has ended', { status: outcome.status, reason: outcome.errorMessage })
      return finish(message, outcome, job)
    },

    saveFailure: (message, failure, job) => finish(message, rejected(textOf(failure)), job),
  }
}

/** Who a job is, for logs and container names. */
export function identifyCodeExec({ id }: CodeExecMessage): JobIdentity {
  return { id, shortId: id.replace(/[^A-Za-z0-9]+/g, '-').slice(0, 40), fields: {} }
}

function createdAtOf(item: Item | undefined): string | undefined {
  const createdAt = item?.['CreatedAt']
  return typeof createdAt === 'string' ? createdAt : undefined
}

function textOf({ publicMessage, detail }: JobError): string {
  return detail === '' || detail === publicMessage ? publicMessage : `${publicMessage}: ${detail}`
}
