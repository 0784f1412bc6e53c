import type { Delivery, Queue } from '../queues/queue.ts'
import { releaseDelaySeconds, retryPauseMs } from './backoff.ts'
import { Breaker, type Probe } from './breaker.ts'
import type { Clock } from './clock.ts'
import {
  JobError,
  LeaseLostError,
  messageOf,
  NotYetError,
  PoisonError,
  RetryableError,
  StoppedError,
  type Surrounding,
} from './errors.ts'
import type { Handler, JobContext } from './kind.ts'
import { Lease, MAX_LEASE_MS } from './lease.ts'
import type { Logger } from './log.ts'
import type { JobOutcome, JobView, WorkerObserver } from './observer.ts'
import { processJob, saveFailure } from './processor.ts'
import { Slots } from './slots.ts'
import { Timeline } from './timeline.ts'

/** What the worker needs to know of a kind. P = payload, I = input, R = result. */
export interface WorkerKind<P, I, R> {
  name: string
  /** Reads a message's body; PoisonError when it can't be read. */
  parseMessage(body: string): P
  handler: Handler<P, I, R>
}

export interface WorkerOptions<P, I, R> {
  kind: WorkerKind<P, I, R>
  queue: Queue
  /** How to ask whether each part of the surroundings works again. */
  probes: Partial<Record<Surrounding, Probe>>
  concurrency: number
  /** Stop after that many jobs; 0 = no end. */
  num: number
  /** Return when the queue stays empty for one whole long poll and nothing runs. */
  drainQueue: boolean
  /** Pause after an empty poll, and the first pause after an error. */
  intervalMs: number
  visibilitySeconds: number
  heartbeatMs: number
  /** Attempts that delivered their input before a job is given up; 0 = never. */
  maxReceiveCount: number
  /** Most messages held outside the slots. */
  maxHeld: number
  /** No new jobs once aborted; running ones go on. */
  drain: AbortSignal
  /** Everything ends at once when aborted. */
  abort: AbortSignal
  clock: Clock
  log: Logger
  observer: WorkerObserver
}

const ACK_RETRIES = 5

/** Ten receives (SQS counts each) take more than an hour, and yet nobody waits long for one that is away. */
const LONGEST_RETURN_SECONDS = 600

/** A message that waits outside the slots. */
interface Held {
  distance: number
  giveBack(): void
}

/**
 * Works a queue until it is drained, told to stop, or has done `num` jobs. Resolves when no job of its own is left;
 * rejects with the abort signal's reason after a forced stop, and with the queue's OperatorError.
 */
export async function runWorker<P, I, R>(options: WorkerOptions<P, I, R>): Promise<void> {
  await new Worker(options).run()
  options.abort.throwIfAborted()
}

class Worker<P, I, R> {
  readonly #o: WorkerOptions<P, I, R>
  readonly #slots: Slots
  readonly #breaker: Breaker
  readonly #active = new Set<Promise<void>>()
  readonly #held = new Set<Held>()
  #done = 0

  constructor(options: WorkerOptions<P, I, R>) {
    this.#o = options
    this.#slots = new Slots(options.concurrency)
    this.#breaker = new Breaker(options)
  }

