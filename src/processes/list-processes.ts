import { nearest } from '../core/nearest.ts'
import { OperatorError } from '../core/errors.ts'
import { readEntries, removeEntry, type ProcessEntry } from './folder.ts'
import { judge, type Liveness, type ProcessHost } from './liveness.ts'

export interface ListedProcess extends ProcessEntry {
  liveness: Liveness
}

/** All processes of the data folder, by name. Dead ones are among them once more, and are removed. */
export async function listProcesses(dataDir: string, host: ProcessHost): Promise<ListedProcess[]> {
  const listed: ListedProcess[] = []
  for (const entry of await readEntries(dataDir)) {
    const liveness = await judge(entry.record, host, new Date())
    if (liveness === 'dead') await removeEntry(entry.path)
    listed.push({ ...entry, liveness })
  }
  return listed.sort(({ record: a }, { record: b }) => compare(a.name, b.name) || a.pid - b.pid)
}

/** The process of this name, dead or alive; OperatorError with the nearest name when there is none. */
export async function findProcess(dataDir: string, host: ProcessHost, name: string): Promise<ListedProcess> {
  const all = await listProcesses(dataDir, host)
  const named = all.filter(({ record }) => record.name === name)
  const found = named.find(({ liveness }) => liveness !== 'dead') ?? named[0]
  if (found !== undefined) return found
  const names = all.filter(({ liveness }) => liveness !== 'dead').map(({ record }) => record.name)
  const meant = nearest(name, names)
  const hint = meant === undefined ? '' : `Did you mean ${JSON.stringify(meant)}? `
  throw new OperatorError(
    `There is no process named ${JSON.stringify(name)}`,
    names.length === 0 ? 'no runner of this data folder runs' : `those that run are ${names.join(', ')}`,
    `${hint}\`opthub-runner status\` lists them.`,
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
