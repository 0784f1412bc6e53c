import { Chalk } from 'chalk'
import { systemClock } from '../core/clock.ts'
import { createLogger, LOG_LEVELS, type Logger, type LogLevel } from '../core/log.ts'
import type { WorkerObserver } from '../core/observer.ts'
import { isInteractive, wantsColor, type Io, type Session } from './io.ts'
import { createLiveView } from './live.ts'
import { createSink, humanLine, jsonLine } from './log-sinks.ts'

/** Where a runner's log goes, and who watches its jobs. */
export interface RunnerLog {
  log: Logger
  observer?: WorkerObserver
  /** Writes a line for people, above the live view if there is one. */
  print(line: string): void
  /** Ends the live view. */
  close(): void
}

/**
 * The log of a runner, on stderr: with live lines on a terminal that can show them, plain lines on one that can't, JSON
 * lines elsewhere and with --json.
 */
export function openRunnerLog(session: Session, level: LogLevel, timeoutSeconds: number): RunnerLog {
  const { io, json } = session
  if (isInteractive(io) && !json) return openLive(io, level, timeoutSeconds)
  const print = printer(io)
  const log =
    json || io.stderr.isTTY !== true
      ? createLogger(createSink(print, jsonLine), level)
      : createPlainLog(io, level)
  return { log, print, close: () => undefined }
}

/** The log of the demo, whose own lines say what goes on: live lines on a terminal, else only what is wrong. */
export function openDemoLog({ io, debug }: Session, timeoutSeconds: number): RunnerLog {
  const level = debug ? 'DEBUG' : 'WARNING'
  if (isInteractive(io)) return openLive(io, level, timeoutSeconds)
  return { log: createPlainLog(io, level), print: printer(io), close: () => undefined }
}

function openLive(io: Io, level: LogLevel, timeoutSeconds: number): RunnerLog {
  const colors = colorsFor(io)
  const view = createLiveView({ output: io.stderr, colors, clock: systemClock, timeoutSeconds })
  const print = (line: string): void => {
    view.print(line)
  }
  const close = (): void => {
    view.close()
  }
  const log = createLogger(
    createSink(print, (record) => humanLine(record, colors)),
    level,
  )
  return { log, observer: view, print, close }
}

function printer(io: Io): (line: string) => void {
  return (line) => {
    io.stderr.write(`${line}\n`)
  }
}

/** A log for verbs that print results: lines for people on stderr. */
export function createPlainLog(io: Io, level: LogLevel): Logger {
  const colors = colorsFor(io)
  return createLogger(
    createSink(printer(io), (record) => humanLine(record, colors)),
    level,
  )
}

/** For verbs whose own output says what happens: only what is wrong, unless more was asked for by DEBUG. */
export function quietLevel(level: LogLevel): LogLevel {
  if (level === 'DEBUG') return level
  return LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf('WARNING') ? 'WARNING' : level
}

function colorsFor(io: Io) {
  return new Chalk({ level: wantsColor(io.stderr, io.environment) ? 1 : 0 })
}
