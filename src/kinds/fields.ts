import { ExactNumber } from '../core/exact-number.ts'
import { formatJson, isJsonArray, isJsonObject, type Json, type JsonObject } from '../core/json.ts'
import { escapeControls } from '../core/text.ts'

/** What is wrong with a message, in one sentence. */
export class RequestError extends Error {
  override readonly name = 'RequestError'
}

const LONGEST_PATH_BYTES = 255
const LONGEST_NAME = 512
const MOST_METADATA_BYTES = 16 * 1024

/** Refuses keys that nobody reads, all of them by name. */
export function onlyKeys(object: JsonObject, known: readonly string[], prefix: string): void {
  const unknown = [...object.keys()].filter((key) => !known.includes(key))
  if (unknown.length === 0) return
  const names = unknown.slice(0, 10).map((key) => `${prefix}${shown(key)}`)
  const more = unknown.length > 10 ? ` and ${unknown.length - 10} more` : ''
  const known_ = known.join(', ')
  throw new RequestError(
    `unknown ${unknown.length === 1 ? 'key' : 'keys'} ${names.join(', ')}${more}; there are ${known_}`,
  )
}

/** Whether a key says anything: null stands for a key that is left out. */
export function isGiven(object: JsonObject, key: string): boolean {
  return (object.get(key) ?? null) !== null
}

/** A text; '' when it is left out. */
export function text(object: JsonObject, key: string, where = ''): string {
  const value = object.get(key) ?? ''
  const name = where === '' ? key : `${where}.${key}`
  if (typeof value !== 'string') throw new RequestError(`${name} must be text`)
  return wellFormed(value, name)
}

/** A short text that is not empty, on one line. */
export function name(object: JsonObject, key: string): string {
  const value = text(object, key)
  if (value === '' || value.length > LONGEST_NAME || /[\p{Cc}\s]/u.test(value)) {
    throw new RequestError(`${key} must be 1 to ${LONGEST_NAME} characters without spaces`)
  }
  return value
}

/** True or false; false when it is left out. */
export function flag(object: JsonObject, key: string): boolean {
  const value = object.get(key) ?? false
  if (typeof value !== 'boolean') throw new RequestError(`${key} must be true or false`)
  return value
}

/** A list; empty when it is left out. */
export function list(object: JsonObject, key: string): readonly Json[] {
  const value = object.get(key) ?? []
  if (!isJsonArray(value)) throw new RequestError(`${key} must be a list`)
  return value
}

/** A list of texts; empty when it is left out. */
export function texts(object: JsonObject, key: string, most: number): string[] {
  const values = list(object, key)
  if (values.length > most) throw new RequestError(`${key} holds more than ${most} members`)
  return values.map((value, index) => {
    if (typeof value !== 'string') throw new RequestError(`${key}[${index}] must be text`)
    return wellFormed(value, `${key}[${index}]`)
  })
}

/** An object; empty when it is left out. */
export function object(parent: JsonObject, key: string): JsonObject {
  const value = parent.get(key) ?? new Map<string, Json>()
  if (!isJsonObject(value)) throw new RequestError(`${key} must be an object`)
  return value
}

const DATE = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d))?$/

/** A point in time by ISO 8601; undefined when it is left out. */
export function date(object: JsonObject, key: string): Date | undefined {
  const value = object.get(key) ?? undefined
  if (value === undefined) return undefined
  const time = typeof value === 'string' && DATE.test(value) ? new Date(value) : new Date(NaN)
  if (Number.isNaN(time.getTime())) {
    throw new RequestError(`${key} must be a time such as 2026-01-31T12:00:00Z`)
  }
  return time
}

/** One of some words; undefined when it is left out. */
export function choice<const T extends string>(
  object: JsonObject,
  key: string,
  choices: readonly T[],
): T | undefined {
  const value = object.get(key) ?? undefined
  if (value === undefined) return undefined
  const found = choices.find((each) => each === value)
  if (found === undefined) throw new RequestError(`${key} must be one of ${choices.join(', ')}`)
  return found
}

