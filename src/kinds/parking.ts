import type { Clock } from '../core/clock.ts'
import { NotYetError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import { remember } from '../core/remember.ts'

interface Parked {
  reason: string
  /** Monotonic ms. */
  untilMs: number
}

/** Matches are foreign words: no more of them are remembered. */
const MOST = 1000

/**
 * Matches that only an administrator can mend. Each is said once in the log and tried again from time to time; its
 * messages wait meanwhile without any read, and the other matches go on.
 */
export class Parking {
  readonly #clock: Clock
  readonly #parked = new Map<string, Parked>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Throws the NotYetError of a match that is parked now. */
  check(matchId: string): void {
    const parked = this.#parked.get(matchId)
    if (parked === undefined) return
    const leftMs = parked.untilMs - this.#clock.now()
    if (leftMs > 0) throw waiting(parked.reason, leftMs / 1000)
  }

  /** Parks a match, and returns what is to be thrown. */
  park(matchId: string, reason: string, seconds: number, log: Logger): NotYetError {
    if (this.#parked.get(matchId)?.reason !== reason) {
      log.error('Match parked: its messages wait until this is mended', { match: matchId, reason })
    }
    remember(this.#parked, matchId, { reason, untilMs: this.#clock.now() + seconds * 1000 }, MOST)
    return waiting(reason, seconds)
  }

  /** Notes that a match works. */
  release(matchId: string, log: Logger): void {
    if (this.#parked.delete(matchId)) log.info('Match works again', { match: matchId })
  }
}

function waiting(reason: string, seconds: number): NotYetError {
  return new NotYetError(`the match is parked: ${reason}`, seconds, { parked: true })
}
