import type { Clock } from '../../core/clock.ts'
import { Cut } from './failure.ts'

/** Node's timers can't wait longer. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** A time after which work is cut off. Dispose ends the waiting. */
export interface TimeBound extends Disposable {
  readonly signal: AbortSignal
}

/** Aborts with this reason after so long. */
export function timeBound(ms: number, cut: Cut, clock: Clock): TimeBound {
  const controller = new AbortController()
  const ended = new AbortController()
  const wait = async (): Promise<void> => {
    let left = ms
    for (; left > MAX_TIMER_MS; left -= MAX_TIMER_MS) await clock.sleep(MAX_TIMER_MS, ended.signal)
    await clock.sleep(Math.max(0, left), ended.signal)
    controller.abort(cut)
  }
  wait().catch(() => undefined)
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      ended.abort()
    },
  }
}

/** What is left until a deadline, as a bound; undefined where there is none. */
export function deadlineBound(deadline: Date | undefined, clock: Clock): TimeBound | undefined {
  if (deadline === undefined) return undefined
  return timeBound(deadline.getTime() - clock.date().getTime(), deadlineCut(deadline), clock)
}

/** Why a job is ended at its deadline. */
export function deadlineCut(deadline: Date): Cut {
  return new Cut('deadline', `its deadline ${deadline.toISOString()} has passed`)
}
