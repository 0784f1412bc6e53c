import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { ExactNumber } from '../../core/exact-number.ts'
import { isJsonArray, isJsonObject, type Json } from '../../core/json.ts'
import { fitNumber, fitText } from '../numbers.ts'
import type { Item } from '../store.ts'

/** One value in DynamoDB's form, fitted to its bounds (by the rules of fitForTable, which says what changes). */
export function toAttribute(value: Json): AttributeValue {
  if (value === null) return { NULL: true }
  if (typeof value === 'boolean') return { BOOL: value }
  if (typeof value === 'string') return { S: fitText(value) }
  if (value instanceof ExactNumber) {
    const { value: number } = fitNumber(value)
    return number === null ? { NULL: true } : { N: number.text }
  }
  if (isJsonArray(value)) return { L: value.map(toAttribute) }
  if (isJsonObject(value)) {
    return {
      M: Object.fromEntries(Array.from(value, ([key, member]) => [fitText(key), toAttribute(member)])),
    }
  }
  throw new TypeError('not a JSON value')
}

/** The value of an attribute. Of what we never write, sets become lists and binaries base64 texts. */
export function fromAttribute(attribute: AttributeValue): Json {
  if (attribute.S !== undefined) return attribute.S
  if (attribute.N !== undefined) return ExactNumber.parse(attribute.N)
  if (attribute.BOOL !== undefined) return attribute.BOOL
  if (attribute.L !== undefined) return attribute.L.map(fromAttribute)
  if (attribute.M !== undefined) {
    return new Map(Object.entries(attribute.M).map(([key, member]) => [key, fromAttribute(member)]))
  }
  if (attribute.SS !== undefined) return attribute.SS
  if (attribute.NS !== undefined) return attribute.NS.map((text) => ExactNumber.parse(text))
  if (attribute.B !== undefined) return toBase64(attribute.B)
  if (attribute.BS !== undefined) return attribute.BS.map(toBase64)
  return null
}

/** All attributes of an item in DynamoDB's form. */
export function toAttributes(item: Item): Record<string, AttributeValue> {
  return Object.fromEntries(Object.entries(item).map(([name, value]) => [name, toAttribute(value)]))
}

/** All attributes of an item as values. */
export function fromAttributes(attributes: Record<string, AttributeValue>): Item {
  return Object.fromEntries(Object.entries(attributes).map(([name, each]) => [name, fromAttribute(each)]))
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
