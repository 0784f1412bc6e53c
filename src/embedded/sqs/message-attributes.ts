import { createHash } from 'node:crypto'
import { isJsonObject, type JsonObject } from '../json-object.ts'
import { sqsErrors } from './errors.ts'

export interface MessageAttribute {
  DataType: string
  StringValue?: string
  /** Base64, as it travels in JSON. */
  BinaryValue?: string
}

export type MessageAttributes = Record<string, MessageAttribute>

/** Checks the attributes that a sender gave; undefined when there are none. */
export function parseMessageAttributes(input: JsonObject | undefined): MessageAttributes | undefined {
  const entries = Object.entries(input ?? {})
  if (entries.length === 0) return undefined
  if (entries.length > 10) {
    throw sqsErrors.invalidParameter(
      `Number of message attributes [${entries.length}] exceeds the allowed maximum [10].`,
    )
  }
  return Object.fromEntries(entries.map(([name, value]) => [name, parseOne(name, value)]))
}

function parseOne(name: string, value: unknown): MessageAttribute {
  if (!/^[A-Za-z0-9_.-]{1,256}$/.test(name) || name.startsWith('.') || name.endsWith('.')) {
    throw sqsErrors.invalidParameter(`Invalid message attribute name '${name}'.`)
  }
  const { DataType: type, StringValue: text, BinaryValue: bytes } = isJsonObject(value) ? value : {}
  if (typeof type !== 'string' || !/^(String|Number|Binary)(\..{1,248})?$/s.test(type)) {
    throw sqsErrors.invalidParameter(
      `The message attribute '${name}' has an invalid message attribute type; it must begin with String, Number or Binary.`,
    )
  }
  if (type.startsWith('Binary')) {
    if (typeof bytes === 'string' && bytes !== '') return { DataType: type, BinaryValue: bytes }
  } else if (typeof text === 'string' && text !== '') {
    if (type.startsWith('Number') && !/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) {
      throw sqsErrors.invalidParameter(
        `Can't cast the value of message (user) attribute '${name}' to a number.`,
      )
    }
    return { DataType: type, StringValue: text }
  }
  throw sqsErrors.invalidParameter(
    `The message attribute '${name}' must contain a non-empty value of type '${type}'.`,
  )
}

/** Bytes that the attributes count for in a message's size. */
export function sizeOfAttributes(attributes: MessageAttributes | undefined): number {
  let bytes = 0
  for (const [name, attribute] of Object.entries(attributes ?? {})) {
    bytes += Buffer.byteLength(name) + Buffer.byteLength(attribute.DataType) + valueOf(attribute).length
  }
  return bytes
}

/** The attributes whose names were asked for: exact names, `prefix.*`, `All` or `.*`. */
export function selectAttributes(
  attributes: MessageAttributes | undefined,
  wanted: readonly string[],
): MessageAttributes | undefined {
  const chosen = Object.entries(attributes ?? {}).filter(([name]) =>
    wanted.some((pattern) => matches(name, pattern)),
  )
  return chosen.length === 0 ? undefined : Object.fromEntries(chosen)
}

function matches(name: string, pattern: string): boolean {
  if (pattern === 'All' || pattern === '.*' || pattern === name) return true
  return pattern.endsWith('.*') && name.startsWith(pattern.slice(0, -1))
}

/** MD5OfMessageAttributes: over names, types and values in order of name, each with its length before it. */
export function md5OfAttributes(attributes: MessageAttributes): string {
  const hash = createHash('md5')
  const names = Object.keys(attributes).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  for (const name of names) {
    const attribute = attributes[name]
    if (attribute === undefined) continue
    addWithLength(Buffer.from(name))
    addWithLength(Buffer.from(attribute.DataType))
    hash.update(Buffer.of(attribute.BinaryValue === undefined ? 1 : 2))
    addWithLength(valueOf(attribute))
  }
  return hash.digest('hex')

  function addWithLength(bytes: Buffer): void {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    hash.update(length).update(bytes)
  }
}

function valueOf(attribute: MessageAttribute): Buffer {
  return attribute.BinaryValue === undefined
    ? Buffer.from(attribute.StringValue ?? '')
    : Buffer.from(attribute.BinaryValue, 'base64')
}
