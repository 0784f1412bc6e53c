import { createHash, randomUUID } from 'node:crypto'
import { ApiError } from '../api-error.ts'
import type { Caller } from '../caller.ts'
import type { JsonObject } from '../json-object.ts'
import { sqsErrors } from './errors.ts'
import {
  md5OfAttributes,
  parseMessageAttributes,
  selectAttributes,
  sizeOfAttributes,
  type MessageAttribute,
} from './message-attributes.ts'
import type { Delivery, Queue } from './queue.ts'
import { MAX_MESSAGE_BYTES, MAX_VISIBILITY_SECONDS, numberOf } from './queue-attributes.ts'
import type { Message } from './queue-state.ts'
import type { Content } from './records.ts'
import {
  objectList,
  optionalInteger,
  optionalObject,
  optionalString,
  requiredInteger,
  requiredString,
  stringList,
} from './request.ts'

/** SendMessage. */
export async function sendMessage(queue: Queue, request: JsonObject): Promise<object> {
  const { content, bytes } = readContent(request)
  const limit = numberOf(queue.record.attributes, 'MaximumMessageSize')
  if (bytes > limit) {
    throw sqsErrors.invalidParameter(
      `One or more parameters are invalid. Reason: Message must be shorter than ${limit} bytes.`,
    )
  }
  const delay = optionalInteger(request, 'DelaySeconds', 0, 900)
  const group = optionalString(request, 'MessageGroupId')
  const deduplicationId = deduplicationIdOf(queue, request, content.body)
  if (group !== undefined) checkToken('MessageGroupId', group)
  if (queue.fifo) {
    if (group === undefined) throw sqsErrors.missingParameter('MessageGroupId')
    if (delay !== undefined && delay > 0) {
      throw sqsErrors.invalidValue(
        'DelaySeconds',
        delay,
        'The request include parameter that is not valid for this queue type.',
      )
    }
  }
  const delaySeconds = delay ?? numberOf(queue.record.attributes, 'DelaySeconds')
  const answer = {
    MD5OfMessageBody: content.bodyMd5,
    ...(content.attributes && { MD5OfMessageAttributes: md5OfAttributes(content.attributes) }),
    ...(content.trace && {
      MD5OfMessageSystemAttributes: md5OfAttributes({ AWSTraceHeader: content.trace }),
    }),
  }
  const key = deduplicationId === undefined ? undefined : deduplicationKey(queue, group, deduplicationId)
  const earlier = key === undefined ? undefined : queue.findSent(key)
  if (earlier !== undefined) {
    // The one that it repeats may still be on its way to the disk.
    await queue.host.database.flushed()
    return { ...answer, MessageId: earlier.id, SequenceNumber: sequenceNumber(earlier.seq) }
  }
  const options = { delayMs: delaySeconds * 1000, group, deduplicationId }
  const { seq, writes, publish } = queue.prepareSend(content, options, key)
  await queue.host.database.write(writes)
  publish()
  return {
    ...answer,
    MessageId: content.id,
    ...(queue.fifo && { SequenceNumber: sequenceNumber(seq) }),
  }
}

function deduplicationIdOf(queue: Queue, request: JsonObject, body: string): string | undefined {
  const given = optionalString(request, 'MessageDeduplicationId')
  if (!queue.fifo) {
    if (given === undefined) return undefined
    throw sqsErrors.invalidValue(
      'MessageDeduplicationId',
      given,
      'The request includes a parameter that is not valid for this queue type.',
    )
  }
  if (given !== undefined) return checkToken('MessageDeduplicationId', given)
  if (queue.record.attributes['ContentBasedDeduplication'] === 'true') {
    return createHash('sha256').update(body).digest('hex')
  }
  throw sqsErrors.invalidParameter(
    'The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly',
  )
}

