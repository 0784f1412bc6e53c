import { constants } from 'node:os'
import type { Logger } from '../core/log.ts'
import type { Stop } from '../core/stop.ts'
import type { Io, StopSignal } from './io.ts'

/** One key press (or hang-up) can reach us twice: from the terminal, and passed on by npm. */
const ECHO_MS = 150
const ECHOED = new Set<StopSignal>(['SIGINT', 'SIGHUP'])

/** What the signals have asked for so far. */
export interface SignalWatch {
  /**
   * 128+n of the last signal when jobs were ended by force, by it or by the end of the grace, else undefined. A notice
   * in place of a signal counts as SIGTERM.
   */
  forcedExitCode(): number | undefined
  /** 128+n of the last signal, if there was one. */
  exitCode(): number | undefined
  dispose(): void
}

/** First signal: drain. Second: abort. Third: the process ends at once. */
export function watchSignals(io: Io, stop: Stop, log: Logger): SignalWatch {
  let count = 0
  let last: StopSignal | undefined

  const unsubscribe = onDistinctSignal(io, (signal) => {
    last = signal
    count += 1
    if (count === 1) {
      log.info('Stopping: no new jobs; running ones may end. A second signal ends them at once', { signal })
      stop.requestDrain(signal)
    } else if (count === 2) {
      log.warn('Stopping at once: containers are killed, messages put back', { signal })
      stop.requestAbort(signal)
    } else {
      io.exit(exitCodeOf(signal))
    }
  })

  function exitCode(): number | undefined {
    return last === undefined ? undefined : exitCodeOf(last)
  }

  return {
    forcedExitCode: () => (stop.abort.aborted ? (exitCode() ?? exitCodeOf('SIGTERM')) : undefined),
    exitCode,
    dispose: () => {
      unsubscribe()
      stop.dispose()
    },
  }
}

/** What may end a single call that somebody waits for. */
export interface CallWatch {
  /** Aborted by a signal, and when nobody reads our output any more. */
  readonly signal: AbortSignal
  /** 128+n of that signal, 0 for a reader who left; undefined = the call has not been ended. */
  exitCode(): number | undefined
  dispose(): void
}

/** First signal, or a reader who leaves: abort. A signal after that: the process ends at once. */
export function watchCall(io: Io): CallWatch {
  const stopping = new AbortController()
  let endedBy: StopSignal | 'reader' | undefined

  function end(by: StopSignal | 'reader'): void {
    endedBy ??= by
    stopping.abort()
  }
  function readerLeft(): void {
    end('reader')
  }
  const unsubscribe = onDistinctSignal(io, (signal) => {
    if (endedBy !== undefined) io.exit(exitCodeOf(signal))
    end(signal)
  })
  io.stdout.on('error', readerLeft)

  return {
    signal: stopping.signal,
    exitCode: () => {
      if (endedBy === undefined) return undefined
      return endedBy === 'reader' ? 0 : exitCodeOf(endedBy)
    },
    dispose: () => {
      unsubscribe()
      io.stdout.off('error', readerLeft)
    },
  }
}

/** Calls the listener at every signal, but not again for its echo. Returns the end of it. */
function onDistinctSignal(io: Io, listener: (signal: StopSignal) => void): () => void {
  let last: { signal: StopSignal; at: number } | undefined
  return io.onSignal((signal) => {
    const at = performance.now()
    if (last?.signal === signal && ECHOED.has(signal) && at - last.at < ECHO_MS) return
    last = { signal, at }
    listener(signal)
  })
}

/** As shells have it: 128 and the signal's number. */
function exitCodeOf(signal: StopSignal): number {
  return 128 + constants.signals[signal]
}
