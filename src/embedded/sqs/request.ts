import { serializationError } from '../api-error.ts'
import { isJsonObject, type JsonObject } from '../json-object.ts'
import { sqsErrors } from './errors.ts'

/** Reads the members of a request, refusing wrong JSON types as AWS's JSON protocol does. */
export function optionalString(request: JsonObject, name: string): string | undefined {
  const value = request[name] ?? undefined
  if (value === undefined || typeof value === 'string') return value
  throw serializationError(`${name} must be a string`)
}

/** A string that must be there and must not be empty. */
export function requiredString(request: JsonObject, name: string): string {
  const value = optionalString(request, name)
  if (value === undefined || value === '') throw sqsErrors.missingParameter(name)
  return value
}

/** A whole number from `min` to `max`. */
export function optionalInteger(
  request: JsonObject,
  name: string,
  min: number,
  max: number,
): number | undefined {
  const value = request[name] ?? undefined
  if (value === undefined) return undefined
  if (typeof value !== 'number' || !Number.isInteger(value)) {
    throw serializationError(`${name} must be a whole number`)
  }
  if (value < min || value > max) {
    throw sqsErrors.invalidValue(name, value, `Must be >= ${min} and <= ${max}, if provided.`)
  }
  return value
}

export function requiredInteger(request: JsonObject, name: string, min: number, max: number): number {
  const value = optionalInteger(request, name, min, max)
  if (value === undefined) throw sqsErrors.missingParameter(name)
  return value
}

export function optionalObject(request: JsonObject, name: string): JsonObject | undefined {
  const value = request[name] ?? undefined
  if (value === undefined || isJsonObject(value)) return value
  throw serializationError(`${name} must be an object`)
}

export function stringList(request: JsonObject, name: string): string[] {
  const value = request[name] ?? []
  if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'string')) {
    throw serializationError(`${name} must be a list of strings`)
  }
  return value
}

export function objectList(request: JsonObject, name: string): JsonObject[] {
  const value = request[name] ?? []
  if (!Array.isArray(value) || !value.every(isJsonObject)) {
    throw serializationError(`${name} must be a list of objects`)
  }
  return value
}
