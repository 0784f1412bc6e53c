/** Minimises a function of several numbers that it never sees: it asks for a point, and is told what it is worth. */
export interface Optimizer {
  /** The next point to evaluate, inside the bounds. */
  ask(): number[]
  /**
   * The objective at a point that `ask` gave, smaller is better; NaN and Infinity mean that there is none.
   * Throws for any other point.
   */
  tell(x: readonly number[], objective: number): void
}

/** The box to search: as many numbers in `lower` as in `upper`, each smaller than its partner. */
export interface Bounds {
  readonly lower: readonly number[]
  readonly upper: readonly number[]
}

/** Throws a RangeError for bounds that are no box. */
export function checkBounds({ lower, upper }: Bounds): void {
  if (lower.length === 0 || lower.length !== upper.length) {
    throw new RangeError(
      `bounds need as many lower as upper numbers, not ${lower.length} and ${upper.length}`,
    )
  }
  const wrong = lower.findIndex((low, i) => !(low < at(upper, i)) || !Number.isFinite(at(upper, i) - low))
  if (wrong >= 0)
    throw new RangeError(`bound ${wrong + 1}: ${at(lower, wrong)} must be below ${at(upper, wrong)}`)
}

/** A point of the unit cube as a point of the box; rounding can't push it over the edge. */
export function fromUnitCube(point: readonly number[], { lower, upper }: Bounds): number[] {
  return point.map((share, i) => {
    const low = at(lower, i)
    const high = at(upper, i)
    return Math.min(high, Math.max(low, low + share * (high - low)))
  })
}

/** What was asked for and not yet told, with what the optimiser wants to remember about it. */
export class PendingPoints<T> {
  readonly #byPoint = new Map<string, T[]>()

  add(x: readonly number[], note: T): void {
    const key = x.join()
    this.#byPoint.set(key, [...(this.#byPoint.get(key) ?? []), note])
  }

  /** The note of the point's oldest asking, which is then forgotten. Throws when it was not asked for. */
  take(x: readonly number[]): T {
    const key = x.join()
    const notes = this.#byPoint.get(key)
    if (notes === undefined) throw new Error('told about a point that was not asked for')
    const [note, ...others] = notes as [T, ...T[]]
    if (others.length === 0) this.#byPoint.delete(key)
    else this.#byPoint.set(key, others)
    return note
  }
}

/** The objective, or Infinity where there is none: worse than all others. */
export function comparable(objective: number): number {
  return Number.isNaN(objective) ? Infinity : objective
}

/** For sorting by objective: unlike a - b it can compare two Infinities. */
export function ascending(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** An element that is known to be there. Throws a RangeError when it is not. */
export function at<T>(list: readonly T[], index: number): T {
  const value = list[index]
  if (value === undefined) throw new RangeError(`index ${index} is outside a list of ${list.length}`)
  return value
}
