/** Levels of the Python runner's `log_level`, least severe first. */
export const LOG_LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** What stands beside the message: stable snake_case keys such as kind, job, phase, ms. */
export type LogFields = Readonly<Record<string, unknown>>

export interface LogRecord {
  /** ISO 8601, UTC. */
  ts: string
  level: LogLevel
  /** Static text; data goes to `fields`. */
  msg: string
  fields: LogFields
}

/** Where records go: a terminal, JSON lines, a list in a test. Must not throw. */
export type LogSink = (record: LogRecord) => void

export interface Logger {
  debug(msg: string, fields?: LogFields): void
  info(msg: string, fields?: LogFields): void
  warn(msg: string, fields?: LogFields): void
  error(msg: string, fields?: LogFields): void
  critical(msg: string, fields?: LogFields): void
  /** A logger that adds `fields` to every record. */
  child(fields: LogFields): Logger
}

/** A logger that passes records of `level` and above to `sink`. */
export function createLogger(sink: LogSink, level: LogLevel = 'INFO', base: LogFields = {}): Logger {
  const threshold = LOG_LEVELS.indexOf(level)
  function write(recordLevel: LogLevel, msg: string, fields: LogFields = {}): void {
    if (LOG_LEVELS.indexOf(recordLevel) < threshold) return
    sink({ ts: new Date().toISOString(), level: recordLevel, msg, fields: { ...base, ...fields } })
  }
  return {
    debug: (msg, fields) => {
      write('DEBUG', msg, fields)
    },
    info: (msg, fields) => {
      write('INFO', msg, fields)
    },
    warn: (msg, fields) => {
      write('WARNING', msg, fields)
    },
    error: (msg, fields) => {
      write('ERROR', msg, fields)
    },
    critical: (msg, fields) => {
      write('CRITICAL', msg, fields)
    },
    child: (fields) => createLogger(sink, level, { ...base, ...fields }),
  }
}
