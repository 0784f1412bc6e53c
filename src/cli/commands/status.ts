import type { Command } from 'commander'
import type { ListedProcess } from '../../processes/list-processes.ts'
import type { Session } from '../io.ts'

/** The verb `status`. */
export function define(command: Command, session: Session): void {
  command
    .option('--json', 'print a JSON array')
    .addHelpText('after', '\nProcesses that died without a word are shown once as stale, and forgotten.')
    .action(async () => {
      await showStatus(command.opts<{ json?: true }>(), session)
    })
}

async function showStatus(flags: { json?: true }, session: Session): Promise<void> {
  session.json = flags.json === true
  const [{ dataFolder }, { listProcesses }] = await Promise.all([
    import('../../config/paths.ts'),
    import('../../processes/list-processes.ts'),
  ])
  const { io } = session
  const processes = await listProcesses(dataFolder(io.environment, io.platform), io)
  if (flags.json === true) {
    io.stdout.write(`${JSON.stringify(processes.map(asJson), null, 2)}\n`)
    return
  }
  if (processes.length === 0) {
    io.stdout.write('No runner processes on this machine.\n')
    return
  }
  const { renderTable } = await import('../table.ts')
  const columns = [
    { header: 'name', maxWidth: 40 },
    { header: 'pid', align: 'right' as const },
    { header: 'kind' },
    { header: 'state', maxWidth: 40 },
    { header: 'jobs' },
    { header: 'uptime', align: 'right' as const },
    { header: 'last error', maxWidth: 80 },
  ]
  io.stdout.write(`${renderTable(columns, processes.map(asRow))}\n`)
}

function asRow({ record, liveness }: ListedProcess): string[] {
  const { name, pid, kind, jobs, lastError } = record
  const counts = [`${jobs.done} done`, `${jobs.failed} failed`, `${jobs.active} running`]
  return [
    name,
    String(pid),
    kind,
    stateOf({ record, liveness }) + (liveness === 'elsewhere' ? ` (on ${record.hostname})` : ''),
    (liveness === 'dead' ? counts.slice(0, 2) : counts).join(', '),
    liveness === 'dead' ? '-' : formatAge(uptimeSeconds(record.startedAt)),
    lastError === undefined ? '-' : `${formatAge(uptimeSeconds(lastError.at))} ago: ${lastError.message}`,
  ]
}

function asJson({ record, liveness }: ListedProcess): object {
  const { name, pid, kind, hostname, startedAt, seenAt, reason, jobs, lastError } = record
  return {
    name,
    pid,
    kind,
    hostname,
    state: stateOf({ record, liveness }),
    reason: reason ?? null,
    stale: liveness === 'dead',
    reachable: liveness === 'alive',
    started_at: startedAt,
    seen_at: seenAt,
    uptime_seconds: liveness === 'dead' ? null : Math.round(uptimeSeconds(startedAt)),
    jobs,
    last_error: lastError === undefined ? null : { at: lastError.at, message: lastError.message },
  }
}

function stateOf({ record, liveness }: Pick<ListedProcess, 'record' | 'liveness'>): string {
  if (liveness === 'dead') return 'stale'
  if (record.stopping !== undefined) return record.stopping === 'abort' ? 'aborting' : 'draining'
  return record.state
}

function uptimeSeconds(since: string): number {
  return Math.max(0, (Date.now() - Date.parse(since)) / 1000)
}

/** `12 s`, `5 min`, `3 h 20 min`, `4 d 2 h`. */
function formatAge(seconds: number): string {
  const minutes = Math.floor(seconds / 60)
  const hours = Math.floor(minutes / 60)
  if (minutes < 1) return `${Math.floor(seconds)} s`
  if (hours < 1) return `${minutes} min`
  if (hours < 24) return `${hours} h ${minutes % 60} min`
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}
