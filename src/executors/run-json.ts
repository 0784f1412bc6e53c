import { JobError, type JobErrorCode } from '../core/errors.ts'
import { ExactNumber } from '../core/exact-number.ts'
import {
  formatJson,
  isJsonObject,
  JsonSyntaxError,
  parseJson,
  type Json,
  type JsonObject,
} from '../core/json.ts'
import type { Logger } from '../core/log.ts'
import { escapeControls, tailLines } from '../core/text.ts'
import type { RunResult } from './run-task.ts'

/** A result object that does not have the shape its kind asks for; the message is one sentence for the participant. */
export class SchemaViolation extends Error {
  override readonly name = 'SchemaViolation'
}

export interface ParseOptions<T> {
  /** Fail a run whose exit code is not 0, even when its last line fits. */
  strictExit: boolean
  /** The bounds that the run had, for the sentences that name them. */
  timeoutMs: number
  maxLineBytes: number
  maxTotalBytes: number
  /** Checks and converts the result object; throws SchemaViolation. */
  schema: (object: JsonObject) => T
  log: Logger
}

/** Lines of stderr that the admin sees beside a failure. */
const STDERR_LINES = 50
/** A last line that is no result is shown to the admin up to this length, and else not at all. */
const SHOWN_LINE_BYTES = 2000

/**
 * What a run printed, as the value its kind wants: the last line that is not empty, a JSON object. Everything else
 * is a JobError, whose public message is one sentence and whose detail adds the last lines of stderr.
 */
export function parseResult<T>(run: RunResult, options: ParseOptions<T>): T {
  assertRanToItsEnd(run, options)
  const outcome = readLine(run, options)
  if ('reported' in outcome) {
    throw failure(run, 'image_reported_error', outcome.reported)
  }
  if (run.exitCode === 0) {
    if ('value' in outcome) return outcome.value
    throw failure(run, outcome.code, outcome.problem)
  }
  if ('value' in outcome && !options.strictExit) {
    options.log.warn('The image printed a result, but its exit code is not 0', { exit_code: run.exitCode })
    return outcome.value
  }
  const why = 'value' in outcome ? 'a result counts only with exit code 0 here' : outcome.problem
  throw failure(run, 'nonzero_exit', `The program exited with code ${run.exitCode}: ${lowerFirst(why)}`)
}

/** What the last line says, before the exit code is looked at. */
type LineOutcome<T> =
  | { value: T }
  | { reported: string }
  | { problem: string; code: 'no_result' | 'invalid_result' | 'output_too_large' | 'unstorable_result' }

function assertRanToItsEnd<T>(run: RunResult, { timeoutMs, maxTotalBytes }: ParseOptions<T>): void {
  switch (run.verdict) {
    case 'exited':
      return
    case 'timeout':
      throw failure(run, 'timeout', `The program did not end within ${timeoutMs / 1000} s.`)
    case 'flood':
      throw failure(run, 'output_too_large', `The program printed more than ${maxTotalBytes} bytes.`)
    case 'out_of_memory':
      throw failure(run, 'out_of_memory', 'The program ran out of memory.')
  }
}

function readLine<T>({ lastLine }: RunResult, { maxLineBytes, schema }: ParseOptions<T>): LineOutcome<T> {
  if (lastLine.state === 'none') return { code: 'no_result', problem: 'The program printed no result.' }
  if (lastLine.state === 'too_long') {
    const problem = `The last line of the output is longer than ${maxLineBytes} bytes.`
    return { code: 'output_too_large', problem }
  }
  try {
    const object = readObject(lastLine.bytes)
    const error = object.get('error') ?? null
    if (error !== null) return { reported: toText(error) }
    return { value: schema(object) }
  } catch (error) {
    if (error instanceof SchemaViolation) return { code: 'invalid_result', problem: error.message }
    if (!(error instanceof JsonSyntaxError)) throw error
    if (error.reason === 'too_deep') {
      return { code: 'unstorable_result', problem: `result cannot be stored: ${error.message}` }
    }
    const problem = `The last line of the output is not valid JSON: ${error.message}.`
    return { code: 'invalid_result', problem }
  }
}

/** Throws JsonSyntaxError or SchemaViolation. */
function readObject(bytes: Uint8Array): JsonObject {
  const value = parseJson(decodeUtf8(bytes))
  if (!isJsonObject(value)) throw new SchemaViolation('The last line of the output is not a JSON object.')
  return value
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (error) {
    throw new SchemaViolation('The last line of the output is not valid UTF-8.', { cause: error })
  }
}

function failure(run: RunResult, code: JobErrorCode, publicMessage: string): JobError {
  const headline =
    code === 'image_reported_error' ? `The image reported an error: ${publicMessage}` : publicMessage
  return new JobError(code, publicMessage, [headline, ...evidence(run, code)].join('\n\n'))
}

/** For the admin only. The line is shown whole or not at all: what is to be hidden in it must not be cut in half. */
function evidence({ lastLine, exitCode, verdict, stderrTail }: RunResult, code: JobErrorCode): string[] {
  const parts: string[] = []
  if (verdict === 'exited' && code !== 'nonzero_exit') parts.push(`Exit code: ${exitCode}`)
  if (
    lastLine.state === 'line' &&
    code !== 'image_reported_error' &&
    lastLine.bytes.length <= SHOWN_LINE_BYTES
  ) {
    parts.push(`Last line of the output:\n${escapeControls(new TextDecoder().decode(lastLine.bytes))}`)
  }
  const stderr = tailLines(stderrTail, STDERR_LINES)
  if (stderr !== '') parts.push(`Last lines of stderr:\n${stderr}`)
  return parts
}

/** A text as it is, everything else as its JSON; NaN has none but its name. */
function toText(error: NonNullable<Json>): string {
  if (typeof error === 'string') return error
  return error instanceof ExactNumber ? error.text : formatJson(error)
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1)
}