/** ReceiveMessage. */
export async function receiveMessages(queue: Queue, request: JsonObject, caller: Caller): Promise<object> {
  const { attributes } = queue.record
  const max = optionalInteger(request, 'MaxNumberOfMessages', 1, 10) ?? 1
  const visibility =
    optionalInteger(request, 'VisibilityTimeout', 0, MAX_VISIBILITY_SECONDS) ??
    numberOf(attributes, 'VisibilityTimeout')
  const wait =
    optionalInteger(request, 'WaitTimeSeconds', 0, 20) ??
    numberOf(attributes, 'ReceiveMessageWaitTimeSeconds')
  const systemNames = [
    ...stringList(request, 'AttributeNames'),
    ...stringList(request, 'MessageSystemAttributeNames'),
  ]
  const names = stringList(request, 'MessageAttributeNames')
  const visibilityMs = Math.min(visibility * 1000, queue.host.maxVisibilityMs)
  const options = { max, visibilityMs, waitMs: wait * 1000, gone: caller.gone }
  const deliveries = await queue.receive(options)
  if (deliveries.length === 0) return {}
  return {
    Messages: deliveries.map((delivery) => present(queue, delivery, systemNames, names, caller)),
  }
}

function present(
  queue: Queue,
  { message, content }: Delivery,
  systemNames: readonly string[],
  names: readonly string[],
  caller: Caller,
): object {
  const system: Record<string, string | undefined> = {
    SenderId: caller.accessKeyId,
    SentTimestamp: String(Math.floor(message.sentAt)),
    ApproximateReceiveCount: String(message.receives),
    ApproximateFirstReceiveTimestamp: String(Math.floor(message.firstReceivedAt ?? 0)),
    MessageGroupId: message.group,
    MessageDeduplicationId: message.deduplicationId,
    SequenceNumber: queue.fifo ? sequenceNumber(message.seq) : undefined,
    DeadLetterQueueSourceArn: message.source,
    AWSTraceHeader: content.trace?.StringValue,
  }
  const wantedSystem = Object.entries(system).filter(
    ([name, value]) => value !== undefined && (systemNames.includes('All') || systemNames.includes(name)),
  )
  const attributes = selectAttributes(content.attributes, names)
  return {
    MessageId: content.id,
    ReceiptHandle: receiptHandle(queue, message),
    MD5OfBody: content.bodyMd5,
    Body: content.body,
    ...(wantedSystem.length > 0 && { Attributes: Object.fromEntries(wantedSystem) }),
    ...(attributes && {
      MD5OfMessageAttributes: md5OfAttributes(attributes),
      MessageAttributes: attributes,
    }),
  }
}

/** DeleteMessage. */
export async function deleteMessage(queue: Queue, request: JsonObject): Promise<object> {
  const handle = requiredString(request, 'ReceiptHandle')
  const { seq, receipt } = parseReceiptHandle(queue, handle)
  const message = queue.state.get(seq)
  // As SQS: a handle of an earlier receive deletes nothing, and that is no error.
  if (message?.receipt !== receipt) return {}
  if (queue.fifo && message.visibleAt <= queue.host.now()) {
    throw sqsErrors.invalidValue('ReceiptHandle', handle, 'The receipt handle has expired.')
  }
  await queue.delete(message)
  return {}
}

/** ChangeMessageVisibility. */
export async function changeVisibility(queue: Queue, request: JsonObject): Promise<object> {
  const handle = requiredString(request, 'ReceiptHandle')
  const seconds = requiredInteger(request, 'VisibilityTimeout', 0, MAX_VISIBILITY_SECONDS)
  const { seq, receipt } = parseReceiptHandle(queue, handle)
  const message = queue.state.get(seq)
  if (message?.receipt !== receipt) {
    throw sqsErrors.invalidValue(
      'ReceiptHandle',
      handle,
      'Message does not exist or is not available for visibility timeout change.',
    )
  }
  const now = queue.host.now()
  if (message.visibleAt <= now) throw sqsErrors.messageNotInflight()
  const visibleAt = now + seconds * 1000
  if (visibleAt > (message.receivedAt ?? now) + queue.host.maxVisibilityMs) {
    throw sqsErrors.invalidValue(
      'VisibilityTimeout',
      seconds,
      `Total VisibilityTimeout for the message is beyond the limit [${queue.host.maxVisibilityMs / 1000} seconds]`,
    )
  }
  await queue.setVisibleAt(message, visibleAt)
  return {}
}

