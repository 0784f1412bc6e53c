import { ExactNumber } from '../../core/exact-number.ts'
import { isJsonObject } from '../json-object.ts'

/** The way to a value: names of attributes and indexes of list elements. */
export type Path = readonly (string | number)[]

/** An attribute value's type and what it holds. */
export function open(value: unknown): { type: string | undefined; content: unknown } {
  const [type, content] = Object.entries(isJsonObject(value) ? value : {})[0] ?? []
  return { type, content }
}

/** What `path` leads to in an item; undefined = nothing. */
export function valueAt(path: Path, item: unknown): unknown {
  let value: unknown = { M: item }
  for (const step of path) {
    const children = childrenOf(value, step)
    value = children !== undefined && Object.hasOwn(children, step) ? children[step] : undefined
  }
  return value
}

/** The members of a map or list of which `step` could name one. */
export function childrenOf(
  value: unknown,
  step: string | number,
): Record<string | number, unknown> | undefined {
  const { type, content } = open(value)
  if (typeof step === 'number') {
    return type === 'L' && Array.isArray(content)
      ? (content as unknown as Record<number, unknown>)
      : undefined
  }
  return type === 'M' && isJsonObject(content) ? content : undefined
}

/** Whether two attribute values are equal, as DynamoDB sees it: sets are, in whatever order their members come. */
export function isEqual(a: unknown, b: unknown): boolean {
  const { type, content } = open(a)
  const other = open(b)
  if (type === undefined || type !== other.type) return false
  if (isJsonObject(content) && isJsonObject(other.content)) {
    const { content: members } = other
    const names = Object.keys(content)
    return (
      names.length === Object.keys(members).length &&
      names.every((name) => Object.hasOwn(members, name) && isEqual(content[name], members[name]))
    )
  }
  // Numbers were all brought into one form when their request was checked.
  if (!Array.isArray(content) || !Array.isArray(other.content)) return content === other.content
  const entries: unknown[] = other.content
  if (content.length !== entries.length) return false
  if (type === 'L') return content.every((entry, index) => isEqual(entry, entries[index]))
  const members = new Set(entries)
  return content.every((member) => members.has(member))
}

/**
 * Negative, zero or positive as `a` is below, equal to or above `b`: numbers by value, texts by their bytes in UTF-8.
 * NaN = they have no order.
 */
export function order(a: unknown, b: unknown): number {
  const { type, content } = open(a)
  const other = open(b)
  if (type !== other.type || typeof content !== 'string' || typeof other.content !== 'string') return NaN
  return type === 'N'
    ? ExactNumber.compare(ExactNumber.parse(content), ExactNumber.parse(other.content))
    : Buffer.compare(bytesOf(a), bytesOf(b))
}

/** The bytes of a text or binary; none of anything else. */
export function bytesOf(value: unknown): Buffer {
  const { type, content } = open(value)
  if (typeof content !== 'string' || (type !== 'S' && type !== 'B')) return Buffer.alloc(0)
  return Buffer.from(content, type === 'B' ? 'base64' : 'utf8')
}
