import { remember } from './remember.ts'

/** Counts by foreign words; of more than so many the one that was not counted for the longest is forgotten. */
export class Tally {
  readonly #counts = new Map<string, number>()
  readonly #most: number

  constructor(most: number) {
    this.#most = most
  }

  /** Counts once more; says how often by now. */
  add(word: string): number {
    const count = (this.#counts.get(word) ?? 0) + 1
    remember(this.#counts, word, count, this.#most)
    return count
  }
}
