import { Heap } from './heap.ts'

/** What is known of a message besides its content. Times are wall clock ms. */
export interface Message {
  /** Place in the order of arrival; unique. */
  readonly seq: number
  readonly sentAt: number
  /** Not handed out before this time. */
  visibleAt: number
  /** How often it was received. */
  receives: number
  firstReceivedAt: number | undefined
  receivedAt: number | undefined
  /** The secret part of the latest receipt handle. */
  receipt: string | undefined
  readonly group: string | undefined
  readonly deduplicationId: string | undefined
  /** ARN of the queue that it came from, on a dead-letter queue. */
  readonly source: string | undefined
  /** How often it was received in the queues that it came from; undefined = it came from none. */
  readonly receivesBefore: number | undefined
}

/** One receive of a message, with what is needed to take it back. */
export interface Lease {
  readonly message: Message
  /** The deadline that it was given. */
  readonly visibleAt: number
  readonly receipt: string
  readonly before: Pick<Message, 'receives' | 'firstReceivedAt' | 'receivedAt' | 'receipt'>
}

export interface TakeOptions {
  now: number
  max: number
  visibilityMs: number
  retentionMs: number
  /** Messages received so often from this queue are not handed out any more. */
  maxReceives: number | undefined
  newReceipt: () => string
}

export interface Taken {
  leases: Lease[]
  /** Removed: received too often, to go to the dead-letter queue. */
  dead: Message[]
  /** Removed: older than the retention. */
  expired: Message[]
}

export interface Counts {
  visible: number
  inFlight: number
  delayed: number
}

/** A hidden message and the time at which it comes back. */
interface Wait {
  at: number
  message: Message
}

/** Which messages of one queue can be had when: all in memory, no I/O, no timer. */
export class QueueState {
  readonly #fifo: boolean
  readonly #messages = new Map<number, Message>()
  readonly #ready = new Heap<Message>((a, b) => a.seq - b.seq)
  /** May hold outdated entries: those that `#waits` does not name. */
  readonly #hidden = new Heap<Wait>((a, b) => a.at - b.at)
  readonly #waits = new Map<Message, Wait>()
  /** FIFO: groups of which nothing may be handed out, by their messages in flight. */
  readonly #groupsInFlight = new Map<string, Set<Message>>()

  constructor(fifo: boolean) {
    this.#fifo = fifo
  }

  get(seq: number): Message | undefined {
    return this.#messages.get(seq)
  }

  all(): Iterable<Message> {
    return this.#messages.values()
  }

  add(message: Message, now: number): void {
    this.#messages.set(message.seq, message)
    if (message.visibleAt <= now) {
      this.#ready.push(message)
      return
    }
    this.#hide(message)
    if (message.receipt !== undefined) this.#block(message)
  }

  remove(message: Message): void {
    this.#messages.delete(message.seq)
    this.#waits.delete(message)
    this.#unblock(message)
  }

  clear(): void {
    this.#messages.clear()
    this.#ready.clear()
    this.#hidden.clear()
    this.#waits.clear()
    this.#groupsInFlight.clear()
  }

