/** A reproducible source of randomness. */
export interface Random {
  /** From 0 to below `limit`, whole. */
  below(limit: number): number
  pick<T>(choices: readonly T[]): T
  /** A string of decimal digits. */
  digits(length: number): string
  /** Any finite double, all bit patterns alike. */
  double(): number
}

/** The same sequence for the same seed (a Weyl sequence through a mixing function). */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  function next(): number {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return (mixed ^ (mixed >>> 16)) >>> 0
  }
  function below(limit: number): number {
    return Math.floor((next() / 2 ** 32) * limit)
  }
  function pick<T>(choices: readonly T[]): T {
    const choice = choices[below(choices.length)]
    if (choice === undefined) throw new Error('nothing to pick from')
    return choice
  }
  function digits(length: number): string {
    return Array.from({ length }, () => below(10)).join('')
  }
  function double(): number {
    const view = new DataView(new ArrayBuffer(8))
    do {
      view.setUint32(0, next())
      view.setUint32(4, next())
    } while (!Number.isFinite(view.getFloat64(0)))
    return view.getFloat64(0)
  }
  return { below, pick, digits, double }
}

/** A decimal literal of up to `maxDigits` digits in JSON's grammar, of all sorts of shapes. */
export function randomLiteral(random: Random, maxDigits: number, maxExponent: number): string {
  const sign = random.pick(['', '', '-'])
  const whole = random.pick(['0', String(1 + random.below(9)) + random.digits(random.below(maxDigits))])
  const fraction = random.pick(['', `.${random.digits(1 + random.below(maxDigits))}`, '.0', '.50', '.05'])
  const power = `${random.pick(['e', 'E'])}${random.pick(['', '+', '-'])}${random.below(maxExponent)}`
  return `${sign}${whole}${fraction}${random.pick(['', power])}`
}
