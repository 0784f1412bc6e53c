import { RetryableError } from '../core/errors.ts'

/**
 * A source of jobs with at-least-once delivery. Every method turns its vendor's errors into those of core/errors.ts:
 * RetryableError('queue' | 'credentials'), LeaseLostError (a receipt that is refused), OperatorError (a queue that
 * does not exist, keys that are wrong).
 */
export interface Queue {
  /** Cheap, touches no message; throws what is wrong. */
  probe(signal: AbortSignal): Promise<void>
  /**
   * One long poll for at most `max` (1–10) deliveries; resolves with none when there was nothing.
   * Aborting `signal` cuts the poll, which may lose sight of a message until its visibility ends.
   */
  receive(max: number, signal: AbortSignal): Promise<Delivery[]>
  /** Puts a message on the queue. */
  send(body: string): Promise<void>
  /** What happens to messages that fail again and again, where that may be asked; 'unknown' where it may not. */
  redrive(signal: AbortSignal): Promise<{ maxReceiveCount: number } | 'none' | 'unknown'>
  close(): void
}

/** The keys are good, but may not send to this queue. */
export class SendDeniedError extends RetryableError {
  constructor(message: string, options?: ErrorOptions) {
    super('credentials', message, options)
  }
}

export interface MessageCopy {
  /** Default: that of the original. */
  guard?: number
  /** Attempts that are to count as made already (message attribute `attempt`); default: those of the original. */
  attempts?: number
  /** Seconds until it is seen; default 0, at most 900. */
  afterSeconds?: number
}

/** One receive of a message. Settling it takes no abort signal: it must happen whatever stopped the work. */
export interface Delivery {
  /** The queue's id of the message, the same at every delivery of it. */
  readonly id: string
  readonly body: string
  /** How often it was received, this time included, from 1 (SQS ApproximateReceiveCount), with those of the message it is a copy of. */
  readonly attempt: number
  /** Number of this copy of its message; 0 = the message itself (message attribute `guard`). */
  readonly guard: number
  /** Wall clock when the message was sent, if the queue tells. */
  readonly sentAt: Date | undefined
  /** Monotonic ms (Clock.now) at the start of the request that brought it: the lease is counted from here. */
  readonly receivedAt: number
  /** Makes the lease end `seconds` from now. */
  extend(seconds: number): Promise<void>
  /** Deletes the message. */
  ack(): Promise<void>
  /**
   * Puts a copy on the queue: the same body and attributes, but a receive count that begins anew. SendDeniedError where
   * nobody may. Left out where a copy would break the order of messages (FIFO).
   */
  readonly sendCopy?: (copy: MessageCopy) => Promise<void>
  /** Gives the message back, to be seen again after `afterSeconds` (0 = at once). */
  release(afterSeconds: number): Promise<void>
}
