import type { JobError } from './errors.ts'
import type { Fence } from './lease-record.ts'
import type { Logger } from './log.ts'
import type { Timeline } from './timeline.ts'

/** Who a job is, for logs, container names and idempotency. */
export interface JobIdentity {
  /** Unique among the jobs of its kind, e.g. `<match>#<participant>#<trial>`. */
  id: string
  /** Short form of letters, digits and dashes for container names. */
  shortId: string
  /** Shown beside the id in the log. */
  fields: Readonly<Record<string, string>>
}

/** What a job may use while it runs. */
export interface JobContext {
  /** How often the queue has handed out this message, from 1. */
  attempt: number
  /** Aborted when the lease is lost or the runner stops at once; its reason says which. */
  signal: AbortSignal
  /** Throws LeaseLostError when the message is not provably ours any more; asked right before every write. */
  assertHeld(): void
  /** On what condition its result may be written; undefined where there are no lease records. */
  readonly fence?: Fence | undefined
  log: Logger
  timeline: Timeline
}

/** What came of a write that may happen once. */
export type WriteOutcome = 'written' | 'exists'

/**
 * What a kind knows: how to read a message, what to run, how to store a result. The worker knows the rest.
 * P = payload (the message), I = input (what was read for it), R = result.
 */
export interface Handler<P, I, R> {
  identify(payload: P): JobIdentity
  /** Reads all that the job needs. 'settled' = its result is there already, nothing is to be run. */
  prepare(payload: P, job: JobContext): Promise<I | 'settled'>
  /** Runs it. A JobError thrown here is recorded by `saveFailure`. */
  run(payload: P, input: I, job: JobContext): Promise<R>
  saveSuccess(payload: P, result: R, job: JobContext): Promise<WriteOutcome>
  saveFailure(payload: P, failure: JobError, job: JobContext): Promise<WriteOutcome>
  /** After the result is there (written now or found), before the message is deleted. Must be repeatable. */
  announce?(payload: P, job: JobContext): Promise<void>
}
