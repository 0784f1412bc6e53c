/** A finite value taken apart: 0.d₁d₂d₃… × 10^exponent. */
export interface Decimal {
  negative: boolean
  /** Significant digits without zeros at either end; empty for zero. */
  digits: string
  /** 0 for zero. Beyond ±10^15 it stands still, so that no hostile literal can make it inexact arithmetic. */
  exponent: number
}

const EXPONENT_CAP = 1e15
const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const LOOSE_NUMBER = /^([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d+))?$/
const NOT_FINITE = ['NaN', 'Infinity', '-Infinity']

/**
 * A number that loses no digit: the literal as it was written, or NaN, or an infinity. Immutable. Everything takes
 * time linear in the literal's length, whatever its exponent.
 */
export class ExactNumber {
  static readonly nan = new ExactNumber('NaN')
  static readonly infinity = new ExactNumber('Infinity')
  static readonly negativeInfinity = new ExactNumber('-Infinity')

  /** A JSON number literal, or `NaN`, `Infinity`, `-Infinity`. */
  readonly text: string
  #decimal: Decimal | undefined

  private constructor(text: string) {
    this.text = text
  }

  /**
   * Reads a decimal literal. Besides JSON's also those that tables and other writers know (`+1`, `.5`, `1.`, `007`),
   * which are put into JSON's form. Throws a SyntaxError on anything else.
   */
  static parse(text: string): ExactNumber {
    if (JSON_NUMBER.test(text) || NOT_FINITE.includes(text)) return new ExactNumber(text)
    const match = LOOSE_NUMBER.exec(text)
    if (match === null) throw new SyntaxError(`not a number: ${JSON.stringify(text.slice(0, 40))}`)
    const [, sign, whole = '', fraction = '', bareFraction = '', exponent] = match
    const decimals = fraction + bareFraction
    const wholeText = whole.slice(Math.min(zerosAtStart(whole), whole.length - 1)) || '0'
    return new ExactNumber(
      (sign === '-' ? '-' : '') +
        wholeText +
        (decimals === '' ? '' : `.${decimals}`) +
        (exponent === undefined ? '' : `e${exponent}`),
    )
  }

  /** The shortest literal that reads back as this double. */
  static of(value: number): ExactNumber {
    return new ExactNumber(Object.is(value, -0) ? '-0' : String(value))
  }

  /** Puts a value together again; zeros at the ends of the digits do no harm. */
  static fromDecimal({ negative, digits, exponent }: Decimal): ExactNumber {
    const sign = negative ? '-' : ''
    if (digits === '') return new ExactNumber(`${sign}0`)
    // Short values as people write them, long ones in scientific form.
    if (exponent > 0 && exponent <= 40) {
      const whole = digits.slice(0, exponent).padEnd(exponent, '0')
      return ExactNumber.parse(
        `${sign}${whole}${digits.length > exponent ? `.${digits.slice(exponent)}` : ''}`,
      )
    }
    if (exponent <= 0 && exponent > -6) return new ExactNumber(`${sign}0.${'0'.repeat(-exponent)}${digits}`)
    return ExactNumber.parse(
      `${sign}${digits.slice(0, 1)}${digits.length > 1 ? `.${digits.slice(1)}` : ''}e${exponent - 1}`,
    )
  }

  /**
   * Orders by value: negative, zero or positive as `a` is below, equal to or above `b`. NaN equals itself and is
   * above everything, so that sorting works; -0 equals 0.
   */
  static compare(a: ExactNumber, b: ExactNumber): number {
    if (a.text === b.text) return 0
    const left = a.decimal()
    const right = b.decimal()
    if (left === undefined || right === undefined) return rank(a) - rank(b)
    const sign = signOf(left)
    if (sign !== signOf(right)) return sign - signOf(right)
    return sign < 0 ? compareMagnitudes(right, left) : compareMagnitudes(left, right)
  }

  get isFinite(): boolean {
    return !NOT_FINITE.includes(this.text)
  }

  get isNaN(): boolean {
    return this.text === 'NaN'
  }

  /** The nearest double (ties to even); ±Infinity beyond its range. */
  toNumber(): number {
    return Number(this.text)
  }

  /** The value taken apart; undefined for NaN and the infinities. */
  decimal(): Decimal | undefined {
    if (!this.isFinite) return undefined
    return (this.#decimal ??= takeApart(this.text))
  }

  /** Same value: 1 equals 1.0 and 1e0, NaN equals NaN, -0 equals 0. */
  equals(other: ExactNumber): boolean {
    return ExactNumber.compare(this, other) === 0
  }

  toString(): string {
    return this.text
  }
}

/** `text` is a JSON number literal. */
function takeApart(text: string): Decimal {
  const negative = text.startsWith('-')
  const exponentAt = text.search(/[eE]/)
  const mantissa = text.slice(negative ? 1 : 0, exponentAt === -1 ? undefined : exponentAt)
  const pointAt = mantissa.indexOf('.')
  const all = pointAt === -1 ? mantissa : mantissa.slice(0, pointAt) + mantissa.slice(pointAt + 1)
  const start = zerosAtStart(all)
  if (start === all.length) return { negative, digits: '', exponent: 0 }
  const written = exponentAt === -1 ? 0 : clamp(Number(text.slice(exponentAt + 1)))
  return {
    negative,
    digits: all.slice(start, endOfDigits(all)),
    exponent: clamp(written + (pointAt === -1 ? mantissa.length : pointAt) - start),
  }
}

function clamp(exponent: number): number {
  return Math.max(-EXPONENT_CAP, Math.min(EXPONENT_CAP, exponent))
}

function zerosAtStart(text: string): number {
  let count = 0
  while (text.startsWith('0', count)) count += 1
  return count
}

function endOfDigits(text: string): number {
  let end = text.length
  while (end > 0 && text.startsWith('0', end - 1)) end -= 1
  return end
}

function signOf({ negative, digits }: Decimal): number {
  if (digits === '') return 0
  return negative ? -1 : 1
}

function compareMagnitudes(a: Decimal, b: Decimal): number {
  if (a.exponent !== b.exponent) return a.exponent < b.exponent ? -1 : 1
  if (a.digits === b.digits) return 0
  return a.digits < b.digits ? -1 : 1
}

function rank(value: ExactNumber): number {
  if (value.isNaN) return 2
  if (value.isFinite) return 0
  return value.text === 'Infinity' ? 1 : -1
}
