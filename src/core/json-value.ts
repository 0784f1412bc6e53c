import { ExactNumber } from './exact-number.ts'

/** A JSON value whose numbers keep every digit. Read by parseJson, or made of plain values by fromPlain. */
export type Json = null | boolean | string | ExactNumber | readonly Json[] | JsonObject

/** In the order of the text. A Map, since keys are foreign: `__proto__` is a key like any other. */
export type JsonObject = ReadonlyMap<string, Json>

/** Deepest nesting that is read or made; writing then needs no more stack than that. */
export const MAX_DEPTH = 1000

/** Narrows to an object. */
export function isJsonObject(value: Json | undefined): value is JsonObject {
  return value instanceof Map
}

/** Narrows to a list. */
export function isJsonArray(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value)
}

/** Makes Json of plain values: numbers, bigints, arrays, Maps, objects (undefined members are left out). */
export function fromPlain(value: unknown): Json {
  return convert(value, 0)
}

function convert(value: unknown, depth: number): Json {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value
  if (value instanceof ExactNumber) return value
  if (typeof value === 'number') return ExactNumber.of(value)
  if (typeof value === 'bigint') return ExactNumber.parse(value.toString())
  if (typeof value !== 'object') throw new TypeError(`a ${typeof value} is no JSON`)
  // A cycle would never end.
  if (depth >= MAX_DEPTH) throw new TypeError(`nested deeper than ${MAX_DEPTH} levels`)
  if (Array.isArray(value)) return value.map((member: unknown) => convert(member, depth + 1))
  const entries: Iterable<[unknown, unknown]> = value instanceof Map ? value : Object.entries(value)
  const result = new Map<string, Json>()
  for (const [key, member] of entries) {
    if (member !== undefined) result.set(String(key), convert(member, depth + 1))
  }
  return result
}

/** Plain JavaScript values; numbers become doubles. */
export function toPlain(value: Json): unknown {
  if (value instanceof ExactNumber) return value.toNumber()
  if (isJsonArray(value)) return value.map(toPlain)
  // fromEntries defines properties, so that `__proto__` stays a harmless key.
  if (isJsonObject(value))
    return Object.fromEntries(Array.from(value, ([key, member]) => [key, toPlain(member)]))
  return value
}
