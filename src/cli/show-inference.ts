import { EXIT, OperatorError } from '../core/errors.ts'
import { formatJson } from '../core/json.ts'
import { inferenceKey, isFinalInference } from '../records/inference.ts'
import { textOf } from './code-result.ts'
import { printAnswer } from './inference-result.ts'
import type { Session } from './io.ts'
import { INFERENCE_JOBS, waitForJob } from './queued-job.ts'
import type { ShowCodeFlags } from './show-code.ts'
import { loadSettings } from './settings.ts'
import { withTable } from './with-table.ts'

/** Shows the one item of a call of a model. */
export async function showCall(id: string, flags: ShowCodeFlags, session: Session): Promise<void> {
  session.json = flags.json === true
  const local = flags.local === true
  const settings = await loadSettings(session, flags, () => (local ? [] : ['table_name', 'region_name']))
  await withTable({ session, ...settings, local }, async (table, signal) => {
    const found = await table.store.get(inferenceKey(id), signal)
    if (found === undefined) {
      const hint = 'Give the id that submit has printed; look into the same table.'
      throw new OperatorError(`There is no job ${JSON.stringify(id)}`, '', hint, EXIT.failedStart)
    }
    const item = flags.watch === true ? await waitForJob(table, INFERENCE_JOBS, id, Infinity, signal) : found
    const { stdout } = session.io
    if (flags.json === true) {
      stdout.write(`${formatJson(new Map(Object.entries(item)))}\n`)
      if (isFinalInference(item) && item['Status'] !== 'succeeded') session.exitCode = EXIT.failedStart
    } else if (isFinalInference(item)) session.exitCode = printAnswer(item, session.io)
    else stdout.write(`${id} is ${textOf(item, 'Status')}\n`)
  })
}
