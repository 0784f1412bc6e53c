import { ExactNumber, type Decimal } from '../core/exact-number.ts'
import { isJsonArray, isJsonObject, type Json } from '../core/json.ts'
import { escapeControls } from '../core/text.ts'

/** What a table's numbers can hold (DynamoDB's bounds): digits, and exponents of d.ddd × 10^e. */
const MAX_DIGITS = 38
const MAX_EXPONENT = 125
const MIN_EXPONENT = -130
/** A value with a million NaNs is not worth a million warnings. */
const MAX_WARNINGS = 10

export interface Fitted<T> {
  value: T
  /** What was changed and why, e.g. `objective[1]: Infinity stored as 9.99…E+125`. */
  warnings: string[]
}

/**
 * A value as the table can hold it: NaN becomes null; numbers beyond the bounds are clamped or become zero, more than
 * 38 digits are rounded half to even; lone surrogates in texts become U+FFFD. `name` is what the warnings call it.
 */
export function fitForTable(value: Json, name = ''): Fitted<Json> {
  const changes: string[] = []
  let count = 0
  function note(path: string, change: string): void {
    count += 1
    if (changes.length < MAX_WARNINGS)
      changes.push(path === '' ? change : `${shorten(path, 100, 100)}: ${change}`)
  }
  function fitNoted(text: string, path: string): string {
    const fitted = fitText(text)
    if (fitted !== text) note(path, 'half of a surrogate pair stored as U+FFFD')
    return fitted
  }
  function fit(each: Json, path: string): Json {
    if (typeof each === 'string') return fitNoted(each, path)
    if (each instanceof ExactNumber) {
      const { value: number, change } = fitNumber(each)
      if (change !== undefined) note(path, change)
      return number
    }
    if (isJsonArray(each)) return each.map((member, index) => fit(member, `${path}[${index}]`))
    if (isJsonObject(each)) {
      return new Map(
        Array.from(each, ([key, member]) => {
          const inner = join(path, key)
          return [fitNoted(key, inner), fit(member, inner)]
        }),
      )
    }
    return each
  }
  const fitted = fit(value, name)
  if (count > changes.length) changes.push(`and ${count - changes.length} more changes of this sort`)
  return { value: fitted, warnings: changes }
}

/** A text as the table can hold it: UTF-8 has no halves of surrogate pairs. */
export function fitText(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd')
}

/** A number as the table can hold it; `change` says what had to be changed. */
export function fitNumber(number: ExactNumber): { value: ExactNumber | null; change?: string } {
  const decimal = number.decimal()
  if (decimal === undefined) {
    if (number.isNaN) return { value: null, change: 'NaN stored as null' }
    return clamped(number, number.text === '-Infinity')
  }
  // DynamoDB knows no -0.
  if (decimal.digits === '') return { value: ZERO }
  const rounded = roundHalfEven(decimal, MAX_DIGITS)
  // Rounding comes first, since it may carry a number across a bound.
  if (rounded.exponent - 1 > MAX_EXPONENT) return clamped(number, decimal.negative)
  if (rounded.exponent - 1 < MIN_EXPONENT) {
    return { value: ZERO, change: `${shown(number)} is too small for the table, stored as 0` }
  }
  const value = ExactNumber.fromDecimal(rounded)
  if (rounded === decimal) return { value }
  return { value, change: `${shown(number)} has more than ${MAX_DIGITS} digits, stored as ${value.text}` }
}

const ZERO = ExactNumber.of(0)
const LARGEST = { digits: '9'.repeat(MAX_DIGITS), exponent: MAX_EXPONENT + 1 }

function clamped(number: ExactNumber, negative: boolean): { value: ExactNumber; change: string } {
  const value = ExactNumber.fromDecimal({ ...LARGEST, negative })
  return { value, change: `${shown(number)} is too large for the table, stored as ${value.text}` }
}

/** The same object when nothing is to be rounded. */
function roundHalfEven(decimal: Decimal, maxDigits: number): Decimal {
  const { negative, digits, exponent } = decimal
  if (digits.length <= maxDigits) return decimal
  const kept = BigInt(digits.slice(0, maxDigits))
  const half = digits.charAt(maxDigits)
  // There are no zeros at the end, so anything after a 5 is above the half.
  const up = half === '5' && digits.length === maxDigits + 1 ? kept % 2n === 1n : half >= '5'
  const result = String(up ? kept + 1n : kept)
  return { negative, digits: result.replace(/0+$/, ''), exponent: exponent + result.length - maxDigits }
}

function shown({ text }: ExactNumber): string {
  return shorten(text, 30, 20)
}

function shorten(text: string, head: number, tail: number): string {
  return text.length <= head + tail ? text : `${text.slice(0, head)}…${text.slice(-tail)}`
}

/** Keys are foreign: short, on one line, quoted unless they are plain words. */
function join(path: string, key: string): string {
  if (/^[A-Za-z_]\w{0,60}$/.test(key)) return path === '' ? key : `${path}.${key}`
  const safe = key.length <= 60 ? key : `${key.slice(0, 60)}…`
  return `${path}[${JSON.stringify(escapeControls(safe))}]`
}
