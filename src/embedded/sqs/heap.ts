/** A priority queue: the smallest entry by `order` comes out first. */
export class Heap<T> {
  readonly #entries: T[] = []
  readonly #order: (a: T, b: T) => number

  constructor(order: (a: T, b: T) => number) {
    this.#order = order
  }

  get size(): number {
    return this.#entries.length
  }

  peek(): T | undefined {
    return this.#entries[0]
  }

  push(entry: T): void {
    const entries = this.#entries
    let at = entries.length
    entries.push(entry)
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = entries[above]
      if (parent === undefined || this.#order(parent, entry) <= 0) break
      entries[at] = parent
      at = above
    }
    entries[at] = entry
  }

  pop(): T | undefined {
    const entries = this.#entries
    const first = entries[0]
    const last = entries.pop()
    if (last === undefined || entries.length === 0) return first
    let at = 0
    for (;;) {
      const left = entries[2 * at + 1]
      if (left === undefined) break
      const right = entries[2 * at + 2]
      const useRight = right !== undefined && this.#order(right, left) < 0
      const child = useRight ? right : left
      if (this.#order(last, child) <= 0) break
      entries[at] = child
      at = 2 * at + (useRight ? 2 : 1)
    }
    entries[at] = last
    return first
  }

  clear(): void {
    this.#entries.length = 0
  }
}
