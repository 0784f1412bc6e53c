import { serializationError, type ApiError } from '../api-error.ts'
import type { JsonObject } from '../json-object.ts'
import { validationError } from './errors.ts'

/** Deeper JSON can't be a legal request, and must not meet recursive code. */
const MAX_JSON_DEPTH = 100
/** dynalite's parser takes half as long again for each further pair of parentheses around something. */
const MAX_PARENTHESES = 12

/** Why a request is not passed on to dynalite, which could lose a part of it or be kept busy by it. */
export function findUnsafe(request: JsonObject): ApiError | undefined {
  if (jsonDepth(request, MAX_JSON_DEPTH) > MAX_JSON_DEPTH) {
    return serializationError('The request is nested too deeply')
  }
  return findInside(request)
}

/** Levels of objects and arrays in parsed JSON, but at most `limit` + 1. */
export function jsonDepth(value: unknown, limit: number): number {
  if (typeof value !== 'object' || value === null) return 0
  if (limit === 0) return 1
  let deepest = 0
  for (const entry of Object.values(value)) deepest = Math.max(deepest, jsonDepth(entry, limit - 1))
  return 1 + deepest
}

function findInside(value: unknown): ApiError | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (Object.hasOwn(value, '__proto__')) {
    return validationError('"__proto__" can not be the name of an attribute here')
  }
  for (const [name, entry] of Object.entries(value)) {
    const tooDeep =
      typeof entry === 'string' && name.endsWith('Expression') && parentheses(entry) > MAX_PARENTHESES
    if (tooDeep)
      return validationError(`Invalid ${name}: more than ${MAX_PARENTHESES} parentheses inside each other`)
    const found = findInside(entry)
    if (found !== undefined) return found
  }
  return undefined
}

function parentheses(expression: string): number {
  let depth = 0
  let deepest = 0
  for (const character of expression) {
    if (character === '(') depth += 1
    if (character === ')') depth -= 1
    deepest = Math.max(deepest, depth)
  }
  return deepest
}
