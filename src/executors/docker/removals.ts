import { retryPauseMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import { unlessAborted } from '../../core/unless-aborted.ts'
import type { Engine } from './api/engine.ts'
import { EngineError } from './api/errors.ts'

const TRIES = 4
const SILENCE_MS = 60_000
/** Removals at a time that nobody waits for: more would only take the processor from those who start something. */
const IN_BACKGROUND = 2
/** As many where the engine is slow, so that they pile up, and where nothing else is left to do. */
const MOST_AT_A_TIME = 8
/** There is one at a time for so many that wait. */
const WAITING_FOR_EACH = 8
/** While more than so many wait, no task starts. */
const ROOM = MOST_AT_A_TIME * WAITING_FOR_EACH
/** Nobody waits longer for a removal to succeed. */
const PATIENCE_MS = 30_000
/** Longest time that an engine works on a request after its connection was cut. */
const UNSURE_MS = 600_000
/** At the end there are further looks for what is left, after so long each. */
const LAST_LOOKS_MS = [1000, 2000]

/** A container by id or name, or a volume by its name. */
export type Doomed = string | { volume: string }

/** What must go and is perhaps still there. */
interface Left {
  doomed: Doomed
  /**
   * Until then the engine may still be making it, so that its absence proves nothing; by the clock's `now`. Undefined = it
   * was made.
   */
  unsureUntil?: number
}

/** Removes containers, at once or behind the job's back, and remembers those that could not be removed yet. */
export class Removals {
  readonly #engine: Pick<Engine, 'json'>
  readonly #clock: Clock
  readonly #log: Logger
  /** By its path in the engine's API. */
  readonly #left = new Map<string, Left>()
  /** What nobody uses any more, to be removed when it is its turn; what stands together goes in this order. */
  readonly #queue: (readonly Doomed[])[] = []
  readonly #workers = new Set<Promise<void>>()
  /** Who waits for room. */
  readonly #waiting: (() => void)[] = []
  /** How many have gone so far. */
  #gone = 0

  constructor(engine: Pick<Engine, 'json'>, clock: Clock, log: Logger) {
    this.#engine = engine
    this.#clock = clock
    this.#log = log
  }

  /** Removes these soon, one after the other, and lets nobody wait for it. */
  later(...doomed: readonly Doomed[]): void {
    this.#queue.push(doomed)
    const wanted = Math.floor(this.#queue.length / WAITING_FOR_EACH)
    if (this.#workers.size < Math.max(IN_BACKGROUND, Math.min(wanted, MOST_AT_A_TIME))) this.#addWorker()
  }

  /**
   * Resolves when not too many wait to be removed: a slow engine is to slow the jobs, and not to fill its disk with what
   * they have left. Rejects with the signal's reason.
   */
  async room(signal: AbortSignal): Promise<void> {
    if (this.#queue.length <= ROOM) return
    await unlessAborted(new Promise<void>((resolve) => this.#waiting.push(resolve)), signal)
  }

  /** Resolves when the removals that were asked for so far have been tried, or that takes too long. */
  async settle(): Promise<void> {
    await this.#endsInTime(Promise.all(this.#workers))
  }

  /** For the end: removes all that is left, many at a time, for as long as the engine gets on with it. */
  async finish(): Promise<void> {
    while (this.#workers.size < MOST_AT_A_TIME) this.#addWorker()
    let isDone = await this.#endsByAndBy(Promise.all([...this.#workers, this.retry()]))
    for (const pauseMs of LAST_LOOKS_MS) {
      if (!isDone || this.#left.size === 0) return
      await this.#clock.sleep(pauseMs)
      isDone = await this.#endsByAndBy(this.retry())
    }
  }

  #addWorker(): void {
    const worker = this.#work().finally(() => {
      this.#workers.delete(worker)
    })
    this.#workers.add(worker)
  }

  async #work(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      for (const each of next) await this.remove(each)
      if (this.#queue.length <= ROOM) for (const resolve of this.#waiting.splice(0)) resolve()
    }
  }

  /** Whether the work ends soon. */
  async #endsInTime(work: Promise<unknown>): Promise<boolean> {
    const timer = new AbortController()
    const late = this.#clock.sleep(PATIENCE_MS, timer.signal).then(
      () => false,
      () => false,
    )
    const isDone = await Promise.race([work.then(() => true), late])
    timer.abort()
    return isDone
  }

  /** Whether the work ends, as long as something goes meanwhile. */
  async #endsByAndBy(work: Promise<unknown>): Promise<boolean> {
    for (;;) {
      const before = this.#gone
      if (await this.#endsInTime(work)) return true
      if (this.#gone === before) return false
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
        const path = pathOf(doomed)
        this.#left.set(path, this.#left.get(path) ?? { doomed })
        const what = typeof doomed === 'string' ? 'container' : 'volume'
        this.#log.warn(`A ${what} could not be removed; trying again later`, {
          ...fieldsOf(doomed),
          error: messageOf(error),
        })
      }
    }
    return false
  }

  /**
   * Removes what the engine was asked to make and gave no answer about. It may still be at work on it: `retry` looks
   * for it until it was there, or nobody can make it any more. What runs is another's of the same name: nobody starts
   * what has not been answered. Lets nobody wait: an engine that gave no answer may give none now.
   */
  removeUnsure(...unsure: readonly Doomed[]): void {
    const unsureUntil = this.#clock.now() + UNSURE_MS
    for (const doomed of unsure) this.#left.set(pathOf(doomed), { doomed, unsureUntil })
    this.later(...unsure)
  }

  /** One more try for all that is left; says how many went. */
  async retry(): Promise<number> {
    const all = [...this.#left.values()].map(({ doomed }) => doomed)
    const containers = all.filter((doomed) => typeof doomed === 'string')
    const volumes = all.filter((doomed) => typeof doomed !== 'string')
    // A volume goes only after the container that uses it.
    return (await this.#retryEach(containers)) + (await this.#retryEach(volumes))
  }

  /** Empties the list. */
  async #retryEach(list: Doomed[]): Promise<number> {
    let removed = 0
    const work = async (): Promise<void> => {
      for (let doomed = list.shift(); doomed !== undefined; doomed = list.shift()) {
        try {
          if (await this.removeNow(doomed)) removed += 1
        } catch (error) {
          const what = typeof doomed === 'string' ? 'container' : 'volume'
          this.#log.debug(`A ${what} still can't be removed`, {
            ...fieldsOf(doomed),
            error: messageOf(error),
          })
        }
      }
    }
    await Promise.all(Array.from({ length: MOST_AT_A_TIME }, work))
    return removed
  }

  /** One try; resolves when it is gone, or not yet there. False = it was not there. */
  async removeNow(doomed: Doomed): Promise<boolean> {
    const path = pathOf(doomed)
    const { unsureUntil } = this.#left.get(path) ?? {}
    const isContainer = typeof doomed === 'string'
    const force = unsureUntil === undefined ? { force: '1' } : {}
    const query = isContainer ? { ...force, v: '1' } : {}
    let wasThere = true
    try {
      await this.#engine.json('DELETE', path, { query, silenceMs: SILENCE_MS })
    } catch (error) {
      if (!(error instanceof EngineError && error.isByEngine)) throw error
      const isAnothers = isContainer && unsureUntil !== undefined && error.status === 409
      if (error.status !== 404 && !isAnothers) throw error
      if (error.status === 404 && this.#clock.now() < (unsureUntil ?? -Infinity)) return false
      wasThere = false
    }
    this.#gone += 1
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
