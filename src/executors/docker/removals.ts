import { retryPauseMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import type { Engine } from './api/engine.ts'
import { EngineError } from './api/errors.ts'

const TRIES = 4
const SILENCE_MS = 60_000
/** Removals at a time that nobody waits for: more would only take the processor from those who start something. */
const IN_BACKGROUND = 2
/** `settle` waits no longer. */
const SETTLE_MS = 30_000

/** A container by id or name, or a volume by its name. */
export type Doomed = string | { volume: string }

/** Removes containers, at once or behind the job's back, and remembers those that could not be removed yet. */
export class Removals {
  readonly #engine: Engine
  readonly #clock: Clock
  readonly #log: Logger
  /** What must go and is perhaps still there, by its path in the engine's API. */
  readonly #left = new Map<string, Doomed>()
  /** What nobody uses any more, to be removed when it is its turn; what stands together goes in this order. */
  readonly #queue: (readonly Doomed[])[] = []
  readonly #workers = new Set<Promise<void>>()

  constructor(engine: Engine, clock: Clock, log: Logger) {
    this.#engine = engine
    this.#clock = clock
    this.#log = log
  }

  /** Removes these soon, one after the other, and lets nobody wait for it. */
  later(...doomed: readonly Doomed[]): void {
    this.#queue.push(doomed)
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
      for (const each of next) await this.remove(each)
    }
  }

  /**
   * Kills and removes a container with its anonymous volumes, or a volume; says whether it is gone. Never throws: what
   * fails is tried again by `retry`.
   */
  async remove(doomed: Doomed): Promise<boolean> {
    for (let n = 0; n < TRIES; n += 1) {
      if (n > 0) await this.#clock.sleep(retryPauseMs(n - 1, 200, 1000))
      try {
        await this.removeNow(doomed)
        return true
      } catch (error) {
        if (n + 1 < TRIES) continue
        this.#left.set(pathOf(doomed), doomed)
        const what = typeof doomed === 'string' ? 'container' : 'volume'
        this.#log.warn(`A ${what} could not be removed; trying again later`, {
          ...fieldsOf(doomed),
          error: messageOf(error),
        })
      }
    }
    return false
  }

  /** One more try for all that is left; says how many went. */
  async retry(): Promise<number> {
    let removed = 0
    for (const doomed of this.#left.values()) {
      try {
        if (await this.removeNow(doomed)) removed += 1
      } catch (error) {
        const what = typeof doomed === 'string' ? 'container' : 'volume'
        this.#log.debug(`A ${what} still can't be removed`, { ...fieldsOf(doomed), error: messageOf(error) })
      }
    }
    return removed
  }

  /** One try; resolves when it is gone. False = it was not there any more. */
  async removeNow(doomed: Doomed): Promise<boolean> {
    const path = pathOf(doomed)
    const query = typeof doomed === 'string' ? { force: '1', v: '1' } : {}
    let wasThere = true
    try {
      await this.#engine.json('DELETE', path, { query, silenceMs: SILENCE_MS })
    } catch (error) {
      if (!(error instanceof EngineError && error.status === 404)) throw error
      wasThere = false
    }
    this.#left.delete(path)
    return wasThere
  }
}

function pathOf(doomed: Doomed): string {
  return typeof doomed === 'string'
    ? `/containers/${encodeURIComponent(doomed)}`
    : `/volumes/${encodeURIComponent(doomed.volume)}`
}

function fieldsOf(doomed: Doomed): { container: string } | { volume: string } {
  return typeof doomed === 'string' ? { container: doomed } : doomed
}
