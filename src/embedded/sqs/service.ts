import { createHash, randomUUID } from 'node:crypto'
import { ApiError, unknownOperation } from '../api-error.ts'
import type { Caller } from '../caller.ts'
import type { Database, Write } from '../database.ts'
import type { JsonObject } from '../json-object.ts'
import { sqsErrors } from './errors.ts'
import {
  md5OfAttributes,
  parseMessageAttributes,
  selectAttributes,
  sizeOfAttributes,
  type MessageAttribute,
} from './message-attributes.ts'
import { Queue, type Delivery, type QueueHost } from './queue.ts'
import {
  isKnown,
  MAX_MESSAGE_BYTES,
  MAX_VISIBILITY_SECONDS,
  numberOf,
  parseQueueAttributes,
  withDefaults,
  type QueueAttributes,
} from './queue-attributes.ts'
import type { Message } from './queue-state.ts'
import { deleteQueue, putQueue, readMessages, readQueues, readSent, type Content } from './records.ts'
import {
  objectList,
  optionalInteger,
  optionalObject,
  optionalString,
  requiredInteger,
  requiredString,
  stringList,
} from './request.ts'

export const ACCOUNT_ID = '000000000000'

export interface SqsOptions {
  region: string
  /** `http://host:port`, what queue URLs begin with; asked at each use. */
  baseUrl: () => string
  /** Longest time in flight, counted from the receive. */
  maxVisibilitySeconds?: number
}

/** The actions of SQS, over queues that live in a database. */
export class SqsService {
  readonly #database: Database
  readonly #options: SqsOptions
  readonly #queues = new Map<string, Queue>()
  readonly #host: QueueHost
  readonly #maxVisibilityMs: number
  #lastSeq = 0

  private constructor(database: Database, options: SqsOptions) {
    this.#database = database
    this.#options = options
    this.#maxVisibilityMs = (options.maxVisibilitySeconds ?? MAX_VISIBILITY_SECONDS) * 1000
    // Deadlines follow a clock that can't jump while the process lives, and outlive it as wall clock times.
    const origin = Date.now() - performance.now()
    this.#host = {
      database,
      now: () => origin + performance.now(),
      nextSeq: () => (this.#lastSeq = Math.max(this.#lastSeq + 1, Date.now() * 1000)),
      arnOf: (name) => this.#arnOf(name),
      findByArn: (arn) => {
        const name = arn.slice(arn.lastIndexOf(':') + 1)
        return arn === this.#arnOf(name) ? this.#queues.get(name) : undefined
      },
    }
  }

