import { totalmem } from 'node:os'
import { constrainedMemory } from 'node:process'
import type { Clock } from '../../core/clock.ts'
import { partitionOf, type Trial } from '../../records/keys.ts'
import { lastRejudging } from '../../records/rejudging.ts'
import type { Store } from '../../stores/store.ts'
import { addParts, listBytes, NO_BLOCKS, type Blocks } from './blocks.ts'
import { surveyTrials, type Survey } from './survey.ts'

/** What the scorer must know of the earlier trials of a participant. */
export interface Earlier {
  /** The history as a JSON list, as often as it is asked for. */
  listBytes: () => Iterable<Uint8Array>
  /** TrialNo of the first earlier solution whose results are not final. */
  blocker: string | undefined
  /** The participant's last rejudging at that time. */
  rejudging: string
}

/** What is remembered of one participant in one match. */
interface Known {
  /** All trials up to this number are final, and `blocks` holds those of them that have both results. */
  watermark: number
  blocks: Blocks
  /** It was read after this rejudging; after another one it is worth nothing. */
  rejudging: string
  /** Monotonic ms after which everything is read anew: results may have been changed by hand. */
  staleAtMs: number
}

const NOTHING = { watermark: -1, blocks: NO_BLOCKS }
const STALE_AFTER_MS = 10 * 60_000
/** Reading anew takes at most one part in so many of the time. */
const REREAD_SHARE = 100
/** Trial numbers are given out in order; after this time a number that was passed over is taken for unused. */
const LATE_SOLUTION_MS = 10 * 60_000
/** What a participant costs besides the text. */
const OVERHEAD_BYTES = 1024
const LEAST_BYTES = 64 * 1024 ** 2
/** Several scorers may share a machine. */
const MEMORY_SHARE = 16

/**
 * The histories of all participants. Up to a watermark everything is final and remembered as the text that images
 * get; only what is above it is read. Bounded: the histories that were not used for the longest time are forgotten,
 * but never the last one, however long it is: it would be in memory anyway, and read again and again.
 */
export class Histories {
  readonly #store: Store
  readonly #clock: Clock
  readonly #maxBytes: number
  /** The one that was used last stands last. */
  readonly #known = new Map<string, Known>()
  #bytes = 0
  /** Grows whenever something is forgotten because it is wrong: reads begun before that are not remembered. */
  #age = 0

  constructor(store: Store, clock: Clock, maxBytes = defaultMaxBytes()) {
    this.#store = store
    this.#clock = clock
    this.#maxBytes = maxBytes
  }

  /** Whether a trial counts as final: if it has no result all the same, it is to be judged again. */
  isPast(trial: Trial): boolean {
    const known = this.#known.get(nameOf(trial))
    return known !== undefined && Number(trial.trialNo) <= known.watermark
  }

  /** Forgets a participant, whose results were changed. */
  forget(trial: Trial): void {
    this.#age += 1
    this.#drop(nameOf(trial))
  }

  /** Reads what is new before a trial. Several may read for one participant at the same time. */
  async read(trial: Trial, signal: AbortSignal): Promise<Earlier> {
    let age = this.#age
    const startMs = this.#clock.now()
    const known = this.#recall(trial, startMs)
    const lastOne = lastRejudging(this.#store, trial, signal)
    if (known !== undefined) {
      // Side by side: if there was no rejudging until now, what is remembered was right until now.
      const [rejudging, survey] = await Promise.all([lastOne, this.#survey(trial, known, signal)])
      if (rejudging === known.rejudging) return this.#add(trial, known, survey, age)
      this.forget(trial)
      age = this.#age
    }
    // First the rejudging, then the results: a later one will be noticed, and then they are read again.
    const rejudging = await lastOne
    const fresh = { ...NOTHING, rejudging, staleAtMs: startMs }
    const survey = await this.#survey(trial, fresh, signal)
    const tookMs = this.#clock.now() - startMs
    const staleAtMs = startMs + Math.max(STALE_AFTER_MS, REREAD_SHARE * tookMs)
    return this.#add(trial, { ...fresh, staleAtMs }, survey, age)
  }

  #survey(trial: Trial, { watermark }: Known, signal: AbortSignal): Promise<Survey> {
    const range = { from: watermark + 1, to: Number(trial.trialNo) - 1, like: trial.trialNo }
    const oldBeforeMs = this.#clock.date().getTime() - LATE_SOLUTION_MS
    return surveyTrials({ store: this.#store, trial, range, oldBeforeMs, signal })
  }

  /** Joins what was remembered and what was read, and remembers what of it is final. */
  #add(trial: Trial, { watermark, blocks, ...rest }: Known, survey: Survey, age: number): Earlier {
    const raised = raise(watermark, survey)
    const certain = addParts(blocks, partsOf(survey, watermark, raised))
    const uncertain = addParts(NO_BLOCKS, partsOf(survey, raised, Infinity))
    if (age === this.#age) this.#remember(nameOf(trial), { ...rest, watermark: raised, blocks: certain })
    return {
      listBytes: () => listBytes(certain, uncertain),
      blocker: survey.blocker,
      rejudging: rest.rejudging,
    }
  }

  #recall(trial: Trial, nowMs: number): Known | undefined {
    const name = nameOf(trial)
    const known = this.#known.get(name)
    // What is remembered may be of later trials only; then it is of no use, but not wrong.
    if (known === undefined || Number(trial.trialNo) <= known.watermark) return undefined
    if (nowMs < known.staleAtMs) return known
    this.#drop(name)
    return undefined
  }

  #remember(name: string, known: Known): void {
    const newer = this.#known.get(name)
    if (newer !== undefined && newer.watermark > known.watermark) return
    this.#drop(name)
    this.#known.set(name, known)
    this.#bytes += sizeOf(known)
    for (const oldest of this.#known.keys()) {
      if (this.#bytes <= this.#maxBytes || this.#known.size === 1) break
      this.#drop(oldest)
    }
  }

  #drop(name: string): void {
    const known = this.#known.get(name)
    if (known === undefined) return
    this.#known.delete(name)
    this.#bytes -= sizeOf(known)
  }
}

/** The last trial up to which all are final, none being left out that could still come. */
function raise(watermark: number, { trials, complete }: Survey): number {
  let raised = watermark
  for (const { number, final } of trials) {
    // Trials begin at 1, seldom at 0.
    const isNext = number <= Math.max(raised, 0) + 1 || number <= complete
    if (!final || !isNext) break
    raised = number
  }
  return raised
}

function partsOf({ entries }: Survey, above: number, upTo: number): Buffer[] {
  return entries.flatMap(({ number, part }) => (number > above && number <= upTo ? [part] : []))
}

function sizeOf({ blocks }: Known): number {
  return blocks.bytes + OVERHEAD_BYTES
}

function nameOf(trial: Trial): string {
  return partitionOf('Scores', trial)
}

/** A share of the memory that this process may use, in bytes. */
function defaultMaxBytes(): number {
  // Node says 0, or more than there is, when there is no limit.
  const limit = constrainedMemory() || Infinity
  return Math.max(LEAST_BYTES, Math.min(totalmem(), limit) / MEMORY_SHARE)
}
