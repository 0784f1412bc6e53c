import { ExactNumber, type Decimal } from './exact-number.ts'
import { isJsonArray, isJsonObject, type Json } from './json-value.ts'

/** How one dialect of JSON is written. */
interface Dialect {
  comma: string
  colon: string
  number: (value: ExactNumber) => string
  string: (value: string) => string
}

const PYTHON: Dialect = { comma: ', ', colon: ': ', number: formatPythonFloat, string: quoteAscii }
const COMPACT: Dialect = {
  comma: ',',
  colon: ':',
  number: (value) => (value.isFinite ? value.text : 'null'),
  string: (value) => JSON.stringify(value),
}

/** Characters that are gathered before they are handed on. */
const CHUNK_LENGTH = 65_536

/** Compact standard JSON: all digits as they were written; NaN and the infinities become null. */
export function formatJson(value: Json): string {
  return write(value, COMPACT)
}

/** One line of ASCII as Python's json.dumps writes it, every number as a float (see formatPythonFloat). */
export function formatPythonJson(value: Json): string {
  return write(value, PYTHON)
}

/** The text of formatPythonJson for a list, in parts of about 64 KiB, made as they are asked for. */
export function* formatPythonJsonChunks(list: Iterable<Json>): Generator<string, void, undefined> {
  let chunk = '['
  let separator = ''
  for (const member of list) {
    chunk += separator + write(member, PYTHON)
    separator = PYTHON.comma
    if (chunk.length >= CHUNK_LENGTH) {
      yield chunk
      chunk = ''
    }
  }
  yield `${chunk}]`
}

/**
 * A number as Python prints the float: `1.0`, `1e+22`, `0.1`, `NaN`, never an integer literal. When the float would
 * show another value than the exact one, all digits are kept, with a point or an exponent.
 */
export function formatPythonFloat(value: ExactNumber): string {
  const float = value.toNumber()
  // Most numbers: written the same way in JavaScript and Python.
  const magnitude = Math.abs(float)
  if (magnitude >= 1e-4 && magnitude < 1e16 && String(float) === value.text) {
    return Number.isInteger(float) ? `${value.text}.0` : value.text
  }
  const exact = value.decimal()
  if (exact === undefined) return value.text
  // The shortest digits that read back as the same double are the same in JavaScript and Python.
  const shortest = Number.isFinite(float) ? ExactNumber.of(float).decimal() : undefined
  if (shortest?.digits === exact.digits && shortest.exponent === exact.exponent) {
    return layOut({ ...shortest, negative: exact.negative }, 16)
  }
  return layOut(exact, 38)
}

/** Python's layout of a float; `plainUpTo` is the largest number of digits before the point without an exponent. */
function layOut({ negative, digits, exponent }: Decimal, plainUpTo: number): string {
  const sign = negative ? '-' : ''
  if (digits === '') return `${sign}0.0`
  if (exponent > 0 && exponent <= plainUpTo) {
    return `${sign}${digits.slice(0, exponent).padEnd(exponent, '0')}.${digits.slice(exponent) || '0'}`
  }
  if (exponent <= 0 && exponent > -4) return `${sign}0.${'0'.repeat(-exponent)}${digits}`
  const power = exponent - 1
  const mantissa = digits.length === 1 ? digits : `${digits.slice(0, 1)}.${digits.slice(1)}`
  return `${sign}${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
}

function write(value: Json, dialect: Dialect): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return dialect.string(value)
  if (value instanceof ExactNumber) return dialect.number(value)
  if (isJsonArray(value)) return `[${value.map((member) => write(member, dialect)).join(dialect.comma)}]`
  if (isJsonObject(value)) {
    const members = Array.from(
      value,
      ([key, member]) => dialect.string(key) + dialect.colon + write(member, dialect),
    )
    return `{${members.join(dialect.comma)}}`
  }
  throw new TypeError('not a JSON value')
}

const SHORT_ESCAPES = new Map([
  ['"', '\\"'],
  ['\\', '\\\\'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
])

/** Printable ASCII as it is, every other UTF-16 unit as an escape in lower-case hex. */
function quoteAscii(text: string): string {
  const escaped = text.replace(
    /["\\]|[^ -~]/g,
    (unit) => SHORT_ESCAPES.get(unit) ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return `"${escaped}"`
}
