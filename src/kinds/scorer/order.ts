import type { Clock } from '../../core/clock.ts'
import { NotYetError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import { flagKey, partitionOf, resultKey, solutionKey, type Trial } from '../../records/keys.ts'
import type { Store } from '../../stores/store.ts'
import { identifyTrial } from '../message.ts'
import type { Earlier } from './history.ts'

/** The trials of one participant, as far as this process has to know of their order. */
interface Line {
  /** The first one that was not final when it was last looked at. */
  first: Trial
  /** Monotonic ms since when it is the first one. */
  sinceMs: number
  /** It has come to its end, and nobody knows yet who is the first one now. */
  ended: boolean
  /** Monotonic ms until which somebody is finding that out. */
  scoutUntilMs: number
  /** Looks in vain at the first one. */
  looks: number
  nextLookMs: number
  /** The look that is under way. */
  look: Promise<boolean> | undefined
  /** Those that wait here, by number. */
  waiting: Map<number, Waiting>
}

interface Waiting {
  /** Monotonic ms at which it comes back by itself. */
  dueMs: number
  wake: () => void
}

/** Pauses between two looks, in seconds. */
const FIRST_PAUSE = 0.25
const SHORTEST_PAUSE = 0.1
const PAUSE_GROWTH = 1.6
const LONGEST_PAUSE = 5
/** Those that are not next sleep longer: they are woken. */
const LONG_SLEEP = 30
/** A short look sees flags only; one in so many sees everything. */
const SHORT_LOOKS = 8
/** One that is this late to come back is taken for lost to another runner. */
const LATE_MS = 10_000
const LONGEST_SCOUTING_MS = 10_000
/** Messages may be lost to other runners while they wait here. */
const MOST_WAITS = 10_000
const MOST_LINES = 10_000

/**
 * The order of trials: each waits until the earlier ones of its participant are final, at most for a time in which
 * none of them became so. All that wait for a participant here share one look at the first one that is not final, and
 * when that has come to its end, one of them finds out who is the first one now.
 */
export class Order {
  readonly #store: Store
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #lines = new Map<string, Line>()
  /** Monotonic ms since when a trial waits. */
  readonly #since = new Map<string, number>()
  readonly #running = new Set<string>()

  constructor(store: Store, clock: Clock, timeoutMs: number) {
    this.#store = store
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  /** Whether a trial has waited here before. */
  hasWaited(trial: Trial): boolean {
    return this.#since.has(idOf(trial))
  }

  /** Whether an earlier trial is known that was not final. */
  isBehind(trial: Trial): boolean {
    const line = this.#lines.get(nameOf(trial))
    return line !== undefined && numberOf(line.first) < numberOf(trial)
  }

  /** Throws NotYetError while an earlier trial is known not to be final. Cheap: one look serves all that wait. */
  async wait(trial: Trial): Promise<void> {
    const line = this.#lines.get(nameOf(trial))
    if (line === undefined || !this.isBehind(trial) || this.#isOver(trial, line)) return
    const { first } = line
    const ended = line.ended || (await this.#look(line))
    // Meanwhile another one may have found out more.
    if (this.#lines.get(nameOf(trial))?.first !== first) {
      await this.wait(trial)
      return
    }
    if (!ended || this.#clock.now() < line.scoutUntilMs) throw this.#notYet(trial, line)
    line.scoutUntilMs = this.#clock.now() + LONGEST_SCOUTING_MS
  }

  /**
   * Reads what is before a trial. Throws NotYetError when an earlier one is to be waited for; returns when the trial
   * may be scored. What it read is dropped when the signal was aborted.
   */
  async scout(
    trial: Trial,
    read: () => Promise<Earlier>,
    signal: AbortSignal,
    log: Logger,
  ): Promise<Earlier> {
    let earlier: Earlier
    try {
      earlier = await read()
      signal.throwIfAborted()
    } catch (error) {
      const line = this.#lines.get(nameOf(trial))
      if (line !== undefined) line.scoutUntilMs = 0
      throw error
    }
    const { blocker } = earlier
    const line = this.#moveTo(blocker === undefined ? trial : { ...trial, trialNo: blocker })
    if (blocker === undefined) {
      this.#forgetWait(trial, line)
      return earlier
    }
    if (!this.#since.has(idOf(trial))) this.#keep(idOf(trial))
    if (!this.#isOver(trial, line)) throw this.#notYet(trial, line)
    this.#forgetWait(trial, line)
    log.warn('Waited long enough: scored without an earlier trial', { earlier_trial: blocker })
    return earlier
  }

  /** Runs the work of a trial; those that wait for it need not ask the table meanwhile. */
  async whileRunning<T>(trial: Trial, work: () => Promise<T>): Promise<T> {
    const id = idOf(trial)
    this.#running.add(id)
    try {
      return await work()
    } finally {
      this.#running.delete(id)
    }
  }

  /** Notes that a trial is final. */
  noteEnd(trial: Trial): void {
    const line = this.#lines.get(nameOf(trial))
    if (line === undefined) return
    this.#forgetWait(trial, line)
    if (numberOf(line.first) === numberOf(trial)) line.ended = true
    // It may have been the one that was finding out.
    line.scoutUntilMs = 0
    if (line.waiting.size === 0) this.#lines.delete(nameOf(trial))
    else if (line.ended) this.#wakeNext(line)
  }

  /** The line of a participant, with `first` as the first trial that is not final. */
  #moveTo(first: Trial): Line {
    const name = nameOf(first)
    const nowMs = this.#clock.now()
    const known = this.#lines.get(name)
    if (known !== undefined && numberOf(known.first) === numberOf(first)) {
      known.ended = false
      known.scoutUntilMs = 0
      return known
    }
    const line: Line = {
      first,
      sinceMs: nowMs,
      ended: false,
      scoutUntilMs: 0,
      looks: 0,
      nextLookMs: nowMs + FIRST_PAUSE * 1000,
      look: undefined,
      waiting: known?.waiting ?? new Map<number, Waiting>(),
    }
    this.#lines.set(name, line)
    const [oldest] = this.#lines.keys()
    if (this.#lines.size > MOST_LINES && oldest !== undefined) this.#lines.delete(oldest)
    for (const [number, { wake }] of line.waiting) {
      if (number <= numberOf(first)) wake()
    }
    this.#wakeNext(line)
    return line
  }

  /** Whether the first trial of a line has come to its end; false, too, when it is not yet time to look. */
  async #look(line: Line): Promise<boolean> {
    if (this.#running.has(idOf(line.first))) return false
    if (line.look === undefined && this.#clock.now() < line.nextLookMs) return false
    line.look ??= this.#lookNow(line)
    return await line.look
  }

  async #lookNow(line: Line): Promise<boolean> {
    try {
      const isShort = (line.looks + 1) % SHORT_LOOKS !== 0
      line.ended = await (isShort ? this.#hasFlags(line.first) : this.#hasEnded(line.first))
      if (!line.ended) {
        line.looks += 1
        line.nextLookMs = this.#clock.now() + pauseAfter(line.looks) * 1000
      }
      return line.ended
    } finally {
      line.look = undefined
    }
  }

  /** What most ends can be seen by. No signal: the answer serves other jobs than the one that asked. */
  async #hasFlags(trial: Trial): Promise<boolean> {
    return await this.#anyOf([flagKey('Scores', trial), resultKey('Evaluations', 'Failed', trial)])
  }

  /** Also sees results without flags, flags without results, and solutions that were taken away. */
  async #hasEnded(trial: Trial): Promise<boolean> {
    const [isScored, isEvaluated, succeeded, isThere] = await Promise.all([
      this.#anyOf([
        flagKey('Scores', trial),
        resultKey('Scores', 'Success', trial),
        resultKey('Scores', 'Failed', trial),
      ]),
      this.#anyOf([flagKey('Evaluations', trial), resultKey('Evaluations', 'Failed', trial)]),
      this.#anyOf([resultKey('Evaluations', 'Success', trial)]),
      this.#anyOf([solutionKey(trial)]),
    ])
    return isScored || (isEvaluated && !succeeded) || !isThere
  }

  async #anyOf(keys: Parameters<Store['get']>[0][]): Promise<boolean> {
    const items = await Promise.all(keys.map((key) => this.#store.get(key)))
    return items.some((item) => item !== undefined)
  }

  #isOver(trial: Trial, line: Line): boolean {
    return this.#leftMs(trial, line) <= 0
  }

  /** How long a trial waits on at most. The time begins anew when the line moves. */
  #leftMs(trial: Trial, { sinceMs }: Line): number {
    const nowMs = this.#clock.now()
    return Math.max(this.#since.get(idOf(trial)) ?? nowMs, sinceMs) + this.#timeoutMs - nowMs
  }

  #notYet(trial: Trial, line: Line): NotYetError {
    const nowMs = this.#clock.now()
    const number = numberOf(trial)
    if (!this.#since.has(idOf(trial))) this.#keep(idOf(trial))
    let wake: () => void = () => undefined
    const sooner = new Promise<void>((resolve) => {
      wake = resolve
    })
    const pause = this.#next(line, number) === number ? this.#pauseOfNext(line) : LONG_SLEEP
    const seconds = Math.max(Math.min(pause, this.#leftMs(trial, line) / 1000), 0)
    line.waiting.set(number, { dueMs: nowMs + seconds * 1000, wake })
    const reason = `the earlier trial ${line.first.trialNo} has no final result yet`
    return new NotYetError(reason, seconds, { sooner, distance: number - numberOf(line.first) })
  }

  /** Seconds until the one that is next looks again. */
  #pauseOfNext({ first, nextLookMs, scoutUntilMs }: Line): number {
    // It is woken when that ends well.
    if (this.#running.has(idOf(first))) return LONGEST_PAUSE
    const leftMs = Math.max(nextLookMs, scoutUntilMs) - this.#clock.now()
    return Math.max(leftMs / 1000, SHORTEST_PAUSE)
  }

  /** The number of the next trial of those that wait here, `also` included. */
  #next({ first, waiting }: Line, also = Infinity): number {
    const nowMs = this.#clock.now()
    let next = also
    for (const [number, { dueMs }] of waiting) {
      if (dueMs + LATE_MS < nowMs) waiting.delete(number)
      else if (number > numberOf(first)) next = Math.min(next, number)
    }
    return next
  }

  #wakeNext(line: Line): void {
    line.waiting.get(this.#next(line))?.wake()
  }

  #forgetWait(trial: Trial, { waiting }: Line): void {
    this.#since.delete(idOf(trial))
    waiting.delete(numberOf(trial))
  }

  #keep(id: string): void {
    const [oldest] = this.#since.keys()
    if (this.#since.size >= MOST_WAITS && oldest !== undefined) this.#since.delete(oldest)
    this.#since.set(id, this.#clock.now())
  }
}

function pauseAfter(looks: number): number {
  return Math.min(FIRST_PAUSE * PAUSE_GROWTH ** looks, LONGEST_PAUSE)
}

function nameOf(trial: Trial): string {
  return partitionOf('Scores', trial)
}

function numberOf({ trialNo }: Trial): number {
  return Number(trialNo)
}

function idOf(trial: Trial): string {
  return identifyTrial(trial).id
}
