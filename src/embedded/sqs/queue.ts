import { randomBytes } from 'node:crypto'
import type { Database, Write } from '../database.ts'
import { numberOf, parseRedrivePolicy, type RedrivePolicy } from './queue-attributes.ts'
import { QueueState, type Lease, type Message } from './queue-state.ts'
import {
  contentKey,
  deleteMessage,
  deleteSent,
  putMessage,
  putSent,
  putState,
  type Content,
  type QueueRecord,
  type SentRecord,
} from './records.ts'

/** SQS forgets after five minutes what it was sent. */
const DEDUPLICATION_MS = 300_000

export interface ReceiveOptions {
  max: number
  visibilityMs: number
  /** How long to wait for a first message. */
  waitMs: number
  gone: AbortSignal
}

export interface Delivery {
  message: Message
  content: Content
}

/** What a queue needs of its surroundings. */
export interface QueueHost {
  readonly database: Database
  /** Longest time in flight, counted from the receive. */
  readonly maxVisibilityMs: number
  /** Wall clock ms that never goes back. */
  now(): number
  /** The next place in the order of arrival. */
  nextSeq(): number
  arnOf(name: string): string
  findByArn(arn: string): Queue | undefined
}

interface Waiter {
  max: number
  visibilityMs: number
  resolve(leases: Lease[]): void
}

