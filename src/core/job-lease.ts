import { randomUUID } from 'node:crypto'
import { retryPauseMs } from './backoff.ts'
import type { Clock } from './clock.ts'
import { LeaseLostError, messageOf } from './errors.ts'
import type { Lease } from './lease.ts'
import { RecordLease, type Fence, type LeaseRecords } from './lease-record.ts'
import type { Logger } from './log.ts'

/** What a job's lease needs of the message that brought it. */
export interface LeasedMessage {
  readonly receivedAt: number
  readonly attempt: number
  ack(): Promise<void>
  /** Puts a copy with another guard number on the queue. Left out where nobody may send, or order would suffer. */
  readonly sendCopy?: (copy: { guard: number; attempts: number }) => Promise<void>
}

/** How jobs go on beyond the longest time for which a message can be held. */
export interface HandoverOptions {
  records: LeaseRecords
  /** Milliseconds from the receive on after which the record takes the message's place. */
  afterMs: number
}

export interface JobLeaseOptions {
  job: string
  /** That of the message, under way since its receive; ended with the job's. */
  message: Lease
  /** For which a beat of the record is trusted. */
  holdSeconds: number
  heartbeatMs: number
  /** Whether the job is at work; one that only waits may as well come back as a message. */
  isWorking: () => boolean
  /** Left out = a job lasts no longer than its message can be held. */
  handover: HandoverOptions | undefined
  /** The token of a record that was just taken over, and the monotonic ms at the start of that write. */
  taken?: { token: string; since: number }
  clock: Clock
  log: Logger
}

/** A copy never gets as old as the longest lease before the next one follows. */
const LONGEST_COPY_INTERVAL_MS = 6 * 3600_000
/** Between two looks whether an old job that waits is at work again. */
const LOOK_MS = 1000

/**
 * The time for which a job is provably ours: by its message at first, by a record in the table once the message gets
 * too old to be held. The steps h1 to h4 are those of docs/reliability.md; their order is the proof.
 */
export class JobLease {
  /** Aborted when the job is lost (LeaseLostError) or the runner stops at once (the parent's reason). */
  readonly signal: AbortSignal
  readonly #controller = new AbortController()
  readonly #message: Lease
  readonly #delivery: LeasedMessage
  readonly #o: JobLeaseOptions
  readonly #ended = new AbortController()
  readonly #handingOver: Promise<void>
  #token: string | undefined
  #record: RecordLease | undefined
  /** The message is gone: it is the record that counts, and nothing is left to give back. */
  #isHandedOver = false

  constructor(delivery: LeasedMessage, options: JobLeaseOptions, parent: AbortSignal) {
    this.signal = this.#controller.signal
    this.#delivery = delivery
    this.#o = options
    this.#message = options.message
    const onMessageEnd = (): void => {
      // From the record on the message is only a messenger; a stop counts all the same.
      if (this.#record === undefined || parent.aborted) this.#controller.abort(this.#message.signal.reason)
    }
    if (this.#message.signal.aborted) onMessageEnd()
    else this.#message.signal.addEventListener('abort', onMessageEnd, { once: true })
    this.#parent = parent
    parent.addEventListener('abort', this.#onParentAbort, { once: true })
    this.#handingOver = this.#handOver().catch((error: unknown) => {
      this.#record?.lose(messageOf(error), error)
    })
  }

  readonly #parent: AbortSignal
  readonly #onParentAbort = (): void => {
    this.#controller.abort(this.#parent.reason)
  }

