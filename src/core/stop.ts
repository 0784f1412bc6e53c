import { setMaxListeners } from 'node:events'
import { StoppedError } from './errors.ts'

/** Why the runner stops, as two strengths; the reason of each signal is the Error that says why. */
export interface Stop {
  /** Aborted first: no new jobs; running ones may finish. */
  readonly drain: AbortSignal
  /** Aborted second, or when the grace is over: kill the containers, release the messages, record nothing. */
  readonly abort: AbortSignal
  /** Begins the drain; `abort` follows by itself when the grace is over. Further calls do nothing. */
  requestDrain(why: string): void
  /** Drains and aborts at once. */
  requestAbort(why: string): void
  /** Ends the grace timer, so that it keeps no process alive. */
  dispose(): void
}

/** Longer timers fire at once in Node. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** A stop that nobody has asked for yet; running jobs get `graceMs` after the drain began. */
export function createStop({ graceMs }: { graceMs: number }): Stop {
  const drain = new AbortController()
  const abort = new AbortController()
  // Every job listens to them, and so does every message that is held.
  setMaxListeners(0, drain.signal, abort.signal)
  let timer: NodeJS.Timeout | undefined

  function requestDrain(why: string): void {
    if (drain.signal.aborted) return
    drain.abort(new StoppedError(why))
    timer = setTimeout(
      () => {
        requestAbort(`${why}; the ${graceMs / 1000} s for running jobs are over`)
      },
      Math.min(graceMs, LONGEST_TIMER_MS),
    )
  }

  function requestAbort(why: string): void {
    if (abort.signal.aborted) return
    requestDrain(why)
    clearTimeout(timer)
    abort.abort(new StoppedError(why))
  }

  return {
    drain: drain.signal,
    abort: abort.signal,
    requestDrain,
    requestAbort,
    dispose: () => {
      clearTimeout(timer)
    },
  }
}
