import { openTable, type Table } from '../app/table.ts'
import { EXIT, StoppedError } from '../core/errors.ts'
import { createStop } from '../core/stop.ts'
import { watchSignals } from './signals.ts'
import { createPlainLog, quietLevel } from './logging.ts'
import type { Session } from './io.ts'
import { warningFields, type Settings } from './settings.ts'

interface TableCall extends Settings {
  session: Session
  local: boolean
}

/** Opens the table, does `work`, and closes it again. A signal ends the work, with the exit code that shells expect. */
export async function withTable(
  { session, config, warnings, dataDir, keys, local }: TableCall,
  work: (table: Table, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { io } = session
  const log = createPlainLog(session, quietLevel(config.log_level))
  for (const warning of warnings) log.warn('Doubtful setting', warningFields(warning))
  const stop = createStop({ graceMs: 0 })
  const signals = watchSignals(io, stop, log)
  try {
    const table = await openTable({ config, local, dataDir, keys, log })
    try {
      await work(table, stop.drain)
    } finally {
      await table.close()
    }
  } catch (error) {
    if (!stop.drain.aborted) throw error
    session.exitCode = signals.exitCode() ?? EXIT.failedStart
    if (!(error instanceof StoppedError)) log.debug('Ended while stopping', { error })
  } finally {
    signals.dispose()
  }
}
