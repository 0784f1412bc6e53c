import { isJsonObject } from '../json-object.ts'
import type { Database, Write } from '../database.ts'
import { withPrefix } from '../database.ts'
import type { MessageAttribute, MessageAttributes } from './message-attributes.ts'
import type { QueueAttributes } from './queue-attributes.ts'
import type { Message } from './queue-state.ts'

/** A queue as it is stored. */
export interface QueueRecord {
  attributes: QueueAttributes
  /** Wall clock ms. */
  createdAt: number
  modifiedAt: number
}

/** What a sender gave; never changes. */
export interface Content {
  id: string
  body: string
  bodyMd5: string
  attributes: MessageAttributes | undefined
  /** Set by the sender for AWS's own use; AWSTraceHeader is the only one there is. */
  trace: MessageAttribute | undefined
}

/** A send of the last five minutes, so that its repetition is known. */
export interface SentRecord {
  id: string
  seq: number
  /** Wall clock ms. */
  at: number
}

// Bodies lie apart from what changes with every receive, so that a receive writes a hundred bytes and not a megabyte.
const QUEUE = 'sqs-queue~'
const STATE = 'sqs-state~'
const CONTENT = 'sqs-content~'
const SENT = 'sqs-sent~'

export function putQueue(name: string, record: QueueRecord): Write {
  return { type: 'put', key: QUEUE + name, value: record }
}

export function deleteQueue(name: string): Write {
  return { type: 'del', key: QUEUE + name }
}

export function putState(queue: string, message: Message): Write {
  return { type: 'put', key: messageKey(STATE, queue, message.seq), value: { ...message } }
}

export function putMessage(queue: string, message: Message, content: Content): Write[] {
  return [putState(queue, message), { type: 'put', key: contentKey(queue, message), value: content }]
}

export function deleteMessage(queue: string, message: Message): Write[] {
  return [
    { type: 'del', key: messageKey(STATE, queue, message.seq) },
    { type: 'del', key: contentKey(queue, message) },
  ]
}

/** Key of a message's content, to be read when it is handed out. */
export function contentKey(queue: string, message: Message): string {
  return messageKey(CONTENT, queue, message.seq)
}

export function putSent(queue: string, deduplicationKey: string, record: SentRecord): Write {
  return { type: 'put', key: `${SENT}${queue}~${deduplicationKey}`, value: record }
}

export function deleteSent(queue: string, deduplicationKey: string): Write {
  return { type: 'del', key: `${SENT}${queue}~${deduplicationKey}` }
}

/** All queues by name. */
export async function readQueues(database: Database): Promise<[string, QueueRecord][]> {
  const queues: [string, QueueRecord][] = []
  for await (const [key, value] of database.entries(withPrefix(QUEUE))) {
    if (isJsonObject(value)) queues.push([key.slice(QUEUE.length), value as unknown as QueueRecord])
  }
  return queues
}

/** What is known of a queue's messages, in order of arrival; contents are left on disk. */
export async function* readMessages(database: Database, queue: string): AsyncGenerator<Message> {
  for await (const value of database.values(withPrefix(`${STATE}${queue}~`))) yield value as Message
}

/** The sends of a queue that may still be repeated, by deduplication key. */
export async function* readSent(database: Database, queue: string): AsyncGenerator<[string, SentRecord]> {
  const prefix = `${SENT}${queue}~`
  for await (const [key, value] of database.entries(withPrefix(prefix))) {
    yield [key.slice(prefix.length), value as SentRecord]
  }
}

/** Sequence numbers have 16 digits (microseconds since 1970), so that their keys sort as they do. */
function messageKey(prefix: string, queue: string, seq: number): string {
  return `${prefix}${queue}~${String(seq).padStart(16, '0')}`
}
