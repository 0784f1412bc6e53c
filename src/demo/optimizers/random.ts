/** Numbers by chance, the same for the same seed on every machine. */
export interface Random {
  /** Uniform in [0, 1). */
  uniform(): number
  /** Normal with mean 0 and deviation 1. */
  normal(): number
  /** A whole number from 0 to count - 1. */
  index(count: number): number
  /** The numbers from 0 to count - 1 in random order. */
  permutation(count: number): number[]
}

/** A generator of its own for `seed`, of which the lowest 32 bits count. */
export function createRandom(seed: number): Random {
  // xoshiro128**, Blackman and Vigna, ACM TOMS 47(4), 2021; its state filled by a mixing counter.
  let counter = seed >>> 0
  function fill(): number {
    counter = (counter + 0x9e3779b9) >>> 0
    let mixed = Math.imul(counter ^ (counter >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return (mixed ^ (mixed >>> 16)) >>> 0
  }
  let a = fill()
  let b = fill()
  let c = fill()
  let d = fill()

  function next(): number {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = rotateLeft(d, 11)
    return result
  }

  // 53 bits, as many as a double holds.
  const uniform = (): number => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53
  const index = (count: number): number => Math.floor(uniform() * count)
  return {
    uniform,
    index,
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    permutation(count) {
      const order: number[] = []
      for (let value = 0; value < count; value += 1) {
        // Inside-out shuffle: the newcomer changes places with one of those so far, or itself.
        const place = index(value + 1)
        order[value] = order[place] ?? value
        order[place] = value
      }
      return order
    },
  }
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}
