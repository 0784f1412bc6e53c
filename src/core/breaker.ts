import { retryPauseMs } from './backoff.ts'
import type { Clock } from './clock.ts'
import type { RetryableError } from './errors.ts'
import { messageOf, type Surrounding } from './errors.ts'
import type { Logger } from './log.ts'
import type { WorkerObserver } from './observer.ts'

/** Asks whether a part of the surroundings works; throws what is wrong. */
export type Probe = (signal: AbortSignal) => Promise<void>

/** The surroundings whose failure stops all jobs alike; others (a registry) concern single jobs. */
const SHARED = new Set<Surrounding>([
  'engine',
  'credentials',
  'store',
  'disk',
  'memory',
  'queue',
  'matches',
  'model',
])

export interface BreakerOptions {
  probes: Partial<Record<Surrounding, Probe>>
  /** First pause between probes; grows to a minute. */
  intervalMs: number
  clock: Clock
  log: Logger
  observer: WorkerObserver
}

/**
 * Stops the receiving of messages at the first fault of the surroundings, until a probe passes: every receive counts
 * towards the dead-letter queue, so none may be spent while nothing can run.
 */
export class Breaker {
  readonly #options: BreakerOptions
  readonly #broken = new Set<Surrounding>()
  #failures = 0

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  /** Notes a fault. Faults that concern single jobs only are passed over. */
  report(error: RetryableError): void {
    const { surrounding } = error
    if (!SHARED.has(surrounding) || this.#broken.has(surrounding)) return
    if (this.#broken.size === 0) this.#failures = 0
    this.#broken.add(surrounding)
    this.#options.log.error('Paused: nothing is received until this works again', {
      surrounding,
      error: error.message,
    })
    this.#options.observer.stateChanged('paused', `${surrounding}: ${error.message}`)
  }

  /** Whether nothing is known to be broken. */
  get isWell(): boolean {
    return this.#broken.size === 0
  }

  /** Whether every probe passes now. */
  async allWell(signal: AbortSignal): Promise<boolean> {
    const checks = Object.values(this.#options.probes).map((probe) => probe(signal))
    return (await Promise.allSettled(checks)).every((check) => check.status === 'fulfilled')
  }

  /** Resolves when nothing is known to be broken; rejects when the signal is aborted. */
  async whenWell(signal: AbortSignal): Promise<void> {
    const { clock, intervalMs, probes, log, observer } = this.#options
    if (this.isWell) return
    while (this.#broken.size > 0) {
      await clock.sleep(retryPauseMs(this.#failures, Math.max(intervalMs, 100), 60_000), signal)
      for (const surrounding of [...this.#broken]) {
        try {
          await probes[surrounding]?.(signal)
          this.#broken.delete(surrounding)
        } catch (error) {
          signal.throwIfAborted()
          log.debug('Still broken', { surrounding, error: messageOf(error) })
        }
      }
      this.#failures += 1
    }
    log.info('Works again: receiving')
    observer.stateChanged('polling')
  }
}
