interface Waiter {
  take(slot: number): void
}

/** Numbered places for jobs that run at the same time; first come, first served. */
export class Slots {
  readonly #free: number[]
  readonly #waiters = new Set<Waiter>()
  #changed: (() => void)[] = []

  constructor(count: number) {
    this.#free = Array.from({ length: count }, (_, index) => count - 1 - index)
  }

  /** How many places nobody uses or waits for. */
  get freeCount(): number {
    return Math.max(0, this.#free.length - this.#waiters.size)
  }

  /** Resolves with a place's number; rejects with the signal's reason. Give it back by `release`. */
  async acquire(signal: AbortSignal): Promise<number> {
    signal.throwIfAborted()
    const slot = this.#free.pop()
    if (slot !== undefined) return slot
    return await new Promise<number>((resolve, reject) => {
      const waiter: Waiter = {
        take(taken) {
          signal.removeEventListener('abort', onAbort)
          resolve(taken)
        },
      }
      const onAbort = (): void => {
        this.#waiters.delete(waiter)
        reject(signal.reason as Error)
      }
      this.#waiters.add(waiter)
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** A place that is free at this moment; nobody who waits is passed over. */
  tryAcquire(): number | undefined {
    return this.#waiters.size === 0 ? this.#free.pop() : undefined
  }

  release(slot: number): void {
    const [next] = this.#waiters
    if (next === undefined) {
      this.#free.push(slot)
      // The lowest number first, so that a live view stays calm.
      this.#free.sort((a, b) => b - a)
    } else {
      this.#waiters.delete(next)
      next.take(slot)
    }
    this.notify()
  }

  /** Resolves at the next `release` or `notify`. */
  async changed(): Promise<void> {
    await new Promise<void>((resolve) => this.#changed.push(resolve))
  }

  /** Wakes whoever waits for a change. */
  notify(): void {
    const listeners = this.#changed
    this.#changed = []
    for (const listener of listeners) listener()
  }
}
