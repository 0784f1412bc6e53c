import type { LogFields, Logger } from './log.ts'

/** Shorter values would hide half the language. */
const MIN_LENGTH = 6
const PLAIN_NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i
const MASK = '***'
const SECRET_NAME = /KEY|TOKEN|SECRET|PASS|PWD|AUTH|CREDENTIAL|PRIVATE/i

/**
 * A text in which none of the secrets stands any more, neither as it is nor as JSON or Python would quote it.
 * Values of less than 6 characters, booleans among them, and plain numbers, are no secrets.
 */
export function redact(text: string, secrets: readonly string[]): string {
  const forms = new Set(secrets.flatMap(formsOf))
  if (forms.size === 0) return text
  // The longest first, so that a secret within another leaves no rest of it.
  const alternatives = [...forms].sort((a, b) => b.length - a.length).map(escapeRegExp)
  return text.replace(new RegExp(alternatives.join('|'), 'g'), MASK)
}

/** The values of an environment that are secret by their names, where nothing else says which are. */
export function secretsIn(environment: Readonly<Record<string, string>>): string[] {
  return Object.entries(environment).flatMap(([name, value]) =>
    SECRET_NAME.test(name) && isSecret(value) ? [value] : [],
  )
}

/** A logger whose texts hold none of the secrets. */
export function redactLog(log: Logger, secrets: readonly string[]): Logger {
  if (secrets.length === 0) return log
  const clean = (fields: LogFields = {}): LogFields =>
    Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [
        name,
        typeof value === 'string' ? redact(value, secrets) : value,
      ]),
    )
  return {
    debug: (msg, fields) => {
      log.debug(msg, clean(fields))
    },
    info: (msg, fields) => {
      log.info(msg, clean(fields))
    },
    warn: (msg, fields) => {
      log.warn(msg, clean(fields))
    },
    error: (msg, fields) => {
      log.error(msg, clean(fields))
    },
    critical: (msg, fields) => {
      log.critical(msg, clean(fields))
    },
    child: (fields) => redactLog(log.child(clean(fields)), secrets),
  }
}

/** The ways in which a program is likely to print a value. */
function formsOf(secret: string): string[] {
  const trimmed = secret.trim()
  const lines = trimmed.split(/[\r\n]+/)
  const parts = new Set([secret, trimmed, ...(lines.length > 1 ? lines : [])])
  return [...parts].filter(isSecret).flatMap((part) => {
    const quoted = JSON.stringify(part).slice(1, -1)
    return [
      part,
      quoted,
      quoted.replace(/[^ -~]/g, escapeUnit),
      part.replaceAll('\\', '\\\\').replaceAll("'", "\\'"),
    ]
  })
}

function isSecret(value: string): boolean {
  return Array.from(value).length >= MIN_LENGTH && !PLAIN_NUMBER.test(value.trim())
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}