  async run(): Promise<void> {
    const { drain, observer } = this.#o
    const wake = (): void => {
      this.#slots.notify()
    }
    drain.addEventListener('abort', wake, { once: true })
    try {
      observer.stateChanged('polling')
      await this.#poll()
      observer.stateChanged('draining')
    } finally {
      drain.removeEventListener('abort', wake)
      await Promise.all(this.#active)
      observer.stateChanged('stopped')
    }
  }

  /** The one poller of all slots. */
  async #poll(): Promise<void> {
    const { queue, drain, abort, clock, intervalMs, log } = this.#o
    let failures = 0
    while (!drain.aborted) {
      if (this.#o.num > 0 && this.#done >= this.#o.num) return
      try {
        await this.#breaker.whenWell(drain)
      } catch {
        return
      }
      const max = this.#wanted()
      if (max === 0) {
        await this.#slots.changed()
        continue
      }
      let deliveries: Delivery[]
      try {
        // A drain doesn't cut the poll: it may already hold a message.
        deliveries = await queue.receive(max, abort)
        failures = 0
      } catch (error) {
        if (abort.aborted) return
        if (!(error instanceof RetryableError)) throw error
        if (failures === 0) log.error('Receiving failed; trying again', { error: error.message })
        failures += 1
        await this.#pause(retryPauseMs(failures - 1, Math.max(intervalMs, 100), 60_000))
        if (error.surrounding !== 'queue') this.#breaker.report(error)
        continue
      }
      for (const delivery of deliveries) this.#take(delivery)
      if (deliveries.length > 0) continue
      if (this.#o.drainQueue && this.#active.size === 0) return
      await clock.sleep(intervalMs, drain).catch(() => undefined)
    }
  }

  /** How many messages may be asked for now. */
  #wanted(): number {
    const { num } = this.#o
    const budget = num === 0 ? Infinity : num - this.#done - this.#active.size
    return Math.max(0, Math.min(this.#slots.freeCount, 10, budget))
  }

  async #pause(ms: number): Promise<void> {
    await this.#o.clock.sleep(ms, this.#o.drain).catch(() => undefined)
  }

  #take(delivery: Delivery): void {
    const job = this.#handle(delivery)
      .catch((error: unknown) => {
        // Nothing below should throw; if it does the message simply comes again.
        this.#o.log.critical('Settling a message failed unexpectedly', {
          message: delivery.id,
          error: messageOf(error),
        })
      })
      .finally(() => {
        this.#active.delete(job)
        this.#slots.notify()
      })
    this.#active.add(job)
  }

  /** One delivery from its receive to its settlement. Settling never listens to the signals that stop the work. */
  async #handle(delivery: Delivery): Promise<void> {
    const { kind, drain, abort, clock, log: parentLog } = this.#o
    const log = parentLog.child({ kind: kind.name, message: delivery.id, attempt: delivery.attempt })
    if (drain.aborted) {
      await this.#release(delivery, 0, log)
      return
    }
    let payload: P
    try {
      payload = kind.parseMessage(delivery.body)
    } catch (error) {
      // A reader that fails in any other way than saying so can't read the message either.
      const excerpt = delivery.body.slice(0, 200)
      const reason = error instanceof PoisonError ? error.message : `bug in the reader: ${messageOf(error)}`
      log.error('Unreadable message, left to the dead-letter queue', { reason, body: excerpt })
      return
    }
    const lease = new Lease(
      delivery,
      {
        visibilitySeconds: this.#o.visibilitySeconds,
        heartbeatMs: this.#o.heartbeatMs,
        maxMs: MAX_LEASE_MS,
        clock,
        log,
      },
      abort,
    )
    try {
      await this.#work(delivery, payload, lease, log)
    } finally {
      await lease.end()
    }
  }

  /** Runs the job in a slot, as often as it says "not yet". */
  async #work(delivery: Delivery, payload: P, lease: Lease, parentLog: Logger): Promise<void> {
    const { kind, clock, drain } = this.#o
    const identity = kind.handler.identify(payload)
    const log = parentLog.child({ job: identity.id, ...identity.fields })
    let waited = false
    for (;;) {
      const timeline = new Timeline(clock)
      if (delivery.sentAt !== undefined)
        timeline.add('queued', Math.max(0, clock.date().getTime() - delivery.sentAt.getTime()))
      const job: JobContext = {
        attempt: delivery.attempt,
        signal: lease.signal,
        assertHeld: () => {
          lease.assertHeld()
        },
        log,
        timeline,
      }
      let slot: number
      try {
        slot = await this.#slots.acquire(lease.signal)
      } catch (error) {
        await this.#settleThrown(error, delivery, payload, lease, job)
        return
      }
      const view: JobView = { kind: kind.name, identity, slot, since: clock.now(), timeline }
      this.#o.observer.jobStarted(view)
      if (!waited) log.info('Job started')
      let outcome: JobOutcome = 'released'
      try {
        outcome = await processJob(kind.handler, payload, job)
        await this.#acknowledge(delivery, lease, log)
      } catch (error) {
        if (error instanceof NotYetError && !drain.aborted && this.#makeRoom(error.distance)) {
          outcome = 'held'
          // Said once per delivery: a job may look whether its time has come every second, for an hour.
          if (!waited) log.info('Job waits', { reason: error.message })
          waited = true
          this.#slots.release(slot)
          this.#o.observer.jobEnded(view, outcome)
          slot = -1
          if (await this.#hold(error, delivery, lease, log)) continue
          return
        }
        outcome = await this.#settleThrown(error, delivery, payload, lease, job)
      } finally {
        if (slot >= 0) {
          timeline.leave()
          if (outcome === 'succeeded' || outcome === 'failed' || outcome === 'settled') this.#done += 1
          this.#slots.release(slot)
          this.#o.observer.jobEnded(view, outcome)
          log.info('Job ended', {
            outcome,
            ms: Math.round(clock.now() - view.since),
            phases: timeline.phases(),
          })
        }
      }
      return
    }
  }

  /** Whether one more message can be held; one that is farther from its time may have to give way. */
  #makeRoom(distance: number): boolean {
    if (this.#held.size < this.#o.maxHeld) return true
    let farthest: Held | undefined
    for (const held of this.#held) {
      if (farthest === undefined || held.distance > farthest.distance) farthest = held
    }
    if (farthest === undefined || farthest.distance <= distance) return false
    farthest.giveBack()
    return true
  }

  /** Waits outside the slots, the message held by its heartbeat. False = it was given back or lost meanwhile. */
  async #hold(notYet: NotYetError, delivery: Delivery, lease: Lease, log: Logger): Promise<boolean> {
    const { drain, clock } = this.#o
    const { retryAfterSeconds, sooner, distance } = notYet
    const wait = new AbortController()
    const stop = (): void => {
      wait.abort()
    }
    const held: Held = {
      distance,
      giveBack: () => {
        this.#held.delete(held)
        stop()
      },
    }
    this.#held.add(held)
    lease.signal.addEventListener('abort', stop, { once: true })
    drain.addEventListener('abort', stop, { once: true })
    try {
      const time = clock.sleep(retryAfterSeconds * 1000, wait.signal)
      await (sooner === undefined ? time : Promise.race([time, sooner]))
      wait.signal.throwIfAborted()
      return true
    } catch {
      // A lost lease leaves the message alone.
      if (!(lease.signal.reason instanceof LeaseLostError)) {
        await lease.end()
        await this.#release(delivery, this.#releaseDelay(notYet, delivery), log)
      }
      return false
    } finally {
      wait.abort()
      this.#held.delete(held)
      lease.signal.removeEventListener('abort', stop)
      drain.removeEventListener('abort', stop)
    }
  }

  /** Seconds until a message comes again that there was no room for. */
  #releaseDelay({ retryAfterSeconds }: NotYetError, { attempt }: Delivery): number {
    if (this.#o.drain.aborted || this.#o.abort.aborted) return 0
    return Math.max(
      Math.ceil(retryAfterSeconds),
      Math.min(releaseDelaySeconds(attempt), LONGEST_RETURN_SECONDS),
    )
  }

  /** Decides by the class of what was thrown; see core/errors.ts. */
  async #settleThrown(
    error: unknown,
    delivery: Delivery,
    payload: P,
    lease: Lease,
    job: JobContext,
  ): Promise<JobOutcome> {
    const { log } = job
    // A stop or a lost lease makes the work fail in many ways; the signal knows the real reason.
    const cause: unknown = lease.signal.aborted ? lease.signal.reason : error
    if (cause instanceof LeaseLostError) {
      log.warn('Lease lost: nothing is written, the message is left alone', { reason: cause.message })
      return 'lost'
    }
    if (cause instanceof StoppedError) {
      await lease.end()
      await this.#release(delivery, 0, log)
      return 'released'
    }
    if (cause instanceof NotYetError) {
      await lease.end()
      // There is no room to hold it. Every receive counts towards the dead-letter queue, so that they must grow rare.
      const seconds = Math.max(Math.ceil(cause.retryAfterSeconds), releaseDelaySeconds(delivery.attempt))
      await this.#release(delivery, this.#o.drain.aborted ? 0 : seconds, log)
      return 'released'
    }
    if (cause instanceof RetryableError) {
      log.error('The surroundings failed; the job will be tried again', {
        surrounding: cause.surrounding,
        error: cause.message,
      })
      this.#breaker.report(cause)
    } else {
      log.error('Unexpected error; the job will be tried again', {
        error: messageOf(cause),
        stack: cause instanceof Error ? cause.stack : undefined,
      })
      if (await this.#giveUp(delivery, payload, lease, job)) return 'failed'
    }
    await lease.end()
    await this.#release(delivery, releaseDelaySeconds(delivery.attempt), log)
    return 'released'
  }

  /** The end of a job that got its input again and again and was each time cut off, while all else works. */
  async #giveUp(delivery: Delivery, payload: P, lease: Lease, job: JobContext): Promise<boolean> {
    const { maxReceiveCount, kind } = this.#o
    if (maxReceiveCount === 0 || delivery.attempt < maxReceiveCount || job.timeline.startedAt === undefined)
      return false
    if (!(await this.#breaker.allWell(lease.signal))) return false
    try {
      const failure = new JobError(
        'too_many_attempts',
        'Internal Server Error',
        `given up after ${delivery.attempt} attempts`,
      )
      await saveFailure(kind.handler, payload, failure, job)
      await this.#acknowledge(delivery, lease, job.log)
      return true
    } catch (error) {
      job.log.error('Recording the failure failed; the job will be tried again', { error: messageOf(error) })
      return false
    }
  }

  /** Deletes the message of a job whose result is stored. A failure is healed by the next delivery. */
  async #acknowledge(delivery: Delivery, lease: Lease, log: Logger): Promise<void> {
    // The renewals go on while the delete is tried, so that nobody else is bothered with a finished job.
    for (let n = 0; ; n += 1) {
      try {
        await delivery.ack()
        return
      } catch (error) {
        if (error instanceof LeaseLostError || n === ACK_RETRIES) {
          log.warn('Deleting the message failed; its next delivery will find the result', {
            error: messageOf(error),
          })
          return
        }
        await this.#o.clock.sleep(retryPauseMs(n, 200, 3000), lease.signal).catch(() => undefined)
      }
    }
  }

  async #release(delivery: Delivery, afterSeconds: number, log: Logger): Promise<void> {
    for (let n = 0; n < 3; n += 1) {
      try {
        await delivery.release(afterSeconds)
        log.info('Message released', { after_seconds: afterSeconds })
        return
      } catch (error) {
        log.warn('Releasing the message failed', { error: messageOf(error) })
        if (error instanceof LeaseLostError) return
        await this.#o.clock.sleep(retryPauseMs(n, 100, 1000)).catch(() => undefined)
      }
    }
  }
}
