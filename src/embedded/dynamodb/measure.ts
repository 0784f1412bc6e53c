import { isJsonObject } from '../json-object.ts'
import { open } from './values.ts'

/** DynamoDB's largest item. */
export const MAX_ITEM_BYTES = 409_600
/** Lists and maps inside each other, the item itself not counted. */
const MAX_DEPTH = 31
const MAX_DIGITS = 38
const MAX_EXPONENT = 125
const MIN_EXPONENT = -130

/** DynamoDB's size of an item: names and texts count in UTF-8 (dynalite counts UTF-16 units). */
export function itemBytes(item: unknown): number {
  if (!isJsonObject(item)) return 0
  let bytes = 0
  for (const [name, value] of Object.entries(item)) bytes += Buffer.byteLength(name) + valueBytes(value)
  return bytes
}

function valueBytes(value: unknown): number {
  const { type, content } = open(value)
  if (type === 'M' && isJsonObject(content)) return 3 + Object.keys(content).length + itemBytes(content)
  if (!Array.isArray(content)) return scalarBytes(type, content)
  const sizes = content.map((entry) => (type === 'L' ? 1 + valueBytes(entry) : scalarBytes(type, entry)))
  return sizes.reduce((sum, size) => sum + size, type === 'L' ? 3 : 0)
}

function scalarBytes(type: string | undefined, content: unknown): number {
  if (typeof content !== 'string') return 1
  if (type === 'B' || type === 'BS') return Buffer.byteLength(content, 'base64')
  if (type === 'N' || type === 'NS') {
    return Math.ceil(significantDigits(content) / 2) + 1 + (content.startsWith('-') ? 1 : 0)
  }
  return Buffer.byteLength(content)
}

/**
 * Why DynamoDB could not hold an item, beyond what dynalite checks: nested too deep, an empty name, or the number
 * that an update computed. Undefined = it could.
 */
export function findUnstorable(item: unknown): string | undefined {
  return isJsonObject(item) ? findInMap(item, 0) : undefined
}

function findInMap(map: Record<string, unknown>, depth: number): string | undefined {
  if (depth > MAX_DEPTH) {
    return 'Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit'
  }
  for (const [name, value] of Object.entries(map)) {
    const problem = name === '' ? 'Empty attribute name' : findInValue(value, depth)
    if (problem !== undefined) return problem
  }
  return undefined
}

function findInValue(value: unknown, depth: number): string | undefined {
  const { type, content } = open(value)
  if (type === 'N' && typeof content === 'string') return findInNumber(content)
  if (type === 'M' && isJsonObject(content)) return findInMap(content, depth + 1)
  if (type !== 'L' || !Array.isArray(content)) return undefined
  return findInMap(Object.fromEntries(content.map((entry, index) => [String(index), entry])), depth + 1)
}

/** `digits` is a number as it is stored: plain digits, without exponent. */
function findInNumber(digits: string): string | undefined {
  if (significantDigits(digits) > MAX_DIGITS) {
    return 'Attempting to store more than 38 significant digits in a Number'
  }
  const [, whole = '', zeros] = /^-?0*(\d*)(?:\.(0*))?/.exec(digits) ?? []
  if (whole.length - 1 > MAX_EXPONENT) {
    return 'Number overflow. Attempting to store a number with magnitude larger than supported range'
  }
  const isZero = significantDigits(digits) === 0
  if (!isZero && whole === '' && -(zeros?.length ?? 0) - 1 < MIN_EXPONENT) {
    return 'Number underflow. Attempting to store a number with magnitude smaller than supported range'
  }
  return undefined
}

function significantDigits(digits: string): number {
  const plain = digits.replace('-', '')
  const trimmed = plain.includes('.') ? plain.replace('.', '') : plain
  return trimmed.replace(/^0+/, '').replace(/0+$/, '').length
}