  /** Takes in the queues that the database holds. */
  static async load(database: Database, options: SqsOptions): Promise<SqsService> {
    const service = new SqsService(database, options)
    for (const [name, record] of await readQueues(database)) {
      const queue = new Queue(name, record, service.#host)
      const messages: Message[] = []
      for await (const message of readMessages(database, name)) messages.push(message)
      const sent = []
      for await (const entry of readSent(database, name)) sent.push(entry)
      queue.restore(messages, sent)
      service.#lastSeq = Math.max(service.#lastSeq, messages.at(-1)?.seq ?? 0)
      service.#queues.set(name, queue)
    }
    return service
  }

  /** Answers one request; throws ApiError. */
  async handle(action: string, request: JsonObject, caller: Caller): Promise<object> {
    switch (action) {
      case 'CreateQueue':
        return await this.#createQueue(request)
      case 'DeleteQueue':
        return await this.#deleteQueue(request)
      case 'GetQueueUrl':
        return { QueueUrl: this.urlOf(this.#queueByName(requiredString(request, 'QueueName')).name) }
      case 'ListQueues':
        return this.#listQueues(request)
      case 'ListDeadLetterSourceQueues':
        return this.#listDeadLetterSources(request)
      case 'PurgeQueue':
        await this.#queue(request).clear({ withSent: false })
        return {}
      case 'GetQueueAttributes':
        return this.#getAttributes(request)
      case 'SetQueueAttributes':
        return await this.#setAttributes(request)
      case 'SendMessage':
        return await this.#send(this.#queue(request), request)
      case 'SendMessageBatch':
        return await this.#sendBatch(request)
      case 'ReceiveMessage':
        return await this.#receive(request, caller)
      case 'DeleteMessage':
        return await this.#deleteMessage(this.#queue(request), request)
      case 'DeleteMessageBatch':
        return await this.#batch(request, action, (queue, entry) => this.#deleteMessage(queue, entry))
      case 'ChangeMessageVisibility':
        return await this.#changeVisibility(this.#queue(request), request)
      case 'ChangeMessageVisibilityBatch':
        return await this.#batch(request, action, (queue, entry) => this.#changeVisibility(queue, entry))
      default:
        throw unknownOperation(`The action ${action} is not valid for this endpoint.`)
    }
  }

  /** The URL that clients know a queue by. */
  urlOf(name: string): string {
    return `${this.#options.baseUrl()}/${ACCOUNT_ID}/${name}`
  }

  /** Creates a queue unless there is one of that name. */
  async ensureQueue(name: string, attributes: QueueAttributes): Promise<void> {
    if (!this.#queues.has(name))
      await this.#create(name, parseQueueAttributes(attributes, name.endsWith('.fifo')))
  }

  /** ARN of a queue, as redrive policies name it. */
  arnOf(name: string): string {
    return this.#arnOf(name)
  }

  /**
   * Prepares a message for a queue of ours, to be stored together with other writes: `publish` after they are.
   * Undefined when the queue is gone.
   */
  prepareSend(name: string, body: string): { writes: Write[]; publish: () => void } | undefined {
    const queue = this.#queues.get(name)
    if (queue === undefined) return undefined
    const delayMs = numberOf(queue.record.attributes, 'DelaySeconds') * 1000
    return queue.prepareSend(contentOf(body), { delayMs })
  }

  /** Ends all long polls. */
  stop(): void {
    for (const queue of this.#queues.values()) queue.stop()
  }

  async #createQueue(request: JsonObject): Promise<object> {
    const name = requiredString(request, 'QueueName')
    const fifo = name.endsWith('.fifo')
    if (!/^[A-Za-z0-9_-]{1,80}$/.test(fifo ? name.slice(0, -5) : name) || name.length > 80) {
      throw sqsErrors.invalidParameter(
        'Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length',
      )
    }
    const attributes = parseQueueAttributes(optionalObject(request, 'Attributes') ?? {}, fifo)
    if (fifo !== (attributes['FifoQueue'] === 'true')) {
      throw sqsErrors.invalidParameter(
        fifo
          ? 'The name of a FIFO queue ends with .fifo, and its attribute FifoQueue is true'
          : 'The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length',
      )
    }
    const existing = this.#queues.get(name)
    if (existing === undefined) {
      await this.#create(name, attributes)
    } else {
      const current = withDefaults(existing.record.attributes)
      const differing = Object.keys(attributes).find((key) => attributes[key] !== (current[key] ?? ''))
      if (differing !== undefined) throw sqsErrors.queueNameExists(differing)
    }
    return { QueueUrl: this.urlOf(name) }
  }

  async #create(name: string, attributes: QueueAttributes): Promise<void> {
    const now = Date.now()
    const record = { attributes, createdAt: now, modifiedAt: now }
    this.#queues.set(name, new Queue(name, record, this.#host))
    await this.#database.write([putQueue(name, record)])
  }

  async #deleteQueue(request: JsonObject): Promise<object> {
    const queue = this.#queue(request)
    this.#queues.delete(queue.name)
    queue.stop()
    await queue.clear({ withSent: true, alsoWrite: [deleteQueue(queue.name)] })
    return {}
  }

  #listQueues(request: JsonObject): object {
    const prefix = optionalString(request, 'QueueNamePrefix') ?? ''
    return page(
      request,
      'QueueUrls',
      [...this.#queues.keys()].filter((name) => name.startsWith(prefix)),
      (name) => this.urlOf(name),
    )
  }

  #listDeadLetterSources(request: JsonObject): object {
    const arn = this.#arnOf(this.#queue(request).name)
    const sources = [...this.#queues.values()].filter(
      (queue) => queue.redrivePolicy?.deadLetterTargetArn === arn,
    )
    const names = sources.map(({ name }) => name)
    return page(request, 'queueUrls', names, (name) => this.urlOf(name))
  }

  #getAttributes(request: JsonObject): object {
    const queue = this.#queue(request)
    const wanted = stringList(request, 'AttributeNames')
    for (const name of wanted)
      if (name !== 'All' && !isKnown(name)) throw sqsErrors.invalidAttributeName(name)
    const { visible, inFlight, delayed } = queue.state.count(this.#host.now())
    const all: QueueAttributes = {
      ...withDefaults(queue.record.attributes),
      ApproximateNumberOfMessages: String(visible),
      ApproximateNumberOfMessagesNotVisible: String(inFlight),
      ApproximateNumberOfMessagesDelayed: String(delayed),
      CreatedTimestamp: String(Math.floor(queue.record.createdAt / 1000)),
      LastModifiedTimestamp: String(Math.floor(queue.record.modifiedAt / 1000)),
      QueueArn: this.#arnOf(queue.name),
    }
    const chosen = Object.entries(all).filter(
      ([name, value]) => value !== '' && (wanted.includes('All') || wanted.includes(name)),
    )
    return chosen.length === 0 ? {} : { Attributes: Object.fromEntries(chosen) }
  }

  async #setAttributes(request: JsonObject): Promise<object> {
    const queue = this.#queue(request)
    const input = optionalObject(request, 'Attributes')
    if (input === undefined) throw sqsErrors.missingParameter('Attributes')
    const attributes = parseQueueAttributes(input, queue.fifo)
    const { FifoQueue: fifo } = attributes
    if (fifo !== undefined && (fifo === 'true') !== queue.fifo)
      throw sqsErrors.invalidAttributeName('FifoQueue')
    Object.assign(queue.record.attributes, attributes)
    queue.record.modifiedAt = Date.now()
    await this.#database.write([putQueue(queue.name, structuredClone(queue.record))])
    queue.serve()
    return {}
  }

