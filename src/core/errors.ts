/**
 * The error classes of the whole program. The question that sorts them is "who can act on it?", because the
 * answer decides what is recorded and what becomes of the message (docs/errors.md lists every code).
 */

/** Why a job failed by its own fault. Stable: shown in logs, documented, tested against docs/errors.md. */
export type JobErrorCode =
  | 'image_reported_error'
  | 'no_result'
  | 'invalid_result'
  | 'nonzero_exit'
  | 'output_too_large'
  | 'out_of_memory'
  | 'timeout'
  | 'unstorable_result'
  | 'input_missing'
  | 'too_many_attempts'

/** The job is at fault: participant, problem setter or the code's author can act. Recorded as Failed. */
export class JobError extends Error {
  override readonly name = 'JobError'
  readonly code: JobErrorCode
  /** One clear sentence for the participant; never holds logs of the image or private values. */
  readonly publicMessage: string
  /** What the admin sees in addition, e.g. the last lines of stderr. */
  readonly detail: string

  constructor(code: JobErrorCode, publicMessage: string, detail = '', options?: ErrorOptions) {
    super(publicMessage, options)
    this.code = code
    this.publicMessage = publicMessage
    this.detail = detail
  }
}

/** Which part of the runner's surroundings is broken; each has a probe. */
export type Surrounding =
  | 'engine'
  | 'registry'
  | 'queue'
  | 'store'
  | 'credentials'
  | 'disk'
  | 'memory'
  | 'matches'
  | 'files'
  | 'model'
  | 'container'

/**
 * The runner's surroundings are at fault (engine down, throttled, disk full …): nothing is recorded, the message
 * is released with backoff, and nothing more is received until a probe of `surrounding` passes.
 */
export class RetryableError extends Error {
  override readonly name = 'RetryableError'
  readonly surrounding: Surrounding

  constructor(surrounding: Surrounding, message: string, options?: ErrorOptions) {
    super(message, options)
    this.surrounding = surrounding
  }
}

/**
 * The job can't run yet, and nobody is at fault as far as this message goes (its match is parked, an earlier trial
 * is not final). The delivery is held by its heartbeat, outside the slots, and tried again.
 */
export class NotYetError extends Error {
  override readonly name = 'NotYetError'
  /** Seconds until the next try. */
  readonly retryAfterSeconds: number
  /** How far off its time is, in any measure: of too many that wait the farthest are given back. */
  readonly distance: number
  /** This machine is short of something just now: no more such jobs are taken in than it has slots. */
  readonly isShortage: boolean
  /** Its match is parked: only an administrator can end the waiting. */
  readonly parked: boolean
  readonly #sooner: Sooner | undefined

  constructor(
    message: string,
    retryAfterSeconds: number,
    options: ErrorOptions & {
      sooner?: Sooner
      distance?: number
      isShortage?: boolean
      parked?: boolean
    } = {},
  ) {
    super(message, options)
    this.retryAfterSeconds = retryAfterSeconds
    this.#sooner = options.sooner
    this.distance = options.distance ?? Infinity
    this.isShortage = options.isShortage ?? false
    this.parked = options.parked ?? false
  }

  /** Resolves when a try is worth while before that; never rejects. Asked for by whoever is going to wait. */
  get sooner(): Promise<void> | undefined {
    return typeof this.#sooner === 'function' ? this.#sooner() : this.#sooner
  }
}

type Sooner = Promise<void> | (() => Promise<void>)

/**
 * This machine can't run the job (too small, no GPU, no toolkit), and another may: it goes back for another runner, and
 * must not be dead-lettered for that.
 */
export class UnfitError extends Error {
  override readonly name = 'UnfitError'
}

/** The message is no longer ours: kill the container, write nothing, delete nothing. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError'
}

/** We were told to stop at once: kill the container, record nothing, release the message at visibility 0. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError'
}

/** The message can't be read: nothing is recorded, it is left to the dead-letter queue. */
export class PoisonError extends Error {
  override readonly name = 'PoisonError'
}

/** Exit codes of the program (BSD's sysexits.h where it has a name for it). */
export const EXIT = { drained: 0, failedStart: 1, usage: 2, unavailable: 69, config: 78 } as const

/** Somebody at the terminal can act: shown as what, why and how to fix, then the program ends. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError'
  /** What went wrong, one line. */
  readonly what: string
  /** The underlying message. */
  readonly why: string
  /** How to fix it, one or more lines. */
  readonly hint: string
  readonly exitCode: number

  constructor(
    what: string,
    why: string,
    hint: string,
    exitCode: number = EXIT.failedStart,
    options?: ErrorOptions,
  ) {
    super(why === '' ? what : `${what}: ${why}`, options)
    this.what = what
    this.why = why
    this.hint = hint
    this.exitCode = exitCode
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
