import { LeaseLostError } from '../../src/core/errors.ts'
import type { Clock } from '../../src/core/clock.ts'
import type { Delivery, Queue } from '../../src/queues/queue.ts'

interface Message {
  id: string
  body: string
  visibleAt: number
  received: number
  receipt: number
  deleted: boolean
  guard: number
  attempts: number
  /** When it was received last. */
  receivedAt: number
}

/** An at-least-once queue in memory, with SQS's visibility and receive counts; passed in where the wire doesn't matter. */
export class MemoryQueue implements Queue {
  readonly messages: Message[] = []
  readonly log: string[] = []
  /** Thrown by the next receive calls, first one first. */
  readonly receiveErrors: Error[] = []
  receives = 0
  /** Longest time in flight from a receive on; SQS: 12 h. */
  maxHeldMs = 12 * 3600_000
  /** After how many seconds a released message is seen again. */
  releaseSeconds = (seconds: number): number => seconds
  #wake: (() => void)[] = []
  readonly #clock: Clock
  readonly #visibilityMs: number
  readonly #pollMs: number

  constructor(clock: Clock, visibilityMs = 60_000, pollMs = 50) {
    this.#clock = clock
    this.#visibilityMs = visibilityMs
    this.#pollMs = pollMs
  }

  async probe(): Promise<void> {}
  async redrive(): ReturnType<Queue['redrive']> {
    return Promise.resolve('none')
  }
  close(): void {}

  async send(body: string): Promise<void> {
    this.#add(body, 0, 0, 0)
    return Promise.resolve()
  }

  #add(body: string, guard: number, attempts: number, visibleAt: number): void {
    const id = `m${String(this.messages.length + 1)}`
    const counts = { received: 0, receipt: 0, receivedAt: 0, guard, attempts }
    this.messages.push({ id, body, visibleAt, deleted: false, ...counts })
    for (const wake of this.#wake.splice(0)) wake()
  }

  /** What is still on the queue, in flight or not. */
  left(): string[] {
    return this.messages.filter((message) => !message.deleted).map((message) => message.body)
  }

  async receive(max: number, signal: AbortSignal): Promise<Delivery[]> {
    this.receives += 1
    const error = this.receiveErrors.shift()
    if (error !== undefined) throw error
    const receivedAt = this.#clock.now()
    let found = this.#take(max, receivedAt)
    if (found.length === 0) {
      await Promise.race([
        this.#clock.sleep(this.#pollMs, signal),
        new Promise<void>((resolve) => this.#wake.push(resolve)),
      ])
      found = this.#take(max, receivedAt)
    }
    return found
  }

  #take(max: number, receivedAt: number): Delivery[] {
    const now = this.#clock.now()
    const ready = this.messages
      .filter((message) => !message.deleted && message.visibleAt <= now)
      .slice(0, max)
    return ready.map((message) => {
      message.received += 1
      message.receipt += 1
      message.receivedAt = now
      message.visibleAt = now + this.#visibilityMs
      return this.#delivery(message, message.receipt, receivedAt)
    })
  }

  #delivery(message: Message, receipt: number, receivedAt: number): Delivery {
    const check = (): void => {
      if (message.receipt !== receipt || message.deleted) throw new LeaseLostError('the receipt is stale')
    }
    return {
      id: message.id,
      body: message.body,
      attempt: message.received + message.attempts,
      guard: message.guard,
      sendCopy: async ({ guard = message.guard, attempts = message.attempts, afterSeconds = 0 }) => {
        this.log.push(`copy ${message.id} ${String(guard)}`)
        this.#add(message.body, guard, attempts, this.#clock.now() + afterSeconds * 1000)
        return Promise.resolve()
      },
      sentAt: undefined,
      receivedAt,
      extend: async (seconds) => {
        check()
        if (this.#clock.now() + seconds * 1000 > message.receivedAt + this.maxHeldMs)
          throw new LeaseLostError('in flight for too long')
        this.log.push(`extend ${message.id}`)
        message.visibleAt = this.#clock.now() + seconds * 1000
        return Promise.resolve()
      },
      ack: async () => {
        check()
        this.log.push(`ack ${message.id}`)
        message.deleted = true
        return Promise.resolve()
      },
      release: async (seconds) => {
        check()
        this.log.push(`release ${message.id} ${String(seconds)}`)
        message.visibleAt = this.#clock.now() + this.releaseSeconds(seconds) * 1000
        return Promise.resolve()
      },
    }
  }
}
