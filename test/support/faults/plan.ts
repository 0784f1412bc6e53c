import { createRandom, type Random } from './random.ts'

/** Says which fault, if any, the next request of an operation meets. */
export interface Plan<F> {
  next(operation: string): F | undefined
}

/** No faults at all. */
export const noFaults: Plan<never> = { next: () => undefined }

/**
 * Faults by chance. What the n-th request of an operation meets follows from the seed, the operation and n alone,
 * however the operations mix.
 */
export function randomPlan<F>(
  seed: string,
  share: (operation: string) => number,
  choose: (random: Random, operation: string) => F,
): Plan<F> {
  const counts = new Map<string, number>()
  return {
    next(operation) {
      const n = (counts.get(operation) ?? 0) + 1
      counts.set(operation, n)
      const random = createRandom(`${seed} ${operation} ${n}`)
      return random.chance(share(operation)) ? choose(random, operation) : undefined
    },
  }
}

/** Faults that are laid in wait one by one: each hits the next request of its operation. */
export class ArmedPlan<F> implements Plan<F> {
  readonly #armed = new Map<string, F[]>()

  arm(operation: string, fault: F): void {
    this.#armed.set(operation, [...(this.#armed.get(operation) ?? []), fault])
  }

  /** Forgets all that nobody has met. */
  disarm(): void {
    this.#armed.clear()
  }

  next(operation: string): F | undefined {
    return this.#armed.get(operation)?.shift()
  }
}

/** How often what was injected. */
export class Injected {
  readonly #counts = new Map<string, number>()

  add(operation: string, kind: string): void {
    const name = `${operation} ${kind}`
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, n) => sum + n, 0)
  }

  /** `operation fault` → how often, by name. */
  counts(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** Total by kind of fault. */
  byKind(): Record<string, number> {
    const sums: Record<string, number> = {}
    for (const [name, n] of this.#counts) {
      const kind = name.split(' ').at(-1) ?? ''
      sums[kind] = (sums[kind] ?? 0) + n
    }
    return sums
  }
}
