import { EXIT, OperatorError } from '../core/errors.ts'
import { formatJson } from '../core/json.ts'
import { codeExecKey, isFinal } from '../records/code-exec.ts'
import { exitCodeOfItem, printItem, textOf } from './code-result.ts'
import type { Session } from './io.ts'
import { loadSettings, type SettingFlags } from './settings.ts'
import { CODE_JOBS, waitForJob } from './queued-job.ts'
import { withTable } from './with-table.ts'

/** What commander makes of the flags of `results code-exec`. */
export interface ShowCodeFlags extends SettingFlags {
  watch?: true
  json?: true
}

/** Shows the one item of a job of code, with the program's own exit code. */
export async function showCode(id: string, flags: ShowCodeFlags, session: Session): Promise<void> {
  session.json = flags.json === true
  const local = flags.local === true
  const settings = await loadSettings(session, flags, () => (local ? [] : ['table_name', 'region_name']))
  await withTable({ session, ...settings, local }, async (table, signal) => {
    const found = await table.store.get(codeExecKey(id), signal)
    if (found === undefined) {
      const hint = 'Give the id that submit has printed; look into the same table.'
      throw new OperatorError(`There is no job ${JSON.stringify(id)}`, '', hint, EXIT.failedStart)
    }
    const item = flags.watch === true ? await waitForJob(table, CODE_JOBS, id, Infinity, signal) : found
    const { stdout } = session.io
    if (flags.json === true) stdout.write(`${formatJson(new Map(Object.entries(item)))}\n`)
    else if (isFinal(item)) printItem(item, session.io)
    else stdout.write(`${id} is ${textOf(item, 'Status')}\n`)
    if (isFinal(item)) session.exitCode = exitCodeOfItem(item)
  })
}
