import type { Table } from '../app/table.ts'
import { parseSeconds } from '../config/quantities.ts'
import { systemClock } from '../core/clock.ts'
import { EXIT, OperatorError, RetryableError } from '../core/errors.ts'
import { formatJson } from '../core/json.ts'
import { codeExecKey, isFinal, queuedItem } from '../records/code-exec.ts'
import { readRunnerState, runnersOf, type RunnerState } from '../records/runner-state.ts'
import type { Item, Store } from '../stores/store.ts'
import { isCodeGiven, type CodeFlags } from './code-flags.ts'
import { assertNoCodeFlags, codeMessage, readRequest } from './code-message.ts'
import { exitCodeOfItem, printItem, textOf } from './code-result.ts'
import type { Session } from './io.ts'
import { readTextFile } from './read-json.ts'
import { loadSettings, type SettingFlags } from './settings.ts'
import { withTable } from './with-table.ts'

/** What commander makes of the flags of `submit code-exec`. */
export interface SubmitCodeFlags extends CodeFlags, SettingFlags {
  messageFile?: string
  wait?: true
  queueTimeout?: string
  json?: true
}

const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 1000

/** Puts a program on the queue of code-exec and, when asked to, waits for what comes of it. */
export async function submitCode(
  flags: SubmitCodeFlags,
  args: readonly string[],
  session: Session,
): Promise<void> {
  session.json = flags.json === true
  const body = await readMessage(flags, args, session)
  const { id } = readRequest(body, EXIT.usage)
  const queueTimeoutMs = readQueueTimeout(flags)
  const local = flags.local === true
  const settings = await loadSettings(session, flags, () =>
    local ? [] : ['code_exec.queue_url', 'table_name', 'region_name'],
  )
  await withTable({ session, ...settings, local }, async (table, signal) => {
    await place(table, id, body, signal)
    const { stdout } = session.io
    if (flags.wait !== true) {
      stdout.write(flags.json === true ? `${JSON.stringify({ id })}\n` : `${id}\n`)
      return
    }
    const item = await waitForItem(table, id, queueTimeoutMs, signal)
    if (flags.json === true) stdout.write(`${formatJson(new Map(Object.entries(item)))}\n`)
    else printItem(item, session.io)
    session.exitCode = exitCodeOfItem(item)
  })
}

async function readMessage(
  flags: SubmitCodeFlags,
  args: readonly string[],
  session: Session,
): Promise<string> {
  if (flags.messageFile === undefined) return await codeMessage(flags, args, session)
  if (isCodeGiven(flags))
    throw usage('--message-file and a program exclude each other', 'Write everything into the file.')
  assertNoCodeFlags(flags, args)
  return await readTextFile(flags.messageFile, '--message-file', session.io.stdin)
}

function readQueueTimeout({ queueTimeout }: SubmitCodeFlags): number {
  if (queueTimeout === undefined) return Infinity
  const seconds = parseSeconds(queueTimeout)
  if (seconds === undefined || seconds < 0)
    throw usage(`--queue-timeout ${queueTimeout} is no time`, 'Write seconds, such as 30 or 2m.')
  return seconds * 1000
}

/** The item first, so that whoever looks finds it queued; an id that has one is not run again. */
async function place(table: Table, id: string, body: string, signal: AbortSignal): Promise<void> {
  const queue = table.queue('code-exec')
  // Asked first: a job that is stored, but can't be queued, would wait for ever.
  await Promise.all([queue.probe(signal), table.store.probe(signal)])
  const key = codeExecKey(id)
  const known = await table.store.get(key, signal)
  if (known === undefined) {
    await table.store.put([queuedItem(id, new Date())], key)
  } else if (isFinal(known) || known['Status'] !== 'queued') {
    throw new OperatorError(
      `A job with the id ${id} is there already`,
      `its status is ${textOf(known, 'Status')}`,
      'Use another id; `results code-exec ID` shows what came of it.',
    )
  }
  await queue.send(body)
}

/** The item of a job once it has ended. OperatorError when nobody has begun it in time. */
export async function waitForItem(
  { store }: Table,
  id: string,
  queueTimeoutMs: number,
  signal: AbortSignal,
): Promise<Item> {
  const until = systemClock.now() + queueTimeoutMs
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 1.3)) {
    try {
      const item = await store.get(codeExecKey(id), signal)
      if (item !== undefined && isFinal(item)) return item
      if (item?.['Status'] !== 'running' && systemClock.now() >= until) {
        throw await tooManyRequests(store, id, queueTimeoutMs, signal)
      }
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
    }
    await systemClock.sleep(pauseMs, signal)
  }
}

/** Why nobody has begun a job, as far as runners have told. */
async function tooManyRequests(
  store: Store,
  id: string,
  queueTimeoutMs: number,
  signal: AbortSignal,
): Promise<OperatorError> {
  const states: RunnerState[] = []
  for await (const item of store.query(runnersOf('code-exec'), { from: ' ', to: '\u{10ffff}' }, signal)) {
    const state = readRunnerState(item)
    if (state !== undefined && state.state !== 'stopped') states.push(state)
  }
  const paused = states.filter(({ state }) => state === 'paused')
  const why =
    states.length === 0
      ? 'no runner works this queue'
      : paused.length < states.length
        ? 'all runners are busy'
        : paused.map(({ processName, reason }) => `${processName} is paused: ${reason}`).join('; ')
  const hint =
    'It stays queued. Start a runner by `opthub-runner code-exec`, free space on its machine by `opthub-runner prune`, or take the job back by `opthub-runner cancel`.'
  const what = `Too many requests: the job ${id} was not begun within ${queueTimeoutMs / 1000} s`
  return new OperatorError(what, why, hint, EXIT.unavailable)
}

function usage(what: string, hint: string): OperatorError {
  return new OperatorError(what, '', hint, EXIT.usage)
}
