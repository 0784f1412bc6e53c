import { currentProcessId, processState } from '../core/process-id.ts'
import { SIGN_OF_LIFE_MS, type ProcessRecord } from './record.ts'

/** What of the system is needed to know and to reach the processes on it. */
export interface ProcessHost {
  /** Of the process that asks. */
  pid: number
  hostname: string
  /** As `process.kill`: throws ESRCH or EPERM; 0 only asks. */
  kill(pid: number, signal: 'SIGTERM' | 0): void
}

/** `elsewhere` = it gives signs of life, but from another machine or container: it can't be reached from here. */
export type Liveness = 'alive' | 'dead' | 'elsewhere'

/** Signs of life may come late on a machine that is busy. */
const LONGEST_SILENCE_MS = 3 * SIGN_OF_LIFE_MS

/** Whether the process that wrote a record still lives. Never takes another process with its pid for it. */
export async function judge(record: ProcessRecord, host: ProcessHost, now: Date): Promise<Liveness> {
  const isFresh = Math.abs(now.getTime() - Date.parse(record.seenAt)) < LONGEST_SILENCE_MS
  const isHere = record.hostname === host.hostname
  const own = await currentProcessId()
  if (record.id !== undefined && own !== undefined) {
    const state = await processState(record.id)
    if (state !== 'unknown') return state
    // The same host with another boot id was started anew, and nothing outlives that.
    if (isHere && bootOf(record.id) !== bootOf(own)) return 'dead'
  } else if (record.id === undefined && own === undefined && isHere) {
    if (!exists(record.pid, host)) return 'dead'
    // Nothing tells a pid that is used again from the old one, save that the old one writes.
    return isFresh ? 'alive' : 'dead'
  }
  return isFresh ? 'elsewhere' : 'dead'
}

function bootOf(id: string): string | undefined {
  return id.split(':', 1)[0]
}

function exists(pid: number, host: ProcessHost): boolean {
  try {
    host.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
