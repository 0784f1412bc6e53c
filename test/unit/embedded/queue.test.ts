import { expect, test } from 'vitest'
import type { Database, Write } from '../../../src/embedded/database.ts'
import { contentOf } from '../../../src/embedded/sqs/messages.ts'
import { Queue, type QueueHost } from '../../../src/embedded/sqs/queue.ts'
import type { QueueAttributes } from '../../../src/embedded/sqs/queue-attributes.ts'
import { settle } from '../../support/manual-clock.ts'

/** What queues write, in memory. */
class MemoryDatabase {
  readonly entries = new Map<string, unknown>()

  write(writes: readonly Write[]): Promise<void> {
    for (const write of writes) {
      if (write.type === 'put') this.entries.set(write.key, structuredClone(write.value))
      else this.entries.delete(write.key)
    }
    return Promise.resolve()
  }

  flushed(): Promise<void> {
    return Promise.resolve()
  }

  get(key: string): Promise<unknown> {
    return Promise.resolve(this.entries.get(key))
  }

  getMany(keys: string[]): Promise<unknown[]> {
    return Promise.resolve(keys.map((key) => this.entries.get(key)))
  }
}

function bench() {
  const database = new MemoryDatabase()
  const queues = new Map<string, Queue>()
  const time = { now: 1e12 }
  let seq = 1e15
  const host: QueueHost = {
    database: database as unknown as Database,
    maxVisibilityMs: 43_200_000,
    now: () => time.now,
    nextSeq: () => (seq += 1),
    arnOf: (name) => name,
    findByArn: (arn) => queues.get(arn),
  }
  return {
    database,
    time,
    create: (name: string, attributes: QueueAttributes = {}): Queue => {
      const queue = new Queue(name, { attributes, createdAt: 0, modifiedAt: 0 }, host)
      queues.set(name, queue)
      return queue
    },
    send: async (queue: Queue, key?: string): Promise<void> => {
      if (key !== undefined && queue.findSent(key) !== undefined) return
      const { writes, publish } = queue.prepareSend(contentOf('body'), { delayMs: 0 }, key)
      await database.write(writes)
      publish()
    },
    /** Receives for no time at all, so that the message can be had at once again. */
    receive: async (queue: Queue) => {
      const gone = new AbortController().signal
      return await queue.receive({ max: 10, visibilityMs: 0, waitMs: 0, gone })
    },
    keys: (prefix: string) => [...database.entries.keys()].filter((key) => key.startsWith(prefix)),
  }
}

const redriveTo = (deadLetterTargetArn: string): QueueAttributes => ({
  RedrivePolicy: JSON.stringify({ deadLetterTargetArn, maxReceiveCount: 2 }),
})

test('what was sent is forgotten after five minutes, also behind a key that is used again and again', async () => {
  const { time, create, send, keys } = bench()
  const queue = create('a.fifo')
  for (let count = 0; count < 100; count += 1) {
    time.now += 10_000
    await send(queue, 'again')
    await send(queue, `once ${String(count)}`)
  }
  expect(keys('sqs-sent~')).toHaveLength(31)
})

test('a message that goes round between dead-letter queues is handed out in each of them', async () => {
  const { create, send, receive } = bench()
  const a = create('a', redriveTo('b'))
  const b = create('b', redriveTo('a'))
  await send(a)
  const seen: string[] = []
  for (const queue of [a, a, a, b, b, b, a, a, a, b]) {
    for (const { message } of await receive(queue)) seen.push(`${queue.name} ${String(message.receives)}`)
    await settle()
  }
  expect(seen).toEqual(['a 1', 'a 2', 'b 3', 'b 4', 'a 5', 'a 6', 'b 7'])
})

test('what nobody receives goes when its time is over, from memory and disk', async () => {
  const { time, create, send, receive, keys } = bench()
  const queue = create('a.fifo', { MessageRetentionPeriod: '60' })
  await send(queue)
  await send(queue, 'key')
  await receive(queue)
  time.now += 30_000
  await send(queue)
  time.now += 30_000
  await queue.sweep()
  expect([...queue.state.all()]).toHaveLength(1)
  expect(keys('sqs-state~')).toHaveLength(1)
  expect(keys('sqs-content~')).toHaveLength(1)
  expect(keys('sqs-sent~')).toHaveLength(1)
  expect(await receive(queue)).toHaveLength(1)
  time.now += 300_000
  await queue.sweep()
  expect(keys('sqs-')).toEqual([])
})