interface Bounds {
  min?: number
  /** Larger than this, not equal. */
  above?: number
  max: number
  isWhole?: boolean
}

/** A number within bounds; undefined when it is left out. */
export function number(
  object: JsonObject,
  key: string,
  where: string,
  { min = -Infinity, above = -Infinity, max, isWhole = false }: Bounds,
): number | undefined {
  const value = object.get(key) ?? undefined
  if (value === undefined) return undefined
  const found = value instanceof ExactNumber ? value.toNumber() : NaN
  if (found >= min && found > above && found <= max && (!isWhole || Number.isInteger(found))) return found
  const from = above === -Infinity ? `from ${min}` : `above ${above}, at most`
  throw new RequestError(
    `${where === '' ? key : `${where}.${key}`} must be a${isWhole ? ' whole' : ''} number ${from}${above === -Infinity ? ' to' : ''} ${max}`,
  )
}

/** Without the members that are undefined. */
export function defined<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> }
}

/** The bytes of a base64 text; white space in it does no harm. */
export function base64(value: string, where: string): Buffer {
  const bare = value.replaceAll(/\s+/g, '')
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(bare) || bare.replace(/=+$/, '').length % 4 === 1) {
    throw new RequestError(`${where} is not base64`)
  }
  return Buffer.from(bare, 'base64')
}

/** A relative path that stays below its folder; the same text. */
export function path(value: string, where: string): string {
  const isBad =
    Buffer.byteLength(value) > LONGEST_PATH_BYTES ||
    /\p{Cc}/u.test(value) ||
    value.split('/').some((part) => part === '' || part === '.' || part === '..')
  if (!isBad) return value
  throw new RequestError(
    `${where} must be a relative path of at most ${LONGEST_PATH_BYTES} bytes without . and .. in it, not ${shown(value)}`,
  )
}

/** Refuses two files at one place, and files below files. */
export function assertApart(paths: readonly string[]): void {
  const all = new Set<string>()
  for (const each of paths) {
    if (all.has(each)) throw new RequestError(`two files go to ${shown(each)}`)
    all.add(each)
  }
  for (const each of paths) {
    for (let cut = each.lastIndexOf('/'); cut > 0; cut = each.lastIndexOf('/', cut - 1)) {
      const parent = each.slice(0, cut)
      if (all.has(parent))
        throw new RequestError(`${shown(parent)} can not be a file and the folder of ${shown(each)}`)
    }
  }
}

/** What comes back untouched; empty when it is left out. */
export function metadata(parent: JsonObject): JsonObject {
  const value = object(parent, 'metadata')
  if (!isStorable(value, 0)) {
    throw new RequestError(
      'metadata must not be nested deeper than 16 levels, nor hold an empty key or broken Unicode',
    )
  }
  if (jsonBytes(value) > MOST_METADATA_BYTES) {
    throw new RequestError(`metadata is longer than ${MOST_METADATA_BYTES} bytes`)
  }
  return value
}

function isStorable(value: Json, depth: number): boolean {
  if (depth > 16) return false
  if (typeof value === 'string') return !/\p{Surrogate}/u.test(value)
  if (isJsonArray(value)) return value.every((member) => isStorable(member, depth + 1))
  if (!isJsonObject(value)) return true
  return [...value].every(
    ([key, member]) => key !== '' && isStorable(key, depth + 1) && isStorable(member, depth + 1),
  )
}

export function assertNoNul(value: string, where: string): void {
  if (value.includes('\0')) throw new RequestError(`${where} must not hold a NUL character`)
}

/** How long a value is as JSON. */
export function jsonBytes(value: Json): number {
  return Buffer.byteLength(formatJson(value))
}

/** A foreign text in a sentence of ours. */
export function shown(value: string): string {
  const short = value.length <= 60 ? value : `${value.slice(0, 60)}…`
  return /^[\w./*?:@+-]+$/.test(short) ? short : JSON.stringify(escapeControls(short))
}

function wellFormed(value: string, where: string): string {
  if (/\p{Surrogate}/u.test(value)) throw new RequestError(`${where} holds broken Unicode`)
  return value
}
