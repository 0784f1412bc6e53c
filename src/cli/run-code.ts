import { openSandbox } from '../app/code-exec.ts'
import { systemClock } from '../core/clock.ts'
import { OperatorError, RetryableError, UnfitError, type Surrounding } from '../core/errors.ts'
import { formatJson } from '../core/json.ts'
import { Timeline } from '../core/timeline.ts'
import { ImageError } from '../executors/executor.ts'
import { runCodeExec } from '../kinds/code-exec/execute.ts'
import type { CodeExecRequest } from '../kinds/code-exec/message.ts'
import { finishedItem, type CodeExecOutcome } from '../records/code-exec.ts'
import { formatTime } from '../records/result.ts'
import type { CodeFlags } from './code-flags.ts'
import { codeMessage, readRequest } from './code-message.ts'
import { CODE_EXIT, exitCodeOf } from './code-result.ts'
import { writer, type Session } from './io.ts'
import { createPlainLog, quietLevel } from './logging.ts'
import { loadSettings, warningFields, type SettingFlags } from './settings.ts'
import { watchCall } from './signals.ts'

export interface RunCodeFlags extends CodeFlags, SettingFlags {
  json?: true
}

const HOW_TO_GO_ON: Partial<Record<Surrounding, string>> = {
  engine: 'Is Docker running? `opthub-runner doctor` tells more.',
  registry:
    'The image must be on this machine: get it by `docker pull` or `docker load`; in a clone `npm run languages` makes those of Python, Node and bash without a registry.',
}

/** Runs a program here and now, without queue or table: its output is ours, and its exit code. */
export async function runCode(
  flags: RunCodeFlags,
  args: readonly string[],
  session: Session,
): Promise<number> {
  const { io } = session
  const request = readRequest(await codeMessage(flags, args, session), CODE_EXIT.ours)
  const { config, warnings, dataDir } = await loadSettings(session, flags, () => [])
  const log = createPlainLog(session, quietLevel(config.log_level))
  for (const warning of warnings) log.warn('Doubtful setting', warningFields(warning))

  const watch = watchCall(io)
  const writers = { stdout: writer(io.stdout), stderr: writer(io.stderr) }
  const timeline = new Timeline(systemClock)
  const createdAt = new Date()
  try {
    // Whoever sits here is the operator: the flag is the permission.
    if (flags.allowInternet === true) config.code_exec.allow_internet = true
    if (flags.image !== undefined) config.code_exec.allow_images = true
    const sandbox = await openSandbox({ config, environment: io.environment, dataDir, log })
    try {
      await sandbox.assertRoom(watch.signal).catch(tooManyRequests)
      if (request.allowInternet) await sandbox.assertInternet(watch.signal)
      const outcome = await runCodeExec(request, sandbox.engine, {
        signal: watch.signal,
        log,
        timeline,
        ...(flags.json === true ? {} : { onOutput: ({ stream, data }) => writers[stream](data) }),
      })
      if (flags.json === true) io.stdout.write(resultLine(request, outcome, timeline, createdAt))
      return finish(outcome, session)
    } finally {
      await sandbox.close()
    }
  } catch (error) {
    const endedBy = watch.exitCode()
    if (endedBy === undefined) throw explain(error)
    return endedBy
  } finally {
    watch.dispose()
  }
}

/** The whole result in one line: what a queue's runner would store, without what only that needs. */
function resultLine(
  { id, metadata }: CodeExecRequest,
  outcome: CodeExecOutcome,
  { startedAt }: Timeline,
  createdAt: Date,
): string {
  const finishedAt = new Date()
  const run = {
    ...{ id, metadata, startedAt, finishedAt, attempt: 1, token: '', queueMs: null },
    prepareMs: (startedAt ?? finishedAt).getTime() - createdAt.getTime(),
    createdAt: formatTime(createdAt),
  }
  const item = new Map(Object.entries(finishedItem(run, outcome)))
  item.delete('Token')
  return `${formatJson(item)}\n`
}

/** The program's own, unless something else ended it; that is said on stderr. */
function finish(outcome: CodeExecOutcome, session: Session): number {
  const { status, exitCode, errorMessage, stderr } = outcome
  if (status === 'rejected') throw refusal(errorMessage ?? 'it can not be run')
  if (!session.json) {
    if (status === 'compile_error') session.io.stderr.write(stderr.bytes)
    const text = explanation(outcome)
    if (text !== undefined) session.io.stderr.write(`opthub-runner: ${text}\n`)
  }
  return exitCodeOf(status, exitCode)
}

/** Why it ended; undefined when it did so by itself. */
function explanation({ status, signal, errorMessage, limits }: CodeExecOutcome): string | undefined {
  switch (status) {
    case 'signaled':
      return `the program died by ${signal ?? 'a signal'}`
    case 'compile_error':
      return errorMessage ?? 'the program could not be compiled'
    case 'time_limit_exceeded':
      return `the program was killed: ${errorMessage ?? `it worked longer than ${(limits?.['wall_time_ms'] ?? 0) / 1000} s`}`
    case 'memory_limit_exceeded':
      return `the program was killed: it used more memory than ${limits?.['memory_bytes'] ?? 0} bytes`
    case 'output_limit_exceeded':
      return `the program was killed: it printed more than ${limits?.['output_bytes'] ?? 0} bytes`
    case 'file_error':
      return errorMessage ?? 'a wanted file is not there'
    default:
      return undefined
  }
}

function refusal(why: string): OperatorError {
  return new OperatorError(
    'The program is not run',
    why,
    'Mend that, and call it again; no program was started.',
    CODE_EXIT.ours,
  )
}

/** A machine that has no room now says so before it is asked for more. */
function tooManyRequests(error: unknown): never {
  if (!(error instanceof RetryableError) || !['disk', 'memory'].includes(error.surrounding)) throw error
  const hint = 'Free some: `opthub-runner prune` removes what runners made or pulled. Or call it again later.'
  throw new OperatorError(
    'Too many requests: this machine has no room for another job',
    error.message,
    hint,
    CODE_EXIT.ours,
    {
      cause: error,
    },
  )
}

function explain(error: unknown): unknown {
  if (error instanceof UnfitError) {
    const hint = 'Ask for less, or run it on another machine.'
    return new OperatorError("This machine can't run it", error.message, hint, CODE_EXIT.ours, {
      cause: error,
    })
  }
  if (error instanceof ImageError) {
    const hint = 'See docs/kinds/code-exec.md for how to get the images of languages, without a registry too.'
    return new OperatorError('The program can not be run', error.message, hint, CODE_EXIT.ours, {
      cause: error,
    })
  }
  if (error instanceof RetryableError) {
    const hint = HOW_TO_GO_ON[error.surrounding] ?? 'Call it again later.'
    return new OperatorError('The program could not be run', error.message, hint, CODE_EXIT.ours, {
      cause: error,
    })
  }
  if (error instanceof OperatorError)
    return new OperatorError(error.what, error.why, error.hint, CODE_EXIT.ours, { cause: error })
  return error
}
