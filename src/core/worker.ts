import type { Delivery, Queue } from '../queues/queue.ts'
import { releaseDelaySeconds, retryPauseMs } from './backoff.ts'
import { Breaker, type Probe } from './breaker.ts'
import { childSignal } from './child-signal.ts'
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
  UnfitError,
} from './errors.ts'
import type { Handler, JobContext, JobIdentity } from './kind.ts'
import { JobLease, type HandoverOptions } from './job-lease.ts'
import { Lease, MAX_LEASE_MS } from './lease.ts'
import type { Logger } from './log.ts'
import type { JobOutcome, JobView, WorkerObserver } from './observer.ts'
import { processJob, saveFailure, type SavePatience } from './processor.ts'
import { Returns } from './returns.ts'
import { Slots } from './slots.ts'
import { standBy, type StandByEnd } from './stand-by.ts'
import { Tally } from './tally.ts'
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
  /** Asked before each receive: what can't be run now need not be received. Throws RetryableError. */
  beforeReceive?: Probe
  concurrency: number
  /** Stop after that many jobs; 0 = no end. */
  num: number
  /** Return when the queue stays empty for one whole long poll and nothing runs. */
  drainQueue: boolean
  /** Pause after an empty poll, and the first pause after an error. */
  intervalMs: number
  visibilitySeconds: number
  heartbeatMs: number
  /** No message is held longer; left out = as long as SQS lets one be held. */
  longestLeaseMs?: number
  /** Attempts of this process that delivered their input before a job is given up; 0 = never. */
  maxReceiveCount: number
  /** How jobs go on that outlast their message; undefined = they don't. */
  handover?: HandoverOptions | undefined
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

/** One lost poll is no news; after so many in a row that failed the runner is not ready. */
const PAUSED_AFTER = 2
const ACK_RETRIES = 5
/** Messages are many: no more of their counts are remembered. */
const MOST_REMEMBERED = 1000
/** The surroundings that a job itself may bring down by what it does. */
const IN_REACH_OF_JOBS = new Set<Surrounding>(['engine', 'container'])

/** A job with its message, on its way through the slots. */
interface Work<P> {
  delivery: Delivery
  payload: P
  identity: JobIdentity
  lease: JobLease
  place: Place
  log: Logger
}

/** Where a job runs; no slot while it waits. */
interface Place {
  slot: number | undefined
  /** That of its last try. */
  timeline?: Timeline
}

type TakenOver = Extract<StandByEnd, { state: 'taken' }>

/** One that is away may be the next by then, and all others of its participant wait for it. */
const LONGEST_RETURN_SECONDS = 120
/** Of those that must not be given back any more, so many times `maxHeld` are held beside it. */
const STAYING_SHARE = 10

/** Between two looks whether this machine can run a job by now that can't be passed on. */
const UNFIT_HOLD_SECONDS = 600

/** A message that waits outside the slots. */
interface Held {
  distance: number
  /** It was received so often that it would soon be dead-lettered. */
  stays: boolean
  /** Only an administrator can end its wait. */
  parked: boolean
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
  readonly #returns: Returns
  readonly #patience: SavePatience
  /** Message → how often it was cut off here although its input was delivered. */
  readonly #cutOffs = new Tally(MOST_REMEMBERED)
  /** Jobs that this machine was short of something for. */
  readonly #short = new Set<Place>()
  #done = 0
  /** Nothing is received any more; running jobs end. */
  #ending = false

  constructor(options: WorkerOptions<P, I, R>) {
    this.#o = options
    this.#slots = new Slots(options.concurrency)
    this.#breaker = new Breaker(options)
    this.#returns = new Returns(options)
    const { clock, drain } = options
    const report = (error: RetryableError): void => {
      this.#breaker.report(error)
    }
    this.#patience = { clock, drain, report }
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
      this.#ending = true
      this.#giveBackHeld()
      observer.stateChanged('draining')
    } finally {
      drain.removeEventListener('abort', wake)
      await Promise.all(this.#active)
      observer.stateChanged('stopped')
    }
  }

