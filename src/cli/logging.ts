import { Chalk } from 'chalk'
import type { Config } from '../config/schema.ts'
import { systemClock } from '../core/clock.ts'
import { createLogger, LOG_LEVELS, type Logger, type LogLevel, type LogSink } from '../core/log.ts'
import type { JobView, WorkerObserver } from '../core/observer.ts'
import { redact } from '../core/redact.ts'
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
export function openRunnerLog(session: Session, config: Config): RunnerLog {
  const { io, json } = session
  const level = config.log_level
  if (isInteractive(io) && !json) return openLive(session, level, config)
  const print = printer(session)
  const log =
    json || io.stderr.isTTY !== true
      ? createLogger(createSink(print, jsonLine), level)
      : createPlainLog(session, level)
  return { log, print, close: () => undefined }
}

/** The log of the demo, whose own lines say what goes on: live lines on a terminal, else only what is wrong. */
export function openDemoLog(session: Session, config: Config): RunnerLog {
  const level = session.debug ? 'DEBUG' : 'WARNING'
  if (isInteractive(session.io)) return openLive(session, level, config)
  return { log: createPlainLog(session, level), print: printer(session), close: () => undefined }
}

function openLive(session: Session, level: LogLevel, config: Config): RunnerLog {
  const { io, secrets } = session
  const colors = colorsFor(io)
  const view = createLiveView({
    output: io.stderr,
    colors,
    clock: systemClock,
    timeoutSeconds: (job) => timeoutOf(job, config),
  })
  const print = (line: string): void => {
    view.print(redact(line, secrets))
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

/** What a job's container may take, as its match or else the config has it. */
function timeoutOf({ kind, identity }: JobView, { matches, timeout }: Config): number {
  const id = identity.fields['match']?.toLowerCase()
  const match = Object.entries(matches).find(([key]) => key.toLowerCase() === id)?.[1] ?? matches['*']
  return (kind === 'scorer' ? match?.indicator : match?.problem)?.timeout ?? timeout
}

function printer({ io, secrets }: Session): (line: string) => void {
  return (line) => {
    io.stderr.write(`${redact(line, secrets)}\n`)
  }
}

/** A log for verbs that print results: lines for people on stderr. */
export function createPlainLog(session: Session, level: LogLevel): Logger {
  return createLogger(plainSink(session), level)
}

/** Lines for people on stderr. */
export function plainSink(session: Session): LogSink {
  const colors = colorsFor(session.io)
  return createSink(printer(session), (record) => humanLine(record, colors))
}

/** For verbs whose own output says what happens: only what is wrong, unless more was asked for by DEBUG. */
export function quietLevel(level: LogLevel): LogLevel {
  if (level === 'DEBUG') return level
  return LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf('WARNING') ? 'WARNING' : level
}

function colorsFor(io: Io) {
  return new Chalk({ level: wantsColor(io.stderr, io.environment) ? 1 : 0 })
}
