import { retryPauseMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import type { Engine } from './engine.ts'
import { EngineError } from './errors.ts'

const TRIES = 4
const SILENCE_MS = 60_000
/** Removals at a time that nobody waits for: more would only take the processor from those who start something. */
const IN_BACKGROUND = 2
/** `settle` waits no longer. */
const SETTLE_MS = 30_000

/** Removes containers, at once or behind the job's back, and remembers those that could not be removed yet. */
export class Removals {
  readonly #engine: Engine
  readonly #clock: Clock
  readonly #log: Logger
  /** Ids or names of containers that must go and are perhaps still there. */
  readonly #left = new Set<string>()
  /** Ids of containers that have ended, to be removed when it is their turn. */
  readonly #queue: string[] = []
  readonly #workers = new Set<Promise<void>>()

  constructor(engine: Engine, clock: Clock, log: Logger) {
    this.#engine = engine
    this.#clock = clock
    this.#log = log
  }

  /** Removes a container soon, and lets nobody wait for it. */
  later(container: string): void {
    this.#queue.push(container)
    if (this.#workers.size >= IN_BACKGROUND) return
    const worker = this.#work().finally(() => {
      this.#workers.delete(worker)
    })
    this.#workers.add(worker)
  }

  /** Resolves when the removals that were asked for so far have been tried, or that takes too long. */
  async settle(): Promise<void> {
    const timer = new AbortController()
    const late = this.#clock.sleep(SETTLE_MS, timer.signal).catch(() => undefined)
    await Promise.race([Promise.all(this.#workers), late])
    timer.abort()
  }

  async #work(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      await this.remove(next)
    }
  }

  /**
   * Kills and removes a container with its anonymous volumes; says whether it is gone. Never throws: what fails is
   * tried again by `retry`.
   */
  async remove(container: string): Promise<boolean> {
    for (let n = 0; n < TRIES; n += 1) {
      if (n > 0) await this.#clock.sleep(retryPauseMs(n - 1, 200, 1000))
      try {
        await this.removeNow(container)
        return true
      } catch (error) {
        if (n + 1 < TRIES) continue
        this.#left.add(container)
        this.#log.warn('A container could not be removed; trying again later', {
          container,
          error: messageOf(error),
        })
      }
    }
    return false
  }

  /** One more try for all that is left; says how many went. */
  async retry(): Promise<number> {
    let removed = 0
    for (const container of this.#left) {
      try {
        if (await this.removeNow(container)) removed += 1
      } catch (error) {
        this.#log.debug("A container still can't be removed", { container, error: messageOf(error) })
      }
    }
    return removed
  }

  /** One try; resolves when the container is gone. False = it was not there any more. */
  async removeNow(container: string): Promise<boolean> {
    const path = `/containers/${encodeURIComponent(container)}`
    let wasThere = true
    try {
      await this.#engine.json('DELETE', path, { query: { force: '1', v: '1' }, silenceMs: SILENCE_MS })
    } catch (error) {
      if (!(error instanceof EngineError && error.status === 404)) throw error
      wasThere = false
    }
    this.#left.delete(container)
    return wasThere
  }
}
