import type { Clock } from '../../core/clock.ts'
import { NotYetError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import { flagKey, resultKey, type Trial } from '../../records/keys.ts'
import type { Store } from '../../stores/store.ts'
import { identifyTrial } from '../message.ts'

interface Wait {
  sinceMs: number
  blocker: string
  /** Looks in vain since it waits for this one, from -1. */
  looks: number
}

/** Pauses between two looks, in seconds. */
const FIRST_PAUSE = 0.5
const PAUSE_GROWTH = 1.5
const LONGEST_PAUSE = 5
/** Many wait for the same trial: one look is good for all of them for this long. */
const LOOK_GOOD_MS = 400
/** A short look sees flags only; every so many looks everything is read. */
const SHORT_LOOKS = 8
/** Messages may be lost to other runners while they wait here. */
const MOST_WAITS = 10_000

/** Trials that wait for an earlier trial of their participant to be final, each at most for a time. */
export class Order {
  readonly #store: Store
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #waits = new Map<string, Wait>()
  readonly #running = new Set<string>()
  readonly #looks = new Map<string, { atMs: number; final: Promise<boolean> }>()

  constructor(store: Store, clock: Clock, timeoutMs: number) {
    this.#store = store
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  /** Throws NotYetError when a trial that waited before has to wait on for the same earlier one. Cheap. */
  async lookAgain(trial: Trial): Promise<void> {
    const wait = this.#waits.get(idOf(trial))
    if (wait === undefined || this.#isOver(wait)) return
    const blocker = { ...trial, trialNo: wait.blocker }
    if (this.#running.has(idOf(blocker))) throw notYet(wait.blocker, FIRST_PAUSE / 2)
    if ((wait.looks + 1) % SHORT_LOOKS === 0 || (await this.#isFinal(blocker))) return
    throw this.#waitOn(wait)
  }

  /** Throws NotYetError when `blocker` is to be waited for; returns when the trial may be scored. */
  assertInTurn(trial: Trial, blocker: string | undefined, log: Logger): void {
    const id = idOf(trial)
    if (blocker === undefined) {
      this.#waits.delete(id)
      return
    }
    const waited = this.#waits.get(id)
    const wait =
      waited?.blocker === blocker
        ? waited
        : { sinceMs: waited?.sinceMs ?? this.#clock.now(), blocker, looks: -1 }
    if (this.#isOver(wait)) {
      this.#waits.delete(id)
      log.warn('Waited long enough: scored without an earlier trial', { earlier_trial: blocker })
      return
    }
    this.#keep(id, wait)
    throw this.#waitOn(wait)
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

  /** Forgets that a trial waits. */
  forget(trial: Trial): void {
    this.#waits.delete(idOf(trial))
  }

  #isOver(wait: Wait): boolean {
    return this.#clock.now() - wait.sinceMs >= this.#timeoutMs
  }

  #waitOn(wait: Wait): NotYetError {
    wait.looks += 1
    const leftSeconds = (wait.sinceMs + this.#timeoutMs - this.#clock.now()) / 1000
    const pause = Math.min(FIRST_PAUSE * PAUSE_GROWTH ** wait.looks, LONGEST_PAUSE)
    return notYet(wait.blocker, Math.max(Math.min(pause, leftSeconds), 0))
  }

  #keep(id: string, wait: Wait): void {
    const [oldest] = this.#waits.keys()
    if (this.#waits.size >= MOST_WAITS && oldest !== undefined) this.#waits.delete(oldest)
    this.#waits.set(id, wait)
  }

  /** Whether a trial has come to its end, as far as two reads tell. */
  async #isFinal(trial: Trial): Promise<boolean> {
    const now = this.#clock.now()
    for (const [id, look] of this.#looks) {
      if (now - look.atMs >= LOOK_GOOD_MS) this.#looks.delete(id)
    }
    const id = idOf(trial)
    const look = this.#looks.get(id) ?? { atMs: now, final: this.#readFinal(trial) }
    this.#looks.set(id, look)
    return await look.final
  }

  async #readFinal(trial: Trial): Promise<boolean> {
    // No signal: the answer may serve other jobs than the one that asked.
    const items = await Promise.all([
      this.#store.get(flagKey('Scores', trial)),
      this.#store.get(resultKey('Evaluations', 'Failed', trial)),
    ])
    return items.some((item) => item !== undefined)
  }
}

function notYet(blocker: string, pauseSeconds: number): NotYetError {
  return new NotYetError(`the earlier trial ${blocker} has no final result yet`, pauseSeconds)
}

function idOf(trial: Trial): string {
  return identifyTrial(trial).id
}
