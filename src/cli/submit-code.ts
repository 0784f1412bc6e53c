import { EXIT } from '../core/errors.ts'
import { formatJson } from '../core/json.ts'
import { isCodeGiven, type CodeFlags } from './code-flags.ts'
import { assertNoCodeFlags, codeMessage, readRequest } from './code-message.ts'
import { exitCodeOfItem, printItem } from './code-result.ts'
import { usage } from './flag-values.ts'
import type { Session } from './io.ts'
import { CODE_JOBS, placeJob, readQueueTimeout, waitForJob } from './queued-job.ts'
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

/** Puts a program on the queue of code-exec and, when asked to, waits for what comes of it. */
export async function submitCode(
  flags: SubmitCodeFlags,
  args: readonly string[],
  session: Session,
): Promise<void> {
  session.json = flags.json === true
  const body = await readMessage(flags, args, session)
  const { id } = readRequest(body, EXIT.usage)
  const queueTimeoutMs = readQueueTimeout(flags.queueTimeout)
  const local = flags.local === true
  const settings = await loadSettings(session, flags, () =>
    local ? [] : ['code_exec.queue_url', 'table_name', 'region_name'],
  )
  await withTable({ session, ...settings, local }, async (table, signal) => {
    await placeJob(table, CODE_JOBS, id, body, signal)
    const { stdout } = session.io
    if (flags.wait !== true) {
      stdout.write(flags.json === true ? `${JSON.stringify({ id })}\n` : `${id}\n`)
      return
    }
    const item = await waitForJob(table, CODE_JOBS, id, queueTimeoutMs, signal)
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