/** One queue: its messages, who waits for them, and what of it has to be written down. */
export class Queue {
  readonly name: string
  readonly record: QueueRecord
  readonly state: QueueState
  readonly host: QueueHost
  readonly #sent = new Map<string, SentRecord>()
  #waiters: Waiter[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(name: string, record: QueueRecord, host: QueueHost) {
    this.name = name
    this.record = record
    this.state = new QueueState(this.fifo)
    this.host = host
  }

  get fifo(): boolean {
    return this.name.endsWith('.fifo')
  }

  get retentionMs(): number {
    return numberOf(this.record.attributes, 'MessageRetentionPeriod') * 1000
  }

  get redrivePolicy(): RedrivePolicy | undefined {
    const policy = this.record.attributes['RedrivePolicy'] ?? ''
    return policy === '' ? undefined : parseRedrivePolicy(policy)
  }

  /** Takes in what was stored by an earlier process. */
  restore(messages: readonly Message[], sent: readonly (readonly [string, SentRecord])[]): void {
    const now = this.host.now()
    for (const message of messages) this.state.add(message, now)
    for (const [key, record] of [...sent].sort(([, a], [, b]) => a.at - b.at)) this.#sent.set(key, record)
  }

  /** What was sent with this key in the last five minutes. */
  findSent(key: string): SentRecord | undefined {
    const record = this.#sent.get(key)
    return record !== undefined && record.at + DEDUPLICATION_MS > this.host.now() ? record : undefined
  }

  /**
   * Prepares a send: `writes` are to be stored, alone or together with others, and then `publish` makes the message
   * available. A send with a `deduplicationKey` is remembered at once.
   */
  prepareSend(
    content: Content,
    options: { delayMs: number; group?: string | undefined; deduplicationId?: string | undefined },
    deduplicationKey?: string,
  ): { seq: number; writes: Write[]; publish: () => void } {
    const now = this.host.now()
    const message: Message = {
      seq: this.host.nextSeq(),
      sentAt: now,
      visibleAt: now + options.delayMs,
      receives: 0,
      firstReceivedAt: undefined,
      receivedAt: undefined,
      receipt: undefined,
      group: options.group,
      deduplicationId: options.deduplicationId,
      source: undefined,
      receivesBefore: undefined,
    }
    const writes = putMessage(this.name, message, content)
    if (deduplicationKey !== undefined) {
      const record = { id: content.id, seq: message.seq, at: now }
      // A key that is used again would keep its place, and `#forgetSent` goes by the order of time.
      this.#sent.delete(deduplicationKey)
      this.#sent.set(deduplicationKey, record)
      writes.push(putSent(this.name, deduplicationKey, record), ...this.#forgetSent(now))
    }
    return {
      seq: message.seq,
      writes,
      publish: () => {
        this.#publish(message)
      },
    }
  }

  /** Hands out messages, or waits for one; none when the client has gone. */
  async receive(options: ReceiveOptions): Promise<Delivery[]> {
    const { max, visibilityMs, waitMs, gone } = options
    let leases = this.#take(max, visibilityMs)
    if (leases.length === 0 && waitMs > 0 && !gone.aborted) {
      leases = await this.#wait({ max, visibilityMs, waitMs, gone })
    }
    if (leases.length === 0) return []
    const keys = leases.map(({ message }) => contentKey(this.name, message))
    // What the receive changed must be on disk before the client can act on it.
    const [contents] = await Promise.all([this.host.database.getMany(keys), this.host.database.flushed()])
    // One turn of the event loop: a hang-up that was there before the message has then been noticed.
    await new Promise((resolve) => setImmediate(resolve))
    if (gone.aborted) {
      this.#giveBack(leases)
      return []
    }
    gone.addEventListener(
      'abort',
      () => {
        this.#giveBack(leases)
      },
      { once: true },
    )
    return leases.flatMap(({ message }, index) => {
      const content = contents[index]
      return content === undefined ? [] : [{ message, content: content as Content }]
    })
  }

  async delete(message: Message): Promise<void> {
    this.state.remove(message)
    await this.host.database.write(deleteMessage(this.name, message))
    this.serve()
  }

  /** Makes a message in flight come back at `visibleAt`. */
  async setVisibleAt(message: Message, visibleAt: number): Promise<void> {
    this.state.setVisibleAt(message, visibleAt, this.host.now())
    await this.host.database.write([putState(this.name, message)])
    this.serve()
  }

  /** Removes every message, and what is known of sends when the queue itself goes. */
  async clear(options: { withSent: boolean; alsoWrite?: Write[] }): Promise<void> {
    const writes = [...this.state.all()].flatMap((message) => deleteMessage(this.name, message))
    if (options.withSent) writes.push(...[...this.#sent.keys()].map((key) => deleteSent(this.name, key)))
    this.state.clear()
    if (options.withSent) this.#sent.clear()
    await this.host.database.write([...writes, ...(options.alsoWrite ?? [])])
  }

  /** Drops messages past their retention, and what is known of sends that can't be repeated any more. */
  async sweep(): Promise<void> {
    const now = this.host.now()
    const expired = this.state.expire(now, this.retentionMs)
    const writes = [
      ...expired.flatMap((message) => deleteMessage(this.name, message)),
      ...this.#forgetSent(now),
    ]
    if (writes.length > 0) await this.host.database.write(writes)
  }

  /** Gives what there is to those who wait, and sets the alarm for what comes back next. */
  serve(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (;;) {
      const waiter = this.#waiters[0]
      if (waiter === undefined) return
      const leases = this.#take(waiter.max, waiter.visibilityMs)
      if (leases.length === 0) break
      this.#waiters.shift()
      waiter.resolve(leases)
    }
    const next = this.state.nextVisibleAt()
    if (next === undefined) return
    this.#timer = setTimeout(
      () => {
        this.serve()
      },
      Math.max(1, Math.ceil(next - this.host.now())),
    )
  }

  /** Ends all waiting with nothing. */
  stop(): void {
    clearTimeout(this.#timer)
    for (const waiter of this.#waiters.splice(0)) waiter.resolve([])
  }

  #publish(message: Message): void {
    this.state.add(message, this.host.now())
    this.serve()
  }

  async #wait(options: ReceiveOptions): Promise<Lease[]> {
    const { max, visibilityMs, waitMs, gone } = options
    return await new Promise((resolve) => {
      const end = (leases: Lease[]): void => {
        clearTimeout(timer)
        gone.removeEventListener('abort', giveUp)
        this.#waiters = this.#waiters.filter((other) => other !== waiter)
        resolve(leases)
      }
      const giveUp = (): void => {
        end([])
      }
      const waiter: Waiter = { max, visibilityMs, resolve: end }
      const timer = setTimeout(giveUp, waitMs)
      gone.addEventListener('abort', giveUp, { once: true })
      this.#waiters.push(waiter)
      if (this.#waiters.length === 1) this.serve()
    })
  }

  /** Takes messages; what that changes is on its way to the disk before anything else that happens to them. */
  #take(max: number, visibilityMs: number): Lease[] {
    const { database } = this.host
    const redrive = this.redrivePolicy
    const target = redrive === undefined ? undefined : this.host.findByArn(redrive.deadLetterTargetArn)
    const taken = this.state.take({
      now: this.host.now(),
      max,
      visibilityMs,
      retentionMs: this.retentionMs,
      maxReceives: target === undefined ? undefined : redrive?.maxReceiveCount,
      newReceipt: () => randomBytes(12).toString('base64url'),
    })
    const writes = [
      ...taken.leases.map(({ message }) => putState(this.name, message)),
      ...taken.expired.flatMap((message) => deleteMessage(this.name, message)),
    ]
    if (writes.length > 0) void database.write(writes).catch(ignoreFailure)
    if (target !== undefined) for (const message of taken.dead) void this.#bury(message, target)
    return taken.leases
  }

  /** Moves a message to its dead-letter queue, in one write. */
  async #bury(message: Message, target: Queue): Promise<void> {
    const { database } = this.host
    try {
      const content = (await database.get(contentKey(this.name, message))) as Content | undefined
      if (content === undefined) return
      const moved: Message = {
        ...message,
        seq: this.host.nextSeq(),
        visibleAt: this.host.now(),
        receipt: undefined,
        source: this.host.arnOf(this.name),
        receivesBefore: message.receives,
      }
      await database.write([...deleteMessage(this.name, message), ...putMessage(target.name, moved, content)])
      target.#publish(moved)
    } catch {
      ignoreFailure()
    }
  }

  #giveBack(leases: readonly Lease[]): void {
    const now = this.host.now()
    const returned = leases.filter((lease) => this.state.giveBack(lease, now))
    if (returned.length === 0) return
    const writes = returned.map(({ message }) => putState(this.name, message))
    void this.host.database.write(writes).catch(ignoreFailure)
    this.serve()
  }

  #forgetSent(now: number): Write[] {
    const forgotten: Write[] = []
    for (const [key, { at }] of this.#sent) {
      if (at + DEDUPLICATION_MS > now) break
      this.#sent.delete(key)
      forgotten.push(deleteSent(this.name, key))
    }
    return forgotten
  }
}

/** A failed write is reported by the database itself, which then is closed and read again. */
function ignoreFailure(): void {
  // Nothing to do here.
}
