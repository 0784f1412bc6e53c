import { Chalk, type ChalkInstance } from 'chalk'
import {
  EXIT,
  messageOf,
  OperatorError,
  RetryableError,
  StoppedError,
  type Surrounding,
} from '../core/errors.ts'
import { redact } from '../core/redact.ts'
import { escapeControls } from '../core/text.ts'
import { wantsColor, type Session } from './io.ts'

/** An error as a person at the terminal needs it. */
interface Presentation {
  what: string
  why: string
  hint: string
  exitCode: number
}

/** Shows an error on stderr, in the one shape that all have; says the exit code. */
export function presentError(error: unknown, session: Session): number {
  const presentation = explain(error)
  const { io, json, debug, secrets } = session
  const text = json
    ? asJson(presentation)
    : asText(presentation, new Chalk({ level: wantsColor(io.stderr, io.environment) ? 1 : 0 }))
  const lines = debug && error instanceof Error ? [text, traceOf(error)] : [text]
  io.stderr.write(`${redact(lines.join('\n'), secrets)}\n`)
  return presentation.exitCode
}

const NEW_ISSUE = 'https://github.com/opthub-org/opthub-runner/issues'

const HOW_TO_MEND: Record<Surrounding, string> = {
  engine: 'Is Docker running? `docker info` must work for this user.',
  registry: 'Check the network, and the credentials of `docker login`.',
  queue: 'Check the network, the queue URL and endpoint_url.',
  store: 'Check the network, the table name and endpoint_url.',
  credentials: 'Check access_key_id and secret_access_key, or the AWS default chain.',
  disk: 'Free some space: `docker system df` shows what Docker holds.',
  memory: 'Run fewer jobs at a time, or end other programs.',
  matches: 'Check the network.',
  files: 'Check the network, and the address of the file.',
  model: 'Look at the log of its container, or at the server that answers in its place.',
  container: 'Call it again later.',
}

function explain(error: unknown): Presentation {
  if (error instanceof OperatorError) return error
  if (error instanceof StoppedError) {
    return { what: 'Stopped', why: error.message, hint: '', exitCode: EXIT.failedStart }
  }
  if (error instanceof RetryableError) {
    const what = `The ${error.surrounding} is not available`
    return { what, why: error.message, hint: HOW_TO_MEND[error.surrounding], exitCode: EXIT.unavailable }
  }
  return {
    what: 'Something unexpected happened, which is a mistake in this program',
    why: messageOf(error),
    hint: `Please report it at ${NEW_ISSUE}, with what you did and the output under log_level DEBUG.`,
    exitCode: EXIT.failedStart,
  }
}

function asText({ what, why, hint, exitCode }: Presentation, colors: ChalkInstance): string {
  const lines = [`${colors.red('✖')} ${colors.bold(escapeControls(what))}`]
  if (why !== '') lines.push(indent('why', why))
  if (hint !== '') lines.push(indent('fix', hint))
  lines.push(colors.dim(indent('exit', String(exitCode))))
  return lines.join('\n')
}

function indent(label: string, text: string): string {
  return `  ${`${label}:`.padEnd(6)}${escapeControls(text)
    .trim()
    .replaceAll('\n', `\n${' '.repeat(8)}`)}`
}

function asJson({ what, why, hint, exitCode }: Presentation): string {
  return JSON.stringify({
    ts: new Date().toISOString(),
    level: 'CRITICAL',
    msg: what,
    why,
    hint,
    exit_code: exitCode,
  })
}

/** Of each message only the first line: the others of AWS's quote what was signed, session tokens included. */
function traceOf(error: Error): string {
  const [line = ''] = error.message.split('\n', 1)
  const frames = (error.stack ?? '').split('\n').filter((each) => /^ {4}at /.test(each))
  const cause = error.cause instanceof Error ? [`caused by ${traceOf(error.cause)}`] : []
  return [`${error.name}: ${line}`, ...frames, ...cause].join('\n')
}
