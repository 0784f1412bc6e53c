import type { Clock } from '../../core/clock.ts'
import { NotYetError } from '../../core/errors.ts'
import { formatJson } from '../../core/json.ts'
import type { JobContext } from '../../core/kind.ts'
import { remember } from '../../core/remember.ts'
import { flagKey, resultKey, type Trial } from '../../records/keys.ts'
import { lastRejudging } from '../../records/rejudging.ts'
import type { Item, Store } from '../../stores/store.ts'
import { identifyTrial } from '../message.ts'

/** What a score is made from. */
interface Premise {
  evaluation: Item
  rejudging: string
}

/** Until a trial is scored anew, in seconds. */
const PAUSE = 1
/** Until an evaluation that was taken away is looked for again; the new one brings a message of its own. */
const LONG_PAUSE = 60
const MOST_MISSING = 10_000

/**
 * What scores are made from must still hold when they are stored: a trial may be judged again while its score, or that
 * of a later trial, is being made. Then nothing is stored, and the trial is scored anew.
 */
export class Premises {
  readonly #store: Store
  readonly #clock: Clock
  readonly #patienceMs: number
  readonly #of = new WeakMap<JobContext, Premise>()
  /** Monotonic ms since when a trial's evaluation is waited for. */
  readonly #missing = new Map<string, number>()

  constructor(store: Store, clock: Clock, patienceMs: number) {
    this.#store = store
    this.#clock = clock
    this.#patienceMs = patienceMs
  }

  /** Notes what a job works with. */
  note(job: JobContext, evaluation: Item, rejudging: string): void {
    this.#of.set(job, { evaluation, rejudging })
  }

  /** Throws NotYetError while a missing evaluation may be one that was taken away to be made anew. */
  async assertNoneToCome(trial: Trial, rejudging: string): Promise<void> {
    if (rejudging === '' || (await this.#store.get(flagKey('Evaluations', trial))) !== undefined) return
    const { id } = identifyTrial(trial)
    const sinceMs = this.#missing.get(id) ?? this.#clock.now()
    if (this.#clock.now() - sinceMs >= this.#patienceMs) return
    remember(this.#missing, id, sinceMs, MOST_MISSING)
    throw new NotYetError('its evaluation was taken away, to be made anew', LONG_PAUSE)
  }

  /** Throws NotYetError when what a job works with does not hold any more. */
  async assertStillTrue(trial: Trial, job: JobContext): Promise<void> {
    const premise = this.#of.get(job)
    if (premise === undefined) return
    const [evaluation, rejudging] = await Promise.all([
      this.#store.get(resultKey('Evaluations', 'Success', trial), job.signal),
      lastRejudging(this.#store, trial, job.signal),
    ])
    if (rejudging === premise.rejudging && isSame(evaluation, premise.evaluation)) return
    throw new NotYetError('a trial was judged again while this one was scored', PAUSE)
  }

  /** Forgets a trial that is final. */
  forget(trial: Trial): void {
    this.#missing.delete(identifyTrial(trial).id)
  }
}

/** Whether two reads saw the same write. */
function isSame(a: Item | undefined, b: Item): boolean {
  const written = ({ CreatedAt = null, StartedAt = null, FinishedAt = null }: Item): string =>
    formatJson([CreatedAt, StartedAt, FinishedAt])
  return a !== undefined && written(a) === written(b)
}
