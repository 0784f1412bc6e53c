import { parseBytes, parseSeconds } from '../config/quantities.ts'
import { EXIT, OperatorError } from '../core/errors.ts'

/** A mistake on the command line. */
export function usage(what: string, hint: string): OperatorError {
  return new OperatorError(what, '', hint, EXIT.usage)
}

/** Seconds above 0 of --timeout. OperatorError for what is no time. */
export function timeoutOf(text: string): number {
  const seconds = parseSeconds(text)
  if (seconds !== undefined && seconds > 0) return seconds
  throw usage(`--timeout ${text} is no time`, 'Write seconds, such as 10 or 2m.')
}

/** Bytes above 0 of --memory. OperatorError for what is no size. */
export function memoryOf(text: string): number {
  const bytes = parseBytes(text)
  if (bytes !== undefined && bytes > 0) return bytes
  throw usage(`--memory ${text} is no size`, 'Write one such as 512m or 2g.')
}

/** Name and value of --env NAME=VALUE. OperatorError for what has no value. */
export function environmentEntryOf(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw usage(`--env ${text.slice(0, 40)} has no value`, 'Write NAME=VALUE.')
  return [text.slice(0, at), text.slice(at + 1)]
}
