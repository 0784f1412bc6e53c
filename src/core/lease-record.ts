import { retryPauseMs } from './backoff.ts'
import { hasCome, type Clock } from './clock.ts'
import { LeaseLostError, messageOf } from './errors.ts'
import type { Logger } from './log.ts'

/** Who works a job that is older than any message of it can be held; docs/reliability.md has the protocol. */
export interface LeaseRecord {
  /** The owner's, new for every take-over. */
  token: string
  /** Grows by one with each sign of life. */
  beat: number
  /** Messages with a smaller guard number are out of date. */
  guard: number
  /** Seconds for which the owner trusts a beat at most; undefined = as we do ourselves. */
  holdSeconds: number | undefined
}

/** The lease records of one kind. Each write is conditional: false = the condition did not hold, nothing was written. */
export interface LeaseRecords {
  read(job: string): Promise<LeaseRecord | undefined>
  /** Where there is none. */
  create(job: string, token: string): Promise<boolean>
  /** Where the token is the one given. */
  beat(job: string, token: string): Promise<boolean>
  setGuard(job: string, token: string, guard: number): Promise<boolean>
  /** Where token and beat are still those that were seen; the guard becomes 0. */
  take(job: string, seen: LeaseRecord, token: string): Promise<boolean>
  /** Where the token is the one given. */
  remove(job: string, token: string): Promise<boolean>
}

/** On what condition a result may be written: no lease record, or ours, which then goes with the same write. */
export interface Fence {
  job: string
  /** Ours; undefined = there must be none. */
  token: string | undefined
}

/** What a receiver does with a message, by what it finds. */
export type Finding =
  | 'ordinary' // no record: the message is the lease
  | 'stale' // a later copy is on the queue: delete this one
  | 'owned' // somebody works the job: hold the message, and watch

/** Judges a message by its guard number; a result that is there is looked for elsewhere. */
export function judgeMessage(guard: number, record: LeaseRecord | undefined): Finding {
  if (record === undefined) return 'ordinary'
  // Not "other than": the copy may come before the record knows of it, and nobody else would have it.
  return guard < record.guard ? 'stale' : 'owned'
}

/** Of a hold of 60 s an owner uses 55, and others wait 65: for the kill, and for clocks of different speeds. */
function marginMs(holdSeconds: number): number {
  return Math.min(5000, holdSeconds * 250)
}

/** Milliseconds after the start of its last confirmed beat at which an owner gives its job up. */
export function ownerPatienceMs(holdSeconds: number): number {
  return holdSeconds * 1000 - marginMs(holdSeconds)
}

/** Milliseconds without a beat, by one's own clock, after which an owner counts as dead. */
export function heirPatienceMs(holdSeconds: number): number {
  return holdSeconds * 1000 + marginMs(holdSeconds)
}

export interface RecordLeaseOptions {
  records: LeaseRecords
  job: string
  token: string
  /** Monotonic ms at the start of the write that made the record ours. */
  since: number
  holdSeconds: number
  heartbeatMs: number
  clock: Clock
  log: Logger
  /** Told once, when the record is not provably ours any more. */
  onLost: (error: LeaseLostError) => void
}

/** A job that is ours by its record: a beat every `heartbeatMs`, judged by the monotonic clock from its START. */
export class RecordLease {
  readonly #o: RecordLeaseOptions
  readonly #ended = new AbortController()
  readonly #beating: Promise<void>
  #deadlineMs: number
  #lost: LeaseLostError | undefined

  constructor(options: RecordLeaseOptions) {
    this.#o = options
    this.#deadlineMs = options.since + ownerPatienceMs(options.holdSeconds)
    this.#beating = this.#beat()
    void this.#watch()
  }

  /** Throws LeaseLostError unless the job is provably ours at this instant. */
  assertHeld(): void {
    if (this.#lost === undefined && this.#o.clock.now() >= this.#deadlineMs) this.lose('it ran out')
    if (this.#lost !== undefined) throw this.#lost
  }

  /** Ends the beats; resolves when none is under way. */
  async end(): Promise<void> {
    this.#ended.abort()
    await this.#beating
  }

  /** Gives the job up. */
  lose(why: string, cause?: unknown): void {
    if (this.#lost !== undefined) return
    this.#lost = new LeaseLostError(`the lease record of the job is lost: ${why}`, { cause })
    this.#ended.abort()
    this.#o.onLost(this.#lost)
  }

  async #beat(): Promise<void> {
    const { records, job, token, clock, heartbeatMs, holdSeconds, log } = this.#o
    let failures = 0
    for (;;) {
      const left = this.#deadlineMs - clock.now()
      const pause = failures === 0 ? heartbeatMs : retryPauseMs(failures - 1, 250, 5000)
      try {
        await clock.sleep(Math.max(Math.min(pause, left / 2), 1), this.#ended.signal)
      } catch {
        return
      }
      const startMs = clock.now()
      try {
        if (!(await records.beat(job, token))) {
          this.lose('another runner has taken it')
          return
        }
        this.#deadlineMs = startMs + ownerPatienceMs(holdSeconds)
        failures = 0
      } catch (error) {
        failures += 1
        log.warn('Renewing the lease record failed; trying again', { error: messageOf(error), failures })
      }
    }
  }

  /** Ends it at its deadline even when a beat hangs. */
  async #watch(): Promise<void> {
    if (await hasCome(() => this.#deadlineMs, this.#o.clock, this.#ended.signal)) this.lose('it ran out')
  }
}
