import type { ChalkInstance } from 'chalk'
import type { LogLevel, LogRecord, LogSink } from '../core/log.ts'
import { escapeControls } from '../core/text.ts'

/** One JSON object on one line, with stable keys: `ts, level, msg`, then the record's fields. */
export function jsonLine({ ts, level, msg, fields }: LogRecord): string {
  const own = { ts, level, msg }
  // A field can't take the place of the record's own keys.
  const others = Object.entries(fields).filter(([key, value]) => !(key in own) && value !== undefined)
  const parts = [...Object.entries(own), ...others].map(
    ([key, value]) => `${JSON.stringify(key)}:${toJson(value)}`,
  )
  return `{${parts.join(',')}}`
}

/** For people: time of day, level, message, then the fields as key=value. Never more than one line. */
export function humanLine({ ts, level, msg, fields }: LogRecord, colors: ChalkInstance): string {
  const time = new Date(ts).toTimeString().slice(0, 8)
  const shown = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => colors.dim(`${oneLine(key)}=`) + fieldText(value))
  return [colors.dim(time), paint(level, colors), oneLine(msg), ...shown].join(' ')
}

/** Passes every record on as a line of text. */
export function createSink(write: (line: string) => void, format: (record: LogRecord) => string): LogSink {
  return (record) => {
    try {
      write(format(record))
    } catch {
      // A log that can't be written must not end a job.
    }
  }
}

function paint(level: LogLevel, colors: ChalkInstance): string {
  const text = level.padEnd(8)
  switch (level) {
    case 'DEBUG':
      return colors.dim(text)
    case 'INFO':
      return colors.cyan(text)
    case 'WARNING':
      return colors.yellow(text)
    case 'ERROR':
    case 'CRITICAL':
      return colors.red(text)
  }
}

function fieldText(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
    return String(value)
  if (typeof value === 'string')
    return /^[\p{L}\p{N}_#/:.@%+,-]+$/u.test(value) ? value : oneLine(JSON.stringify(value))
  return oneLine(toJson(value))
}

/** Job outputs and names may hold anything; here nothing can start a line or steer the terminal. */
function oneLine(text: string): string {
  return escapeControls(text).replaceAll('\n', '\\n').replaceAll('\t', '\\t')
}

/** Errors by their message, big numbers as text; what can't be written at all by its name. */
function toJson(value: unknown): string {
  try {
    // Functions and symbols have no JSON, whatever the declaration of stringify says.
    const text = JSON.stringify(value, (_, part: unknown) => replacement(part)) as string | undefined
    return text ?? JSON.stringify(String(value))
  } catch {
    return JSON.stringify(Object.prototype.toString.call(value))
  }
}

function replacement(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  return value instanceof Error ? value.message : value
}