/** Does the entries of a batch in their order; those that fail are listed, the others stand. */
export async function inBatch(
  request: JsonObject,
  action: string,
  handle: (entry: JsonObject) => Promise<object>,
): Promise<object> {
  const entries = objectList(request, 'Entries')
  const ids = entries.map((entry) => requiredString(entry, 'Id'))
  if (entries.length === 0) throw sqsErrors.emptyBatch(action)
  if (entries.length > 10) throw sqsErrors.tooManyEntries(entries.length)
  for (const [index, id] of ids.entries()) {
    if (!/^[A-Za-z0-9_-]{1,80}$/.test(id)) throw sqsErrors.invalidEntryId()
    if (ids.indexOf(id) !== index) throw sqsErrors.entryIdsNotDistinct(id)
  }
  const successful: object[] = []
  const failed: object[] = []
  // Begun in order, ended together: each begins its write before it gives way.
  const outcomes = await Promise.allSettled(entries.map(handle))
  for (const [index, outcome] of outcomes.entries()) {
    const Id = ids[index]
    if (outcome.status === 'fulfilled') {
      successful.push({ Id, ...outcome.value })
    } else if (outcome.reason instanceof ApiError) {
      const { queryCode, code, message } = outcome.reason
      failed.push({ Id, SenderFault: true, Code: queryCode ?? code, Message: message })
    } else {
      throw outcome.reason
    }
  }
  return { Successful: successful, ...(failed.length > 0 && { Failed: failed }) }
}

/** Refuses a batch of sends that is too large as a whole. */
export function checkBatchSize(request: JsonObject): void {
  const bytes = objectList(request, 'Entries').reduce(
    (sum, entry) => sum + Buffer.byteLength(optionalString(entry, 'MessageBody') ?? ''),
    0,
  )
  if (bytes > MAX_MESSAGE_BYTES) throw sqsErrors.batchTooLong(MAX_MESSAGE_BYTES, bytes)
}

function readContent(request: JsonObject): { content: Content; bytes: number } {
  const body = requiredString(request, 'MessageBody')
  // What XML 1.0 can't carry is refused, control characters and lone surrogates among them.
  if (!/^[\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]*$/u.test(body)) {
    throw sqsErrors.invalidMessageContents(
      'Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF',
    )
  }
  const attributes = parseMessageAttributes(optionalObject(request, 'MessageAttributes'))
  const trace = readTrace(request)
  const content = { ...contentOf(body), attributes, trace }
  return { content, bytes: Buffer.byteLength(body) + sizeOfAttributes(attributes) }
}

/** A message that has a body and nothing else. */
export function contentOf(body: string): Content {
  const bodyMd5 = createHash('md5').update(body).digest('hex')
  return { id: randomUUID(), body, bodyMd5, attributes: undefined, trace: undefined }
}

function readTrace(request: JsonObject): MessageAttribute | undefined {
  const { AWSTraceHeader: trace, ...others } =
    parseMessageAttributes(optionalObject(request, 'MessageSystemAttributes')) ?? {}
  const [unknown] = Object.keys(others)
  if (unknown === undefined) return trace
  throw sqsErrors.invalidParameter(`Message system attribute name '${unknown}' is invalid.`)
}

function deduplicationKey(queue: Queue, group: string | undefined, id: string): string {
  return queue.record.attributes['DeduplicationScope'] === 'messageGroup' ? `${group ?? ''} ${id}` : id
}

/** A group or deduplication id: up to 128 printable ASCII characters. */
function checkToken(name: string, value: string): string {
  if (/^[\x21-\x7e]{1,128}$/.test(value)) return value
  throw sqsErrors.invalidValue(
    name,
    value,
    `${name} can only include alphanumeric and punctuation characters. 1 to 128 in length.`,
  )
}

function sequenceNumber(seq: number): string {
  return String(seq).padStart(20, '1')
}

function receiptHandle(queue: Queue, message: Message): string {
  return Buffer.from(`${queue.name} ${message.seq} ${message.receipt ?? ''}`).toString('base64')
}

function parseReceiptHandle(queue: Queue, handle: string): { seq: number; receipt: string } {
  const [name, seq, receipt] = Buffer.from(handle, 'base64').toString().split(' ')
  if (
    name !== queue.name ||
    seq === undefined ||
    !/^\d{16}$/.test(seq) ||
    receipt === undefined ||
    receipt === ''
  ) {
    throw sqsErrors.receiptHandleIsInvalid(handle)
  }
  return { seq: Number(seq), receipt }
}
