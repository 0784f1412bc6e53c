import { createHash } from 'node:crypto'

/** A stream of random choices that is the same for the same seed. */
export interface Random {
  /** In [0, 1). */
  next(): number
  /** A whole number from `from` to `to`, both included. */
  integer(from: number, to: number): number
  /** True in `share` of all cases. */
  chance(share: number): boolean
  pick<T>(choices: readonly T[]): T
}

/** Any text is a seed. The generator is Mulberry32, whose state comes from a hash of the seed. */
export function createRandom(seed: string): Random {
  let state = createHash('sha256').update(seed).digest().readUInt32LE()
  function next(): number {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  function integer(from: number, to: number): number {
    return from + Math.floor(next() * (to - from + 1))
  }
  return {
    next,
    integer,
    chance: (share) => next() < share,
    pick: (choices) => {
      const chosen = choices[integer(0, choices.length - 1)]
      if (chosen === undefined) throw new RangeError('nothing to choose from')
      return chosen
    },
  }
}
