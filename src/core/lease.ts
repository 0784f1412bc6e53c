import { retryPauseMs } from './backoff.ts'
import { childSignal } from './child-signal.ts'
import { hasCome, type Clock } from './clock.ts'
import { LeaseLostError, messageOf } from './errors.ts'
import type { Logger } from './log.ts'

/** What a lease needs of a delivery (queues/queue.ts has the whole). */
export interface Renewable {
  /** Monotonic ms at the start of the request that brought it: the queue's own clock can't have begun earlier. */
  readonly receivedAt: number
  /** Makes the lease end `seconds` from now; LeaseLostError when the queue refuses. `cut` ends all tries. */
  extend(seconds: number, cut: AbortSignal): Promise<void>
}

export interface LeaseOptions {
  /** What each renewal asks for, and what the receive asked for. */
  visibilitySeconds: number
  /** From the start of one renewal to the start of the next. */
  heartbeatMs: number
  /** No lease lasts longer, counted from the receive: SQS refuses renewals beyond 12 h. */
  maxMs: number
  clock: Clock
  log: Logger
}

/** A renewal gets as long at least, since a slow answer is better than none. */
const SHORTEST_RENEWAL_MS = 1000

/** SQS's 12 h from the receive, less five minutes in which the work is wound up. */
export const MAX_LEASE_MS = (12 * 60 - 5) * 60_000

/** Longest work of a job whose message is held to its end; the rest is for its image, files and compiler. */
export const LONGEST_JOB_MS = 11 * 3_600_000

/**
 * The time for which a message is provably ours. It is renewed steadily, never doubled, and judged by the monotonic
 * clock from the START of the last confirmed renewal, so that neither a slow answer nor a frozen process can stretch it.
 */
export class Lease {
  /** Aborted when the lease is lost (LeaseLostError) or the runner stops at once (the parent's reason). */
  readonly signal: AbortSignal
  readonly #controller = new AbortController()
  readonly #ended = new AbortController()
  /** Unlike the end this cuts a renewal that is under way: its next try would be one too many. */
  readonly #cut = new AbortController()
  readonly #delivery: Renewable
  readonly #options: LeaseOptions
  readonly #parent: AbortSignal
  readonly #capMs: number
  readonly #heartbeat: Promise<void>
  #deadlineMs: number
  #lost: LeaseLostError | undefined

  constructor(delivery: Renewable, options: LeaseOptions, parent: AbortSignal) {
    this.#delivery = delivery
    this.#options = options
    this.#parent = parent
    this.signal = this.#controller.signal
    this.#capMs = delivery.receivedAt + options.maxMs
    this.#deadlineMs = this.#deadlineFrom(delivery.receivedAt)
    if (parent.aborted) this.#onParentAbort()
    else parent.addEventListener('abort', this.#onParentAbort, { once: true })
    this.#heartbeat = this.#beat()
    void this.#watch()
  }

  /** Throws LeaseLostError unless the message is provably ours at this instant. */
  assertHeld(): void {
    // A process that was frozen wakes with its timers late: the clock decides, not the timer.
    if (this.#options.clock.now() >= this.#deadlineMs) this.#runOut()
    if (this.#lost !== undefined) throw this.#lost
  }

  /** Ends the renewals; resolves when none is under way, so that none can undo a release. Safe to call twice. */
  async end(): Promise<void> {
    this.#parent.removeEventListener('abort', this.#onParentAbort)
    this.#ended.abort()
    await this.#heartbeat
  }

  readonly #onParentAbort = (): void => {
    this.#controller.abort(this.#parent.reason)
  }

  #deadlineFrom(startMs: number): number {
    const visibilityMs = this.#options.visibilitySeconds * 1000
    // 55 of 60 seconds: the rest is for the kill and for clocks that run at different speeds.
    return Math.min(startMs + visibilityMs - Math.min(5000, visibilityMs / 4), this.#capMs)
  }

  #runOut(): void {
    this.#lose(
      this.#deadlineMs >= this.#capMs ? 'the longest time a message can be held is over' : 'it ran out',
    )
  }

  #lose(why: string, cause?: unknown): void {
    if (this.#lost !== undefined) return
    this.#lost = new LeaseLostError(`the lease on the message is lost: ${why}`, { cause })
    this.#controller.abort(this.#lost)
    this.#ended.abort()
    this.#cut.abort(this.#lost)
  }

  async #beat(): Promise<void> {
    const { clock, heartbeatMs, log } = this.#options
    let failures = 0
    let lastMs = clock.now()
    while (!this.#ended.signal.aborted) {
      const left = this.#deadlineMs - clock.now()
      // Counted from its start: one that took long does not put off the next.
      const pause =
        failures === 0
          ? Math.min(lastMs + heartbeatMs - clock.now(), left / 2)
          : Math.min(retryPauseMs(failures - 1, 250, 5000), left / 2)
      try {
        await clock.sleep(Math.max(pause, 1), this.#ended.signal)
      } catch {
        return
      }
      const startMs = clock.now()
      lastMs = startMs
      // A process that was frozen wakes here: what is over by then may be another's by now.
      if (startMs >= this.#deadlineMs) {
        this.#runOut()
        return
      }
      // Beyond the cap there is nothing to ask for; the watch ends the lease there.
      if (this.#capMs - startMs < 1000) return
      try {
        await this.#renew((this.#deadlineMs - startMs) / 3)
        this.#deadlineMs = this.#deadlineFrom(startMs)
        failures = 0
      } catch (error) {
        if (error instanceof LeaseLostError) this.#lose(error.message, error)
        if (this.#lost !== undefined) return
        failures += 1
        log.warn('Renewing the lease failed; trying again', { error: messageOf(error), failures })
      }
    }
  }

  /** One renewal, cut after `ms`: one that nobody answers must leave time for others. */
  async #renew(ms: number): Promise<void> {
    const { clock, visibilitySeconds } = this.#options
    const { signal, cut, free } = childSignal(this.#cut.signal)
    const over = new AbortController()
    const boundMs = Math.max(ms, SHORTEST_RENEWAL_MS)
    clock.sleep(boundMs, over.signal).then(
      () => {
        cut(new Error(`no answer within ${Math.round(boundMs / 1000)} s`))
      },
      () => undefined,
    )
    try {
      await this.#delivery.extend(visibilitySeconds, signal)
    } catch (error) {
      throw signal.aborted && !(error instanceof LeaseLostError) ? signal.reason : error
    } finally {
      over.abort()
      free()
    }
  }

  /** Ends the lease at its deadline even when a renewal hangs. */
  async #watch(): Promise<void> {
    if (await hasCome(() => this.#deadlineMs, this.#options.clock, this.#ended.signal)) this.#runOut()
  }
}
