import { JobError, messageOf, NotYetError, RetryableError, type JobErrorCode } from '../../core/errors.ts'
import { ImageError } from '../../executors/executor.ts'
import { KeptDeath, KeptFailure } from '../../executors/kept-pool.ts'
import { FileError } from '../../files/files.ts'
import { isGpuOom } from '../../models/failure.ts'
import { ModelError } from '../../models/protocol.ts'
import type { InferenceErrorType, InferenceOutcome } from '../../records/inference.ts'
import { RequestError } from '../fields.ts'

/** Why we end a call that has done nothing wrong. */
export class Cut extends Error {
  override readonly name = 'Cut'
  readonly reason: 'canceled' | 'deadline' | 'timeout'

  constructor(reason: Cut['reason'], message: string) {
    super(message)
    this.reason = reason
  }
}

/** Another try, later, may well succeed: nothing is recorded. */
export class TryAgainError extends Error {
  override readonly name = 'TryAgainError'
  readonly type: 'overloaded' | 'model_unavailable' | 'gpu_unavailable'
  readonly retryAfterSeconds: number | undefined

  constructor(
    type: TryAgainError['type'],
    message: string,
    options: ErrorOptions & { retryAfterSeconds?: number | undefined } = {},
  ) {
    super(message, options)
    this.type = type
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

/** Of a container's log, in the message of an error. */
const MOST_LAST_WORDS = 1000

const NOTHING: Pick<InferenceOutcome, 'output' | 'logsTail' | 'coldStartMs' | 'predictMs'> = {
  output: null,
  logsTail: '',
  coldStartMs: null,
  predictMs: null,
}

/** What came of a job that has no answer by its own fault. */
export function failedOutcome(
  type: InferenceErrorType,
  message: string,
  more: Partial<InferenceOutcome> = {},
): InferenceOutcome {
  return { ...NOTHING, ...more, output: null, status: 'failed', error: { type, message, retriable: false } }
}

/** What came of a job that we ended. */
export function cutOutcome({ reason, message }: Cut, more: Partial<InferenceOutcome> = {}): InferenceOutcome {
  const endings = {
    canceled: { status: 'canceled', type: 'canceled' },
    deadline: { status: 'aborted', type: 'deadline_exceeded' },
    timeout: { status: 'failed', type: 'timeout' },
  } as const
  const { status, type } = endings[reason]
  return { ...NOTHING, ...more, status, error: { type, message, retriable: false } }
}

const TYPE_OF: Record<JobErrorCode, InferenceErrorType> = {
  image_reported_error: 'generation',
  no_result: 'generation',
  invalid_result: 'generation',
  nonzero_exit: 'generation',
  output_too_large: 'output_too_large',
  out_of_memory: 'oom_killed',
  timeout: 'timeout',
  unstorable_result: 'generation',
  input_missing: 'validation',
  too_many_attempts: 'internal',
}

/** What a failure of a job means as an outcome. */
export function jobErrorOutcome(
  { code, publicMessage, detail }: JobError,
  more: Partial<InferenceOutcome> = {},
): InferenceOutcome {
  const isOfGpu = code !== 'timeout' && code !== 'output_too_large' && isGpuOom(`${publicMessage}\n${detail}`)
  return failedOutcome(isOfGpu ? 'gpu_oom' : TYPE_OF[code], publicMessage, more)
}

/** The outcome of what was thrown, where that is the job's own fault. What is not is thrown, as what it is. */
export function outcomeOf(error: unknown, more: Partial<InferenceOutcome> = {}): InferenceOutcome {
  if (error instanceof Cut) return cutOutcome(error, more)
  if (error instanceof RequestError) return failedOutcome('validation', error.message, more)
  if (error instanceof FileError) return failedOutcome(typeOfFile(error), error.message, more)
  if (error instanceof JobError) return jobErrorOutcome(error, more)
  if (error instanceof ImageError) {
    const type = error.reason === 'not_startable' ? 'setup_failed' : 'validation'
    return failedOutcome(type, error.message, more)
  }
  if (error instanceof KeptFailure)
    return failedOutcome(error.reason, withLastWords(error), { ...more, logsTail: error.logsTail })
  if (error instanceof KeptDeath) return deathOutcome(error, more)
  if (error instanceof ModelError) return modelOutcome(error, more)
  throw error
}

/** As a person at the terminal sees what a queue would try again; what nobody foresaw is thrown. */
export function outcomeAtTerminal(error: unknown): InferenceOutcome {
  if (error instanceof TryAgainError) {
    const { type, message } = error
    return { ...NOTHING, status: 'failed', error: { type, message, retriable: true } }
  }
  if (error instanceof NotYetError) {
    return {
      ...NOTHING,
      status: 'failed',
      error: { type: 'gpu_unavailable', message: error.message, retriable: true },
    }
  }
  return outcomeOf(error)
}

/** What a container that did not load says of it stands at the end of its log. */
function withLastWords({ message, logsTail }: KeptFailure): string {
  const words = lastWords(logsTail.trimEnd())
  return words === '' ? message : `${message}. It said last:\n${words}`
}

function lastWords(text: string): string {
  if (text.length <= MOST_LAST_WORDS) return text
  const end = text.slice(-MOST_LAST_WORDS)
  // Whole lines, where there are any.
  return end.slice(end.indexOf('\n') + 1).replace(/^[\udc00-\udfff]/, '')
}

function typeOfFile({ reason }: FileError): InferenceErrorType {
  return reason === 'missing_output' || reason === 'not_regular' || reason === 'changed'
    ? 'generation'
    : 'validation'
}

/** A container that died under a call: nothing that it chose to do is the surroundings' fault. */
function deathOutcome(death: KeptDeath, more: Partial<InferenceOutcome>): InferenceOutcome {
  // The engine went away with it.
  if (death.exitCode === undefined)
    throw death.cause instanceof Error ? death.cause : new RetryableError('engine', messageOf(death))
  const type = death.oomKilled ? 'oom_killed' : death.isGpuOom ? 'gpu_oom' : 'generation'
  return failedOutcome(type, death.message, { ...more, logsTail: death.logsTail })
}

function modelOutcome(error: ModelError, more: Partial<InferenceOutcome>): InferenceOutcome {
  const { type, message, response, retryAfterSeconds } = error
  if (type === 'overloaded' || type === 'model_unavailable' || type === 'gpu_unavailable')
    throw new TryAgainError(type, message, { retryAfterSeconds, cause: error })
  return failedOutcome(type, message, { ...more, ...(response === undefined ? {} : { response }) })
}