  /** The one poller of all slots. */
  async #poll(): Promise<void> {
    const { queue, beforeReceive, drain, abort, clock, intervalMs, log, observer } = this.#o
    let failures = 0
    const recover = (): void => {
      // What else is broken has been said once, and is still so.
      if (failures >= PAUSED_AFTER && this.#breaker.isWell) observer.stateChanged('polling')
      failures = 0
    }
    while (!drain.aborted) {
      if (this.#o.num > 0 && this.#done >= this.#o.num) return
      try {
        await this.#breaker.whenWell(drain)
      } catch {
        return
      }
      const max = this.#wanted()
      if (max === 0) {
        // Who asks for nothing is not kept from anything.
        recover()
        await this.#slots.changed()
        continue
      }
      let deliveries: Delivery[]
      if (beforeReceive !== undefined && !(await this.#hasRoom(beforeReceive))) continue
      try {
        // A drain doesn't cut the poll: it may already hold a message.
        deliveries = await queue.receive(max, abort)
        recover()
      } catch (error) {
        if (abort.aborted) return
        if (!(error instanceof RetryableError)) throw error
        if (failures === 0) log.error('Receiving failed; trying again', { error: error.message })
        failures += 1
        if (failures >= PAUSED_AFTER)
          observer.stateChanged('paused', `${error.surrounding}: ${error.message}`)
        await this.#pause(retryPauseMs(failures - 1, Math.max(intervalMs, 100), 60_000))
        if (error.surrounding !== 'queue') this.#breaker.report(error)
        continue
      }
      for (const delivery of deliveries) this.#take(delivery)
      if (deliveries.length > 0) continue
      if (this.#o.drainQueue && this.#active.size === this.#parkedCount()) return
      await clock.sleep(intervalMs, drain).catch(() => undefined)
    }
  }

  /** Whether a job could run now; what stands against it is reported. False, too, once the drain has begun. */
  async #hasRoom(check: Probe): Promise<boolean> {
    const { drain } = this.#o
    try {
      await check(drain)
    } catch (error) {
      if (drain.aborted) return false
      if (!(error instanceof RetryableError)) throw error
      this.#breaker.report(error)
      return false
    }
    return !drain.aborted
  }

  /** How many messages may be asked for now. */
  #wanted(): number {
    // What this machine is short of another may have.
    const short = [...this.#short].filter(({ timeline }) => timeline?.startedAt === undefined).length
    const room = Math.min(this.#slots.freeCount, this.#o.concurrency - short)
    return Math.max(0, Math.min(room, 10, this.#budget()))
  }

  /** How many more jobs may begin; those that are held may never do. */
  #budget(): number {
    const { num } = this.#o
    return num === 0 ? Infinity : num - this.#done - (this.#active.size - this.#held.size)
  }

  #parkedCount(): number {
    return [...this.#held].filter(({ parked }) => parked).length
  }

  /** Nobody will run here what is held still. */
  #giveBackHeld(): void {
    const parked = this.#parkedCount()
    if (parked > 0 && !this.#o.drain.aborted) {
      this.#o.log.warn('Messages of parked matches are left on the queue', { messages: parked })
    }
    for (const held of this.#held) held.giveBack()
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
    if (drain.aborted || this.#budget() <= 0) {
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
    const identity = kind.handler.identify(payload)
    const jobLog = log.child({ job: identity.id, ...identity.fields })
    const { visibilitySeconds, heartbeatMs, longestLeaseMs: maxMs = MAX_LEASE_MS, handover } = this.#o
    const options = { visibilitySeconds, heartbeatMs, maxMs, clock, log: jobLog }
    const message = new Lease(delivery, options, abort)
    const place: Place = { slot: undefined }
    let lease: JobLease | undefined
    try {
      const taken = await this.#standBy(delivery, identity.id, message, jobLog)
      if (taken === 'over') return
      place.slot = taken?.slot
      lease = new JobLease(
        delivery,
        {
          ...{ job: identity.id, message, handover, heartbeatMs, clock, log: jobLog },
          holdSeconds: visibilitySeconds,
          isWorking: () => place.slot !== undefined,
          ...(taken && { taken }),
        },
        abort,
      )
      await this.#work({ delivery, payload, identity, lease, place, log: jobLog })
    } finally {
      this.#short.delete(place)
      await lease?.end()
      await message.end()
    }
  }

  /**
   * Waits outside the slots while somebody works the job by its lease record. 'over' = the message is settled;
   * undefined = an ordinary job.
   */
  async #standBy(
    delivery: Delivery,
    job: string,
    message: Lease,
    log: Logger,
  ): Promise<TakenOver | 'over' | undefined> {
    const { handover, drain, clock, visibilitySeconds: holdSeconds, heartbeatMs: everyMs } = this.#o
    // A first message has no record yet; were there one all the same, it would keep the result from being written.
    if (handover === undefined || (delivery.attempt === 1 && delivery.guard === 0)) return undefined
    const { records, afterMs } = handover
    const { signal, cut, free } = childSignal(message.signal, drain)
    clock.sleep(Math.max(0, delivery.receivedAt + afterMs - clock.now()), signal).then(
      () => {
        cut(new StoppedError('the message can not be held much longer'))
      },
      () => undefined,
    )
    try {
      const end = await standBy({
        ...{ records, job, guard: delivery.guard, holdSeconds, everyMs, clock, log },
        signal,
        // A job that can't be passed on can't be kept either.
        takeSlot: () => (delivery.sendCopy === undefined ? undefined : this.#slots.tryAcquire()),
        releaseSlot: (slot) => {
          this.#slots.release(slot)
        },
      })
      if (end.state === 'taken') return end
      if (end.state === 'ordinary') return undefined
      log.info('A later copy of the message is on the queue; this one is deleted')
      await this.#acknowledge(delivery, message, log)
    } catch (error) {
      if (message.signal.reason instanceof LeaseLostError) {
        log.warn('Lease lost: the message is left alone', { reason: message.signal.reason.message })
      } else {
        log.debug('Standing by ends', { reason: messageOf(error) })
        await message.end()
        await this.#release(delivery, 0, log)
      }
    } finally {
      // Ends the wait for its age, too.
      cut()
      free()
    }
    return 'over'
  }

  /** Runs the job in a slot, as often as it says "not yet". */
  async #work(work: Work<P>): Promise<void> {
    const { delivery, payload, identity, lease, place, log } = work
    const { kind, clock } = this.#o
    let waited = false
    for (;;) {
      const timeline = new Timeline(clock)
      place.timeline = timeline
      if (delivery.sentAt !== undefined)
        timeline.add('queued', Math.max(0, clock.date().getTime() - delivery.sentAt.getTime()))
      const job: JobContext = {
        attempt: delivery.attempt,
        signal: lease.signal,
        assertHeld: () => {
          lease.assertHeld()
        },
        get fence() {
          return lease.fence
        },
        log,
        timeline,
      }
      let slot: number
      try {
        slot = place.slot ??= await this.#acquireSlot(lease.signal)
      } catch (error) {
        await this.#settleThrown(error, delivery, payload, lease, job)
        return
      }
      const view: JobView = { kind: kind.name, identity, slot, since: clock.now(), timeline }
      this.#o.observer.jobStarted(view)
      if (!waited) log.info('Job started')
      let outcome: JobOutcome = 'released'
      try {
        outcome = await processJob(kind.handler, payload, job, this.#patience)
        if (outcome === 'settled') await lease.dropRecord()
        if (lease.hasMessage) await this.#acknowledge(delivery, lease, log)
      } catch (thrown) {
        const error = thrown instanceof UnfitError ? await this.#passOn(thrown, work) : thrown
        if (error === 'passed on') return
        const stays = error instanceof NotYetError && (await this.#returns.isNearItsEnd(delivery))
        const mayWait = !this.#isEnding() && !lease.signal.aborted
        if (error instanceof NotYetError && mayWait && this.#makeRoom(error.distance, stays)) {
          outcome = 'held'
          // Said once per delivery: a job may look whether its time has come every second, for an hour.
          if (!waited) log.info('Job waits', { reason: error.message })
          waited = true
          if (error.isShortage) {
            this.#short.add(place)
            // The input that it may have had is over.
            delete place.timeline
          }
          place.slot = undefined
          this.#slots.release(slot)
          this.#o.observer.jobEnded(view, outcome)
          if (!(await this.#hold(error, stays, work))) return
          if (this.#budget() >= 0) continue
          // Others have taken its place in `num` meanwhile.
          await this.#giveBack(delivery, lease, 0, log)
          return
        }
        outcome = await this.#settleThrown(error, delivery, payload, lease, job)
      } finally {
        if (place.slot !== undefined) {
          timeline.leave()
          place.slot = undefined
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

  /** Once the drain has begun nothing begins any more, be it that it has waited for this slot for long. */
  async #acquireSlot(held: AbortSignal): Promise<number> {
    const { signal, free } = childSignal(held, this.#o.drain)
    try {
      return await this.#slots.acquire(signal)
    } catch (error) {
      if (held.aborted) throw error
      throw new StoppedError('no new jobs', { cause: error })
    } finally {
      free()
    }
  }

  #isEnding(): boolean {
    return this.#ending || this.#o.drain.aborted
  }

  /** Leaves a job that this machine can't run to another. NotYetError = it has to wait here all the same. */
  async #passOn(error: UnfitError, work: Work<P>): Promise<'passed on' | NotYetError> {
    const { delivery, identity, lease, log } = work
    const { afterSeconds, isFirst } = this.#returns.note(identity.id)
    if (isFirst)
      log.warn('This machine can not run the job: it goes back for another runner', { reason: error.message })
    const held = new NotYetError(error.message, UNFIT_HOLD_SECONDS, { cause: error, parked: true })
    const way = lease.hasMessage ? await this.#returns.wayFor(delivery) : 'release'
    if (lease.signal.aborted) return held
    if (way === 'release') {
      await this.#giveBack(delivery, lease, this.#isEnding() ? 0 : afterSeconds, log)
      return 'passed on'
    }
    // Never deleted before the queue has the copy; both at once are harmless, as any message that comes twice.
    if (way === 'hold' || !(await this.#returns.sendCopy(delivery, afterSeconds, lease.signal))) return held
    log.info('A copy takes the place of the message, so that its receives do not add up', {
      after_seconds: afterSeconds,
    })
    await this.#acknowledge(delivery, lease, log)
    return 'passed on'
  }

  /** Whether one more message can be held; one that is farther from its time may have to give way. */
  #makeRoom(distance: number, stays: boolean): boolean {
    const { maxHeld } = this.#o
    const others = [...this.#held].filter((held) => held.stays === stays)
    if (others.length < (stays ? STAYING_SHARE * maxHeld : maxHeld)) return true
    let farthest: Held | undefined
    for (const held of others) {
      if (farthest === undefined || held.distance > farthest.distance) farthest = held
    }
    if (farthest === undefined || farthest.distance <= distance) return false
    farthest.giveBack()
    return true
  }

  /** Waits outside the slots, the message held by its heartbeat. False = it was given back or lost meanwhile. */
  async #hold(notYet: NotYetError, stays: boolean, { delivery, lease, log }: Work<P>): Promise<boolean> {
    const { drain, clock } = this.#o
    const { retryAfterSeconds, sooner, distance, parked } = notYet
    const wait = new AbortController()
    const stop = (): void => {
      wait.abort()
    }
    const held: Held = {
      distance,
      stays,
      parked,
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
        await this.#giveBack(delivery, lease, this.#releaseDelay(notYet, delivery), log)
      }
      return false
    } finally {
      wait.abort()
      this.#held.delete(held)
      this.#slots.notify()
      lease.signal.removeEventListener('abort', stop)
      drain.removeEventListener('abort', stop)
    }
  }

  /** Seconds until a message comes again that there was no room for. */
  #releaseDelay({ retryAfterSeconds, parked }: NotYetError, { attempt }: Delivery): number {
    if (this.#isEnding() || this.#o.abort.aborted) return 0
    const longest = parked ? Infinity : LONGEST_RETURN_SECONDS
    return Math.max(Math.ceil(retryAfterSeconds), Math.min(releaseDelaySeconds(attempt), longest))
  }

  /** Decides by the class of what was thrown; see core/errors.ts. */
  async #settleThrown(
    error: unknown,
    delivery: Delivery,
    payload: P,
    lease: JobLease,
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
      await this.#giveBack(delivery, lease, 0, log)
      return 'released'
    }
    if (cause instanceof NotYetError) {
      // There is no room to hold it.
      await this.#giveBack(delivery, lease, this.#releaseDelay(cause, delivery), log)
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
    }
    if (this.#isCutOff(cause, job) && (await this.#giveUp(delivery, payload, lease, job))) return 'failed'
    await this.#giveBack(delivery, lease, releaseDelaySeconds(delivery.attempt), log)
    return 'released'
  }

  /** Whether a job had its input when this ended it, so that the job itself may be the reason. */
  #isCutOff(cause: unknown, { timeline }: JobContext): boolean {
    if (timeline.startedAt === undefined) return false
    return !(cause instanceof RetryableError) || IN_REACH_OF_JOBS.has(cause.surrounding)
  }

  /**
   * The end of a job that got its input again and again and was each time cut off, while all else works. Only what
   * happened in this process is known for certain: of receives elsewhere nobody can say that the input was delivered.
   */
  async #giveUp(delivery: Delivery, payload: P, lease: JobLease, job: JobContext): Promise<boolean> {
    const { maxReceiveCount, kind } = this.#o
    const attempts = this.#cutOffs.add(delivery.id)
    if (maxReceiveCount === 0 || attempts < (await this.#returns.atMost(maxReceiveCount))) return false
    if (!(await this.#breaker.allWell(lease.signal))) return false
    try {
      const failure = new JobError(
        'too_many_attempts',
        'Internal Server Error',
        `given up after ${attempts} attempts`,
      )
      await saveFailure(kind.handler, payload, failure, job, this.#patience)
      if (lease.hasMessage) await this.#acknowledge(delivery, lease, job.log)
      return true
    } catch (error) {
      job.log.error('Recording the failure failed; the job will be tried again', { error: messageOf(error) })
      return false
    }
  }

  /** Deletes the message of a job whose result is stored. A failure is healed by the next delivery. */
  async #acknowledge(delivery: Delivery, lease: Pick<Lease, 'signal'>, log: Logger): Promise<void> {
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

  /** Ends the lease and gives the job to whoever receives its message next. */
  async #giveBack(delivery: Delivery, lease: JobLease, afterSeconds: number, log: Logger): Promise<void> {
    await lease.end()
    if (lease.hasMessage) await this.#release(delivery, afterSeconds, log)
    else log.info('The job is left to the holders of its later messages')
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
