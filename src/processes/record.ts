import type { ProcessId } from '../core/process-id.ts'
import type { WorkerState } from '../core/observer.ts'

/** How hard a process has been asked to stop. */
export type Stopping = 'drain' | 'abort'

/** What a running process tells the others about itself. */
export interface ProcessRecord {
  /** As its operator chose it; no other living process of the data folder has it. */
  name: string
  kind: string
  pid: number
  hostname: string
  /** Undefined where the system has none: then pid, host and `seenAt` must do. */
  id?: ProcessId
  /** ISO 8601. */
  startedAt: string
  /** ISO 8601; renewed every SIGN_OF_LIFE_MS at the latest. */
  seenAt: string
  state: WorkerState
  /** What is broken while paused. */
  reason?: string
  stopping?: Stopping
  jobs: JobCounts
  lastError?: LastError
}

export interface JobCounts {
  /** Results stored by this process, by it before this delivery, or by another. */
  done: number
  /** Stored as Failed. */
  failed: number
  /** Under way now. */
  active: number
}

export interface LastError {
  /** ISO 8601. */
  at: string
  message: string
}

/** How often a process gives a sign of life when nothing else changes. */
export const SIGN_OF_LIFE_MS = 20_000

const STATES: ReadonlySet<string> = new Set<WorkerState>([
  'starting',
  'polling',
  'paused',
  'draining',
  'stopped',
])

/** Reads a record that any program may have written; undefined when it is none. */
export function parseRecord(text: string): ProcessRecord | undefined {
  const found = parseObject(text)
  if (found === undefined) return undefined
  const { name, kind, pid, hostname, id, startedAt, seenAt, state, reason, stopping } = found
  const jobs = asObject(found['jobs']) ?? {}
  const lastError = asObject(found['lastError'])
  if (typeof name !== 'string' || name === '' || typeof pid !== 'number' || !Number.isInteger(pid) || pid < 1)
    return undefined
  if (!isTime(startedAt) || !isTime(seenAt) || (id !== undefined && typeof id !== 'string')) return undefined
  return {
    name,
    pid,
    kind: textOf(kind),
    hostname: textOf(hostname),
    ...(id !== undefined && { id }),
    startedAt,
    seenAt,
    state: STATES.has(textOf(state)) ? (state as WorkerState) : 'starting',
    ...(typeof reason === 'string' && { reason }),
    ...((stopping === 'drain' || stopping === 'abort') && { stopping }),
    jobs: {
      done: countOf(jobs['done']),
      failed: countOf(jobs['failed']),
      active: countOf(jobs['active']),
    },
    ...(isTime(lastError?.['at']) && {
      lastError: { at: lastError['at'], message: textOf(lastError['message']) },
    }),
  }
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    return asObject(JSON.parse(text))
  } catch {
    return undefined
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function countOf(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0
}

function isTime(value: unknown): value is string {
  return typeof value === 'string' && !Number.isNaN(Date.parse(value))
}
