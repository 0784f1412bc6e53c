import { formatJson } from '../core/json.ts'
import { assertNoCallFlags, inferenceMessage, readCall } from './inference-message.ts'
import type { CallFlags } from './inference-flags.ts'
import { printAnswer } from './inference-result.ts'
import type { Session } from './io.ts'
import { INFERENCE_JOBS, placeJob, readQueueTimeout, waitForJob } from './queued-job.ts'
import { readTextFile } from './read-json.ts'
import { loadSettings, type SettingFlags } from './settings.ts'
import { withTable } from './with-table.ts'

/** What commander makes of the flags of `submit inference`. */
export interface SubmitCallFlags extends CallFlags, SettingFlags {
  messageFile?: string
  wait?: true
  queueTimeout?: string
  json?: true
}

/** Puts a call of a model on the queue and, when asked to, waits for its answer. */
export async function submitCall(
  flags: SubmitCallFlags,
  args: readonly string[],
  session: Session,
): Promise<void> {
  session.json = flags.json === true
  const body = await readMessage(flags, args, session)
  const { id } = readCall(body)
  const queueTimeoutMs = readQueueTimeout(flags.queueTimeout)
  const local = flags.local === true
  const settings = await loadSettings(session, flags, () =>
    local ? [] : ['inference.queue_url', 'table_name', 'region_name'],
  )
  await withTable({ session, ...settings, local }, async (table, signal) => {
    await placeJob(table, INFERENCE_JOBS, id, body, signal)
    const { stdout } = session.io
    if (flags.wait !== true) {
      stdout.write(flags.json === true ? `${JSON.stringify({ id })}\n` : `${id}\n`)
      return
    }
    const item = await waitForJob(table, INFERENCE_JOBS, id, queueTimeoutMs, signal)
    if (flags.json === true) {
      stdout.write(`${formatJson(new Map(Object.entries(item)))}\n`)
      session.exitCode = item['Status'] === 'succeeded' ? 0 : 1
    } else session.exitCode = printAnswer(item, session.io)
  })
}

async function readMessage(
  flags: SubmitCallFlags,
  args: readonly string[],
  session: Session,
): Promise<string> {
  if (flags.messageFile === undefined) return await inferenceMessage(flags, args, session)
  assertNoCallFlags(flags, args)
  return await readTextFile(flags.messageFile, '--message-file', session.io.stdin)
}
