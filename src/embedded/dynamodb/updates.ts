import { isJsonObject, type JsonObject } from '../json-object.ts'
import { validationError } from './errors.ts'
import { childrenOf, open, valueAt, type Path } from './values.ts'

/** One clause of an update expression as dynalite's parser delivers it. */
export interface Clause {
  type: 'add' | 'delete' | 'remove' | 'set'
  path: Path
  /** An attribute value; of `set` also a path, a sum, a difference or a function. */
  val?: unknown
}

/**
 * The item that an update makes of `item`; throws ApiError when it does not fit. Operands are values from before the
 * update, and an index means the element that was there before it.
 */
export function applyUpdate(clauses: readonly Clause[], item: JsonObject): JsonObject {
  const updated = copy(item)
  const operands = clauses.map(({ type, val }) => (type === 'set' ? evaluate(val, item) : val))
  for (const [index, { type, path }] of clauses.entries()) {
    const last = path.at(-1) ?? ''
    const siblings = childrenOf(valueAt(path.slice(0, -1), updated), last)
    if (siblings === undefined) {
      throw validationError('The document path provided in the update expression is invalid for update')
    }
    const value = newValue(type, valueAt(path, updated), operands[index])
    // Of a list, this leaves a gap; the last copy closes it, so that indexes stay until then.
    if (value === undefined) Reflect.deleteProperty(siblings, last)
    else siblings[last] = value
  }
  return copy(updated)
}

/** The same update as SETs and REMOVEs of whole attributes, with values instead of operands. */
export function flatten(clauses: readonly Clause[], item: JsonObject): Clause[] {
  const updated = applyUpdate(clauses, item)
  const names = new Set(clauses.map(({ path }) => String(path[0])))
  return [...names].map((name) =>
    Object.hasOwn(updated, name)
      ? { type: 'set', path: [name], val: updated[name] }
      : { type: 'remove', path: [name] },
  )
}

/** Undefined = none. */
function newValue(type: Clause['type'], before: unknown, operand: unknown): unknown {
  if (type === 'remove') return undefined
  if (type === 'set') return operand
  if (before === undefined) return type === 'add' ? operand : undefined
  const { type: kind, content } = open(operand)
  const { type: kindBefore, content: contentBefore } = open(before)
  if (kind === undefined || kind !== kindBefore) throw wrongType()
  if (!Array.isArray(content) || !Array.isArray(contentBefore)) return sum(before, operand, 1n)
  const members = new Set<unknown>(contentBefore)
  for (const member of content as unknown[]) {
    if (type === 'add') members.add(member)
    else members.delete(member)
  }
  return members.size === 0 ? undefined : { [kind]: [...members] }
}

/** The value of what stands at the right of a SET. */
function evaluate(operand: unknown, item: JsonObject): unknown {
  const value = Array.isArray(operand) ? valueAt(operand as Path, item) : evaluateFunction(operand, item)
  if (value === undefined) {
    throw validationError('The provided expression refers to an attribute that does not exist in the item')
  }
  return value
}

function evaluateFunction(operand: unknown, item: JsonObject): unknown {
  if (!isJsonObject(operand) || !Array.isArray(operand['args'])) return operand
  const { type, name, args } = operand
  const [first, second] = args as unknown[]
  if (name === 'if_not_exists') return valueAt(first as Path, item) ?? evaluate(second, item)
  const [a, b] = [evaluate(first, item), evaluate(second, item)]
  if (name === 'list_append') return { L: [...listOf(a), ...listOf(b)] }
  return sum(a, b, type === 'add' ? 1n : -1n)
}

function listOf(value: unknown): unknown[] {
  const { type, content } = open(value)
  if (type !== 'L' || !Array.isArray(content)) throw wrongType()
  return content
}

/** `a` plus `sign` × `b`, exactly. */
function sum(a: unknown, b: unknown, sign: bigint): JsonObject {
  const [left, right] = [digitsOf(a), digitsOf(b)]
  const decimals = Math.max(decimalsOf(left), decimalsOf(right))
  const total = shifted(left, decimals) + sign * shifted(right, decimals)
  const digits = String(total < 0n ? -total : total).padStart(decimals + 1, '0')
  const pointAt = digits.length - decimals
  const fraction = digits.slice(pointAt).replace(/0+$/, '')
  return { N: `${total < 0n ? '-' : ''}${digits.slice(0, pointAt)}${fraction && `.${fraction}`}` }
}

/** A number as it is stored: plain digits, without exponent. */
function digitsOf(value: unknown): string {
  const { type, content } = open(value)
  if (type !== 'N' || typeof content !== 'string') throw wrongType()
  return content
}

function decimalsOf(digits: string): number {
  return digits.split('.')[1]?.length ?? 0
}

function shifted(digits: string, decimals: number): bigint {
  const [whole = '', fraction = ''] = digits.split('.')
  return BigInt(whole + fraction.padEnd(decimals, '0'))
}

/** A deep copy in which lists have no gaps and objects no prototype. */
function copy<T>(value: T): T
function copy(value: unknown): unknown {
  if (Array.isArray(value)) return Object.values<unknown>(value).map((entry) => copy(entry))
  if (!isJsonObject(value)) return value
  const result = Object.create(null) as JsonObject
  for (const [name, member] of Object.entries(value)) result[name] = copy(member)
  return result
}

function wrongType(): Error {
  return validationError('An operand in the update expression has an incorrect data type')
}