  async #send(queue: Queue, request: JsonObject): Promise<object> {
    const { content, bytes } = readContent(request)
    const limit = numberOf(queue.record.attributes, 'MaximumMessageSize')
    if (bytes > limit) {
      throw sqsErrors.invalidParameter(
        `One or more parameters are invalid. Reason: Message must be shorter than ${limit} bytes.`,
      )
    }
    const delay = optionalInteger(request, 'DelaySeconds', 0, 900)
    const group = optionalString(request, 'MessageGroupId')
    const deduplicationId = this.#deduplicationId(queue, request, content.body)
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
      await this.#database.flushed()
      return { ...answer, MessageId: earlier.id, SequenceNumber: sequenceNumber(earlier.seq) }
    }
    const options = { delayMs: delaySeconds * 1000, group, deduplicationId }
    const { seq, writes, publish } = queue.prepareSend(content, options, key)
    await this.#database.write(writes)
    publish()
    return {
      ...answer,
      MessageId: content.id,
      ...(queue.fifo && { SequenceNumber: sequenceNumber(seq) }),
    }
  }

  #deduplicationId(queue: Queue, request: JsonObject, body: string): string | undefined {
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

  async #sendBatch(request: JsonObject): Promise<object> {
    let bytes = 0
    for (const entry of objectList(request, 'Entries')) {
      const body = optionalString(entry, 'MessageBody') ?? ''
      bytes += Buffer.byteLength(body)
    }
    if (bytes > MAX_MESSAGE_BYTES) throw sqsErrors.batchTooLong(MAX_MESSAGE_BYTES, bytes)
    return await this.#batch(request, 'SendMessageBatch', (queue, entry) => this.#send(queue, entry))
  }

  async #receive(request: JsonObject, caller: Caller): Promise<object> {
    const queue = this.#queue(request)
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
    const visibilityMs = Math.min(visibility * 1000, this.#maxVisibilityMs)
    const options = { max, visibilityMs, waitMs: wait * 1000, gone: caller.gone }
    const deliveries = await queue.receive(options)
    if (deliveries.length === 0) return {}
    return {
      Messages: deliveries.map((delivery) => this.#present(queue, delivery, systemNames, names, caller)),
    }
  }

  #present(
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

  async #deleteMessage(queue: Queue, request: JsonObject): Promise<object> {
    const handle = requiredString(request, 'ReceiptHandle')
    const { seq, receipt } = parseReceiptHandle(queue, handle)
    const message = queue.state.get(seq)
    // As SQS: a handle of an earlier receive deletes nothing, and that is no error.
    if (message?.receipt !== receipt) return {}
    if (queue.fifo && message.visibleAt <= this.#host.now()) {
      throw sqsErrors.invalidValue('ReceiptHandle', handle, 'The receipt handle has expired.')
    }
    await queue.delete(message)
    return {}
  }

  async #changeVisibility(queue: Queue, request: JsonObject): Promise<object> {
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
    const now = this.#host.now()
    if (message.visibleAt <= now) throw sqsErrors.messageNotInflight()
    const visibleAt = now + seconds * 1000
    if (visibleAt > (message.receivedAt ?? now) + this.#maxVisibilityMs) {
      throw sqsErrors.invalidValue(
        'VisibilityTimeout',
        seconds,
        `Total VisibilityTimeout for the message is beyond the limit [${this.#maxVisibilityMs / 1000} seconds]`,
      )
    }
    await queue.setVisibleAt(message, visibleAt)
    return {}
  }

  /** Does the entries of a batch in their order; those that fail are listed, the others stand. */
  async #batch(
    request: JsonObject,
    action: string,
    handle: (queue: Queue, entry: JsonObject) => Promise<object>,
  ): Promise<object> {
    const queue = this.#queue(request)
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
    const outcomes = await Promise.allSettled(entries.map((entry) => handle(queue, entry)))
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

  #queue(request: JsonObject): Queue {
    const url = requiredString(request, 'QueueUrl')
    const [, account, name] = /^https?:\/\/[^/]+\/([^/]+)\/([^/]+)$/.exec(url) ?? []
    if (name === undefined) throw sqsErrors.invalidAddress(url)
    if (account !== ACCOUNT_ID) throw sqsErrors.queueDoesNotExist()
    return this.#queueByName(name)
  }

  #queueByName(name: string): Queue {
    const queue = this.#queues.get(name)
    if (queue === undefined) throw sqsErrors.queueDoesNotExist()
    return queue
  }

  #arnOf(name: string): string {
    return `arn:aws:sqs:${this.#options.region}:${ACCOUNT_ID}:${name}`
  }
}

/** One page of `names` in alphabetical order, with the token for the next one. */
function page(
  request: JsonObject,
  key: string,
  names: readonly string[],
  present: (name: string) => string,
): object {
  const max = optionalInteger(request, 'MaxResults', 1, 1000)
  const token = optionalString(request, 'NextToken')
  const after = token === undefined ? undefined : Buffer.from(token, 'base64url').toString()
  const rest = [...names].sort().filter((name) => after === undefined || name > after)
  const shown = rest.slice(0, max ?? 1000)
  if (shown.length === 0) return {}
  const last = shown.at(-1)
  const more = max !== undefined && rest.length > shown.length && last !== undefined
  return { [key]: shown.map(present), ...(more && { NextToken: Buffer.from(last).toString('base64url') }) }
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

function contentOf(body: string): Content {
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
