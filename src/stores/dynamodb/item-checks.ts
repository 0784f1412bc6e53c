import { JobError, PoisonError } from '../../core/errors.ts'
import { ExactNumber } from '../../core/exact-number.ts'
import { isJsonArray, isJsonObject, type Json } from '../../core/json.ts'
import { fitNumber } from '../numbers.ts'
import type { Item, Key } from '../store.ts'

/** DynamoDB's bounds; sizes count attribute names and values. */
const MAX_ITEM_BYTES = 409_600
/** Lists and maps inside each other; with the item itself that makes its documented 32 levels. */
const MAX_CONTAINERS = 31
const MAX_NAME_BYTES = 65_535
const MAX_KEY_BYTES = { ID: 2048, Trial: 1024 } as const
const CONTAINER_BYTES = 3
const MEMBER_BYTES = 1

/** Throws JobError('unstorable_result') for an item that DynamoDB would refuse, before anything is sent. */
export function assertStorable(item: Item): void {
  const bytes = itemBytes(item)
  if (bytes > MAX_ITEM_BYTES) {
    throw unstorable(`it takes ${bytes} bytes, and the table holds at most ${MAX_ITEM_BYTES} in one item`)
  }
}

/** Throws PoisonError for a key that no table can hold: it comes from a message. */
export function assertKey(key: Key): void {
  for (const name of ['ID', 'Trial'] as const) {
    const value = key[name]
    if (value === '') throw new PoisonError(`the table's key ${name} would be empty`)
    if (/\p{Surrogate}/u.test(value))
      throw new PoisonError(`the table's key ${name} would be invalid Unicode`)
    if (Buffer.byteLength(value) > MAX_KEY_BYTES[name]) {
      throw new PoisonError(`the table's key ${name} would be longer than ${MAX_KEY_BYTES[name]} bytes`)
    }
  }
}

/** The size of an item by DynamoDB's own rules. Throws JobError for nesting and names that it refuses. */
export function itemBytes(item: Item): number {
  let bytes = 0
  for (const [name, value] of Object.entries(item)) bytes += nameBytes(name) + valueBytes(value, 0)
  return bytes
}

function valueBytes(value: Json, containers: number): number {
  if (value === null || typeof value === 'boolean') return 1
  if (typeof value === 'string') return Buffer.byteLength(value)
  if (value instanceof ExactNumber) return numberBytes(value)
  if (containers >= MAX_CONTAINERS) throw unstorable(`it is nested deeper than ${MAX_CONTAINERS} levels`)
  let bytes = CONTAINER_BYTES
  if (isJsonArray(value)) {
    for (const member of value) bytes += MEMBER_BYTES + valueBytes(member, containers + 1)
  } else if (isJsonObject(value)) {
    for (const [name, member] of value) {
      bytes += MEMBER_BYTES + nameBytes(name) + valueBytes(member, containers + 1)
    }
  }
  return bytes
}

/** One byte for every pair of digits left and right of the point, one for the exponent, one for a minus. */
function numberBytes(number: ExactNumber): number {
  const decimal = fitNumber(number).value?.decimal()
  if (decimal === undefined || decimal.digits === '') return 1
  const halfPair = decimal.exponent % 2 === 0 ? 0 : 1
  return 1 + Math.ceil((decimal.digits.length + halfPair) / 2) + (decimal.negative ? 1 : 0)
}

function nameBytes(name: string): number {
  if (name === '') throw unstorable('an object in it has an empty key')
  const bytes = Buffer.byteLength(name)
  if (bytes > MAX_NAME_BYTES)
    throw unstorable(`an object in it has a key longer than ${MAX_NAME_BYTES} bytes`)
  return bytes
}

/** The one way to say it. */
export function unstorable(why: string, options?: ErrorOptions): JobError {
  const message = `result cannot be stored: ${why}`
  return new JobError('unstorable_result', message, message, options)
}
