import type { Command } from 'commander'
import { EXIT, OperatorError } from '../../core/errors.ts'
import type { Session } from '../io.ts'
import { addConfigFlags, addLocalFlag, loadSettings, type SettingFlags } from '../settings.ts'

interface CancelFlags extends SettingFlags {
  json?: true
}

/** The verb `cancel`. */
export function define(command: Command, session: Session): void {
  command.argument('<id>', 'the id that submit has printed')
  addLocalFlag(addConfigFlags(command))
    .option('--json', 'print one line of JSON')
    .action(async (id: string) => {
      await cancel(id, command.opts<CancelFlags>(), session)
    })
}

async function cancel(id: string, flags: CancelFlags, session: Session): Promise<void> {
  session.json = flags.json === true
  if (!/^[A-Za-z0-9._:-]{1,128}$/.test(id)) {
    const hint =
      'Give the id that submit has printed: 1 to 128 letters, digits, dots, underscores, colons and dashes.'
    throw new OperatorError(`${JSON.stringify(id)} is no id of a job`, '', hint, EXIT.usage)
  }
  const local = flags.local === true
  const settings = await loadSettings(session, flags, () => (local ? [] : ['table_name', 'region_name']))
  const [{ withTable }, { cancelJob }] = await Promise.all([
    import('../with-table.ts'),
    import('../cancel-job.ts'),
  ])
  await withTable({ session, ...settings, local }, async ({ store }, signal) => {
    const { canceled, said } = await cancelJob(store, id, signal)
    if (!canceled) session.exitCode = EXIT.failedStart
    session.io.stdout.write(flags.json === true ? `${JSON.stringify({ id, canceled })}\n` : `${said}\n`)
  })
}
