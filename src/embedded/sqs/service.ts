import { unknownOperation, type ApiError } from '../api-error.ts'
import type { Caller } from '../caller.ts'
import type { Database, Write } from '../database.ts'
import type { JsonObject } from '../json-object.ts'
import { sqsErrors } from './errors.ts'
import {
  changeVisibility,
  checkBatchSize,
  contentOf,
  deleteMessage,
  inBatch,
  receiveMessages,
  sendMessage,
} from './messages.ts'
import { Queue, type QueueHost } from './queue.ts'
import {
  isKnown,
  MAX_VISIBILITY_SECONDS,
  numberOf,
  parseQueueAttributes,
  parseRedrivePolicy,
  withDefaults,
  type QueueAttributes,
} from './queue-attributes.ts'
import type { Message } from './queue-state.ts'
import { deleteQueue, putQueue, readMessages, readQueues, readSent } from './records.ts'
import { optionalInteger, optionalObject, optionalString, requiredString, stringList } from './request.ts'

export const ACCOUNT_ID = '000000000000'

const SWEEP_MS = 60_000

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
  #lastSeq = 0
  #sweeper: NodeJS.Timeout | undefined

  private constructor(database: Database, options: SqsOptions) {
    this.#database = database
    this.#options = options
    // Deadlines follow a clock that can't jump while the process lives, and outlive it as wall clock times.
    const origin = Date.now() - performance.now()
    this.#host = {
      database,
      maxVisibilityMs: (options.maxVisibilitySeconds ?? MAX_VISIBILITY_SECONDS) * 1000,
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
    service.#sweeper = setInterval(() => {
      service.#sweep()
    }, SWEEP_MS)
    service.#sweeper.unref()
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
        return await sendMessage(this.#queue(request), request)
      case 'SendMessageBatch':
        checkBatchSize(request)
        return await this.#each(request, action, sendMessage)
      case 'ReceiveMessage':
        return await receiveMessages(this.#queue(request), request, caller)
      case 'DeleteMessage':
        return await deleteMessage(this.#queue(request), request)
      case 'DeleteMessageBatch':
        return await this.#each(request, action, deleteMessage)
      case 'ChangeMessageVisibility':
        return await changeVisibility(this.#queue(request), request)
      case 'ChangeMessageVisibilityBatch':
        return await this.#each(request, action, changeVisibility)
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

  /** Ends all long polls, and the sweeping. */
  stop(): void {
    clearInterval(this.#sweeper)
    for (const queue of this.#queues.values()) queue.stop()
  }

  #sweep(): void {
    // A failed write is reported by the database itself.
    for (const queue of this.#queues.values()) void queue.sweep().catch(() => undefined)
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
    this.#checkRedrive(name, attributes)
    const now = Date.now()
    const record = { attributes, createdAt: now, modifiedAt: now }
    this.#queues.set(name, new Queue(name, record, this.#host))
    await this.#database.write([putQueue(name, record)])
  }

  /** Refuses a dead-letter queue that can't be one of the queue `name`. */
  #checkRedrive(name: string, { RedrivePolicy: policy = '' }: QueueAttributes): void {
    if (policy === '') return
    const refuse = (reason: string): ApiError => sqsErrors.invalidValue('RedrivePolicy', policy, reason)
    const target = this.#host.findByArn(parseRedrivePolicy(policy).deadLetterTargetArn)
    if (target === undefined) throw refuse('Dead letter target does not exist.')
    if (target.name === name) throw refuse('A queue cannot be its own dead-letter queue.')
    if (target.fifo !== name.endsWith('.fifo'))
      throw refuse('Dead-letter queue must be same type of queue as the source.')
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
    const { visible, inFlight, delayed } = queue.state.count(this.#host.now(), queue.retentionMs)
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
    this.#checkRedrive(queue.name, attributes)
    Object.assign(queue.record.attributes, attributes)
    queue.record.modifiedAt = Date.now()
    await this.#database.write([putQueue(queue.name, structuredClone(queue.record))])
    queue.serve()
    return {}
  }

  async #each(
    request: JsonObject,
    action: string,
    handle: (queue: Queue, entry: JsonObject) => Promise<object>,
  ): Promise<object> {
    const queue = this.#queue(request)
    return await inBatch(request, action, (entry) => handle(queue, entry))
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
