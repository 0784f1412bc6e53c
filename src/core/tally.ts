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
    this.#counts.delete(word)
    this.#counts.set(word, count)
    const [oldest] = this.#counts.keys()
    if (this.#counts.size > this.#most && oldest !== undefined) this.#counts.delete(oldest)
    return count
  }
}