  /** Hands out the oldest messages that can be had. */
  take(options: TakeOptions): Taken {
    const { now, max, visibilityMs, retentionMs, maxReceives, newReceipt } = options
    this.#advance(now)
    const taken: Taken = { leases: [], dead: [], expired: [] }
    const openedHere = new Set<string | undefined>()
    const passedOver: Message[] = []
    while (taken.leases.length < max) {
      const message = this.#ready.pop()
      if (message === undefined) break
      if (this.#messages.get(message.seq) !== message) continue
      if (isTooOld(message, now, retentionMs)) {
        this.remove(message)
        taken.expired.push(message)
      } else if (this.#isBlocked(message) && !openedHere.has(message.group)) {
        passedOver.push(message)
      } else if (maxReceives !== undefined && receivesHere(message) >= maxReceives) {
        this.remove(message)
        taken.dead.push(message)
      } else {
        openedHere.add(message.group)
        taken.leases.push(this.#lease(message, now, visibilityMs, newReceipt()))
      }
    }
    for (const message of passedOver) this.#ready.push(message)
    return taken
  }

  /** Undoes a receive that nobody got; false when the message has moved on since. */
  giveBack(lease: Lease, now: number): boolean {
    const { message } = lease
    const untouched = message.receipt === lease.receipt && message.visibleAt === lease.visibleAt
    if (this.#messages.get(message.seq) !== message || !untouched || message.visibleAt <= now) return false
    Object.assign(message, lease.before)
    this.#show(message, now)
    return true
  }

  /** Moves the end of a message's time in flight. */
  setVisibleAt(message: Message, visibleAt: number, now: number): void {
    if (visibleAt <= now) {
      this.#show(message, now)
    } else {
      message.visibleAt = visibleAt
      this.#hide(message)
    }
  }

  /** When the next hidden message comes back; undefined when none is hidden. */
  nextVisibleAt(): number | undefined {
    for (;;) {
      const next = this.#hidden.peek()
      if (next === undefined) return undefined
      if (this.#waits.get(next.message) === next) return next.at
      this.#hidden.pop()
    }
  }

  /** Removes the messages that are older than the retention and that nobody has. */
  expire(now: number, retentionMs: number): Message[] {
    this.#advance(now)
    const expired = [...this.#messages.values()].filter((message) => isTooOld(message, now, retentionMs))
    for (const message of expired) this.remove(message)
    // Of a queue that nobody receives from, nothing else would ever let go of them.
    for (;;) {
      const first = this.#ready.peek()
      if (first === undefined || this.#messages.get(first.seq) === first) return expired
      this.#ready.pop()
    }
  }

  count(now: number, retentionMs: number): Counts {
    const counts: Counts = { visible: 0, inFlight: 0, delayed: 0 }
    for (const message of this.#messages.values()) {
      if (isTooOld(message, now, retentionMs)) continue
      if (message.visibleAt <= now) counts.visible += 1
      else if (message.receipt === undefined) counts.delayed += 1
      else counts.inFlight += 1
    }
    return counts
  }

  #advance(now: number): void {
    for (;;) {
      const next = this.#hidden.peek()
      if (next === undefined || next.at > now) return
      this.#hidden.pop()
      if (this.#waits.get(next.message) !== next) continue
      this.#waits.delete(next.message)
      this.#unblock(next.message)
      this.#ready.push(next.message)
    }
  }

  #hide(message: Message): void {
    const wait = { at: message.visibleAt, message }
    this.#waits.set(message, wait)
    this.#hidden.push(wait)
  }

  #lease(message: Message, now: number, visibilityMs: number, receipt: string): Lease {
    const { receives, firstReceivedAt, receivedAt } = message
    const before = { receives, firstReceivedAt, receivedAt, receipt: message.receipt }
    message.receives += 1
    message.firstReceivedAt ??= now
    message.receivedAt = now
    message.receipt = receipt
    message.visibleAt = now + visibilityMs
    this.#hide(message)
    this.#block(message)
    return { message, visibleAt: message.visibleAt, receipt, before }
  }

  #show(message: Message, now: number): void {
    message.visibleAt = now
    this.#waits.delete(message)
    this.#unblock(message)
    this.#ready.push(message)
  }

  #isBlocked(message: Message): boolean {
    return this.#fifo && message.group !== undefined && this.#groupsInFlight.has(message.group)
  }

  #block(message: Message): void {
    if (!this.#fifo || message.group === undefined) return
    const inFlight = this.#groupsInFlight.get(message.group) ?? new Set()
    this.#groupsInFlight.set(message.group, inFlight.add(message))
  }

  #unblock(message: Message): void {
    if (message.group === undefined) return
    const inFlight = this.#groupsInFlight.get(message.group)
    inFlight?.delete(message)
    if (inFlight?.size === 0) this.#groupsInFlight.delete(message.group)
  }
}

/** One in flight is still its receiver's. */
function isTooOld({ sentAt, visibleAt }: Message, now: number, retentionMs: number): boolean {
  return visibleAt <= now && sentAt + retentionMs <= now
}

function receivesHere({ receives, receivesBefore = 0 }: Message): number {
  return receives - receivesBefore
}
