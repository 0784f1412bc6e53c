import type { Clock } from '../core/clock.ts'

/** Node's timers can't wait longer. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Something that is to be done when nothing has happened for a while. */
export class IdleTimer {
  readonly #clock: Clock
  #stopped = new AbortController()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Begins anew. More than about 24 days is for ever. */
  start(ms: number, work: () => void): void {
    this.stop()
    if (ms > MAX_TIMER_MS) return
    this.#stopped = new AbortController()
    this.#clock.sleep(ms, this.#stopped.signal).then(work, () => undefined)
  }

  stop(): void {
    this.#stopped.abort()
  }
}
