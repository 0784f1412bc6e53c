import { serializationError } from '../api-error.ts'
import { parseJsonObject, type JsonObject } from '../json-object.ts'
import { sqsErrors } from './errors.ts'

/** What a queue was told, by AWS's attribute names; all values are strings there. */
export type QueueAttributes = Record<string, string>

/** SQS's largest message, and the largest sum of a batch. */
export const MAX_MESSAGE_BYTES = 1_048_576
/** SQS's longest time in flight. */
export const MAX_VISIBILITY_SECONDS = 43_200

interface Range {
  min: number
  max: number
  initially: number
}

const NUMBERS: Readonly<Record<string, Range>> = {
  VisibilityTimeout: { min: 0, max: MAX_VISIBILITY_SECONDS, initially: 30 },
  DelaySeconds: { min: 0, max: 900, initially: 0 },
  MaximumMessageSize: { min: 1024, max: MAX_MESSAGE_BYTES, initially: MAX_MESSAGE_BYTES },
  MessageRetentionPeriod: { min: 60, max: 1_209_600, initially: 345_600 },
  ReceiveMessageWaitTimeSeconds: { min: 0, max: 20, initially: 0 },
}
const BOOLEANS = ['FifoQueue', 'ContentBasedDeduplication', 'SqsManagedSseEnabled']
const CHOICES: Readonly<Record<string, readonly string[]>> = {
  DeduplicationScope: ['queue', 'messageGroup'],
  FifoThroughputLimit: ['perQueue', 'perMessageGroupId'],
}
/** Kept and told again, without effect here. */
const KEPT = ['Policy', 'RedriveAllowPolicy', 'KmsMasterKeyId', 'KmsDataKeyReusePeriodSeconds']
const FIFO_ONLY = ['ContentBasedDeduplication', 'DeduplicationScope', 'FifoThroughputLimit']
const COMPUTED = [
  'ApproximateNumberOfMessages',
  'ApproximateNumberOfMessagesDelayed',
  'ApproximateNumberOfMessagesNotVisible',
  'CreatedTimestamp',
  'LastModifiedTimestamp',
  'QueueArn',
]

export interface RedrivePolicy {
  deadLetterTargetArn: string
  maxReceiveCount: number
}

/** The attributes of `input`, checked one by one and in their usual spelling. */
export function parseQueueAttributes(input: JsonObject, fifo: boolean): QueueAttributes {
  const attributes: QueueAttributes = {}
  for (const [name, value] of Object.entries(input)) {
    if (typeof value !== 'string') throw serializationError(`Attributes.${name} must be a string`)
    attributes[name] = parseOne(name, value, fifo)
  }
  return attributes
}

function parseOne(name: string, value: string, fifo: boolean): string {
  if (!isKnown(name) || COMPUTED.includes(name) || (FIFO_ONLY.includes(name) && !fifo)) {
    throw sqsErrors.invalidAttributeName(name)
  }
  const range = Object.hasOwn(NUMBERS, name) ? NUMBERS[name] : undefined
  if (range !== undefined) {
    const number = /^\d{1,10}$/.test(value) ? Number(value) : NaN
    if (!(number >= range.min && number <= range.max)) throw sqsErrors.invalidAttributeValue(name)
    return String(number)
  }
  if (BOOLEANS.includes(name)) {
    const lower = value.toLowerCase()
    if (lower !== 'true' && lower !== 'false') throw sqsErrors.invalidAttributeValue(name)
    return lower
  }
  const choices = Object.hasOwn(CHOICES, name) ? CHOICES[name] : undefined
  if (choices?.includes(value) === false) throw sqsErrors.invalidAttributeValue(name)
  if (name === 'RedrivePolicy' && value !== '') parseRedrivePolicy(value)
  return value
}

/** Names that GetQueueAttributes knows. */
export function isKnown(name: string): boolean {
  return (
    Object.hasOwn(NUMBERS, name) ||
    Object.hasOwn(CHOICES, name) ||
    BOOLEANS.includes(name) ||
    KEPT.includes(name) ||
    COMPUTED.includes(name) ||
    name === 'RedrivePolicy'
  )
}

/** A number attribute, or SQS's default for it. */
export function numberOf(attributes: QueueAttributes, name: keyof typeof NUMBERS): number {
  return Number(attributes[name] ?? NUMBERS[name]?.initially)
}

/** All attributes that a queue has, those at their defaults too. */
export function withDefaults(attributes: QueueAttributes): QueueAttributes {
  const defaults = Object.entries(NUMBERS).map(([name, { initially }]) => [name, String(initially)] as const)
  return { ...Object.fromEntries(defaults), SqsManagedSseEnabled: 'true', ...attributes }
}

export function parseRedrivePolicy(text: string): RedrivePolicy {
  const policy = parseJsonObject(text)
  const target = policy?.['deadLetterTargetArn']
  const count = Number(policy?.['maxReceiveCount'])
  if (typeof target !== 'string' || !(Number.isInteger(count) && count >= 1 && count <= 1000)) {
    throw sqsErrors.invalidValue(
      'RedrivePolicy',
      text,
      'It must be JSON with deadLetterTargetArn and maxReceiveCount (1 to 1000).',
    )
  }
  return { deadLetterTargetArn: target, maxReceiveCount: count }
}
