import type { Clock } from '../../src/core/clock.ts'

interface Sleeper {
  at: number
  wake: () => void
}

/** A clock that stands still until `advance`: leases and backoffs are tested in no time. */
export class ManualClock implements Clock {
  #now = 1000
  readonly #sleepers = new Set<Sleeper>()

  now(): number {
    return this.#now
  }

  date(): Date {
    return new Date(Date.UTC(2026, 10, 20) + this.#now)
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const sleeper: Sleeper = {
        at: this.#now + ms,
        wake: () => {
          signal?.removeEventListener('abort', onAbort)
          this.#sleepers.delete(sleeper)
          resolve()
        },
      }
      const onAbort = (): void => {
        this.#sleepers.delete(sleeper)
        reject(signal?.reason as Error)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#sleepers.add(sleeper)
    })
  }

  /** Moves time forward, waking sleepers in order and letting what they do settle. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    await settle()
    for (;;) {
      const next = [...this.#sleepers].filter((s) => s.at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#now = Math.max(this.#now, next.at)
      next.wake()
      await settle()
    }
    this.#now = end
    await settle()
  }

  /** Moves time forward without waking anybody, as when the process was frozen. */
  freeze(ms: number): void {
    this.#now += ms
  }
}

/** Lets pending promise callbacks run. */
export async function settle(): Promise<void> {
  for (let n = 0; n < 5; n += 1) await new Promise<void>((resolve) => setImmediate(resolve))
}