  /** On what condition a result of this job may be written. */
  get fence(): Fence | undefined {
    if (this.#o.handover === undefined) return undefined
    return { job: this.#o.job, token: this.#token }
  }

  /** Whether there is a message to give back: once the record has taken its place there is none. */
  get hasMessage(): boolean {
    return !this.#isHandedOver
  }

  /** Removes the record of a job that turned out to have its result; a failure leaves it to its time to live. */
  async dropRecord(): Promise<void> {
    const { handover, job, log } = this.#o
    if (handover === undefined || this.#token === undefined) return
    await handover.records.remove(job, this.#token).catch((error: unknown) => {
      log.debug('Removing a lease record failed', { error: messageOf(error) })
    })
  }

  /** Throws LeaseLostError unless the job is provably ours at this instant. */
  assertHeld(): void {
    if (this.#record === undefined) this.#message.assertHeld()
    else this.#record.assertHeld()
    const { reason } = this.signal as { reason: unknown }
    if (reason instanceof LeaseLostError) throw reason
  }

  /** Ends all renewals; resolves when none is under way, so that none can undo a release. Safe to call twice. */
  async end(): Promise<void> {
    this.#parent.removeEventListener('abort', this.#onParentAbort)
    this.#ended.abort()
    await Promise.all([this.#message.end(), this.#record?.end(), this.#handingOver])
  }

  async #handOver(): Promise<void> {
    const { handover, clock, log, taken } = this.#o
    const { sendCopy } = this.#delivery
    if (handover === undefined) return
    const ended = AbortSignal.any([this.#ended.signal, this.signal])
    try {
      if (taken !== undefined) {
        this.#own(handover.records, taken.token, taken.since)
      } else {
        await clock.sleep(Math.max(0, this.#delivery.receivedAt + handover.afterMs - clock.now()), ended)
        while (!this.#o.isWorking()) await clock.sleep(LOOK_MS, ended)
        if (sendCopy === undefined) {
          log.warn('The job can not outlast its message: on this queue a copy would break the order')
          return
        }
        log.info('The job outlasts its message: a lease record takes its place')
        if (!(await this.#create(handover.records, ended))) return
      }
      for (let guard = 1; ; guard += 1) {
        await this.#sendUntilAcknowledged(guard, ended)
        if (!(await this.#setGuard(handover.records, guard, ended))) {
          this.#record?.lose('another runner has taken it')
          return
        }
        if (guard === 1) {
          this.#isHandedOver = true
          await this.#message.end()
          await this.#delivery.ack().catch((error: unknown) => {
            // Out of date from now on: whoever receives it will delete it.
            log.debug('Deleting the message of a job that goes on failed', { error: messageOf(error) })
          })
        }
        await clock.sleep(Math.min(LONGEST_COPY_INTERVAL_MS, handover.afterMs / 2), ended)
      }
    } catch (error) {
      if (!ended.aborted) throw error
    }
  }

  /** h1: from here on the record is the lease. */
  async #create(records: LeaseRecords, ended: AbortSignal): Promise<boolean> {
    const token = randomUUID()
    for (let n = 0; ; n += 1) {
      const since = this.#o.clock.now()
      try {
        const isOurs = (await records.create(this.#o.job, token)) || (await this.#isOurs(records, token))
        if (isOurs) this.#own(records, token, since)
        else this.#controller.abort(new LeaseLostError('another runner has a lease record of the job'))
        return isOurs
      } catch (error) {
        this.#o.log.warn('Writing the lease record failed; trying again', { error: messageOf(error) })
        await this.#o.clock.sleep(retryPauseMs(n, 500, 20_000), ended)
      }
    }
  }

  /** A try whose answer was lost may have had its effect. */
  async #isOurs(records: LeaseRecords, token: string): Promise<boolean> {
    return (await records.read(this.#o.job))?.token === token
  }

  #own(records: LeaseRecords, token: string, since: number): void {
    const { job, holdSeconds, heartbeatMs, clock, log } = this.#o
    this.#token = token
    this.#record = new RecordLease({
      records,
      job,
      token,
      since,
      holdSeconds,
      heartbeatMs,
      clock,
      log,
      onLost: (error) => {
        this.#controller.abort(error)
      },
    })
  }

  /** h2: never given up while the record is ours, since nobody else has the job. */
  async #sendUntilAcknowledged(guard: number, ended: AbortSignal): Promise<void> {
    for (let n = 0; ; n += 1) {
      ended.throwIfAborted()
      try {
        await this.#delivery.sendCopy?.({ guard, attempts: this.#delivery.attempt })
        return
      } catch (error) {
        this.#o.log.warn('Sending the copy of a long job failed; trying again', { error: messageOf(error) })
        await this.#o.clock.sleep(retryPauseMs(n, 500, 20_000), ended)
      }
    }
  }

  /** h3. */
  async #setGuard(records: LeaseRecords, guard: number, ended: AbortSignal): Promise<boolean> {
    for (let n = 0; ; n += 1) {
      ended.throwIfAborted()
      try {
        return await records.setGuard(this.#o.job, this.#token ?? '', guard)
      } catch (error) {
        this.#o.log.warn('Writing the lease record failed; trying again', { error: messageOf(error) })
        await this.#o.clock.sleep(retryPauseMs(n, 500, 20_000), ended)
      }
    }
  }
}
