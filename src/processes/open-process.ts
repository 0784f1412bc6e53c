import { systemClock, type Clock } from '../core/clock.ts'
import { messageOf, OperatorError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import { currentProcessId } from '../core/process-id.ts'
import { newPath, readEntries, readEntry, removeEntry, writeEntry, type ProcessEntry } from './folder.ts'
import { judge, type ProcessHost } from './liveness.ts'
import type { ProcessRecord } from './record.ts'
import { RunningProcess } from './running-process.ts'
import { askToStop, notReachable, untilEnded } from './stop-process.ts'
import { describeProcess, quoteName } from './words.ts'

export interface OpenProcessOptions {
  dataDir: string
  name: string
  kind: string
  /** Ask a living owner of the name to stop, and wait for its end. */
  force: boolean
  host: ProcessHost
  log: Logger
  /** Ends the waiting for another process. */
  signal: AbortSignal
  /** Aborted when this process is asked to drain and to abort: shown to others. */
  stop?: { drain: AbortSignal; abort: AbortSignal }
  /** What must not be shown in an error. */
  secrets?: readonly string[]
  clock?: Clock
}

const MOST_CONTESTS = 30
const LOOK_EVERY_MS = 1000

/**
 * Enters this process into the data folder under its name. Throws OperatorError when another living process has the
 * name; the record of a dead one is removed. Of several that start at once with one name, one gets it. A folder that
 * can't be written only costs what `status` shows.
 */
export async function openProcess(options: OpenProcessOptions): Promise<RunningProcess> {
  const { dataDir, name, host, log, signal, stop, secrets = [] } = options
  const path = newPath(dataDir, name, host.pid)
  const record = await newRecord(options)
  try {
    await enter(path, record, options)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof OperatorError) throw error
    log.warn('This process can be neither shown by `status` nor ended by `stop`', { error: messageOf(error) })
  }
  const running = new RunningProcess(path, record, log, secrets)
  stop?.drain.addEventListener('abort', () => {
    running.stopping(stop.abort.aborted ? 'abort' : 'drain')
  })
  stop?.abort.addEventListener('abort', () => {
    running.stopping('abort')
  })
  return running
}

async function enter(path: string, record: ProcessRecord, options: OpenProcessOptions): Promise<void> {
  const { signal, clock = systemClock } = options
  let contests = 0
  for (;;) {
    signal.throwIfAborted()
    const owner = await livingOwner(options)
    if (owner !== undefined) {
      await makeWay(owner, options)
      continue
    }
    await writeEntry(path, record)
    // Who enters at the same time sees us, or we see them, or both: then both step back.
    const other = await livingOwner(options, path)
    if (other === undefined) return
    await removeEntry(path)
    contests += 1
    if (contests > MOST_CONTESTS) throw inUse(other)
    await clock.sleep(20 + Math.random() * 100, signal)
  }
}

async function newRecord({ name, kind, host }: OpenProcessOptions): Promise<ProcessRecord> {
  const id = await currentProcessId()
  const now = new Date().toISOString()
  return {
    name,
    kind,
    pid: host.pid,
    hostname: host.hostname,
    ...(id !== undefined && { id }),
    startedAt: now,
    seenAt: now,
    state: 'starting',
    jobs: { done: 0, failed: 0, active: 0 },
  }
}

/** Another living process of this name; what dead ones have left is removed. */
async function livingOwner(options: OpenProcessOptions, own?: string): Promise<ProcessEntry | undefined> {
  const { dataDir, name, host, log, clock = systemClock } = options
  for (const entry of await readEntries(dataDir, name)) {
    if (entry.path === own) continue
    const { record } = entry
    if ((await judge(record, host, clock.date())) !== 'dead') return entry
    log.info('Took over the name of a process that is dead', { process_name: name, dead_pid: record.pid })
    // Its file bears a name of its own, so nobody else's can be meant.
    await removeEntry(entry.path)
  }
  return undefined
}

/** Returns when the owner has ended. */
async function makeWay(owner: ProcessEntry, options: OpenProcessOptions): Promise<void> {
  const { force, host, log, signal, clock = systemClock } = options
  const { record } = owner
  if ((await judge(record, host, clock.date())) === 'elsewhere') {
    await untilSilent(owner, options)
    return
  }
  if (!force) throw inUse(owner)
  log.warn('Asking the process that has this name to stop, and waiting for its jobs', {
    process_name: record.name,
    owner_pid: record.pid,
    jobs: record.jobs.active,
  })
  await askToStop(owner, 'drain', { host, clock, signal })
  await untilEnded(owner, { host, clock, signal })
}

/**
 * Returns when a process that can't be reached is gone, or has been silent for long enough: it may have been killed
 * together with its container a moment ago. OperatorError as soon as it gives a sign of life.
 */
async function untilSilent({ path, record }: ProcessEntry, options: OpenProcessOptions): Promise<void> {
  const { host, log, signal, clock = systemClock } = options
  log.warn(
    'Waiting whether the process that has this name still lives: it ran in a container or on a machine of its own',
    {
      process_name: record.name,
      owner_host: record.hostname,
      last_seen: record.seenAt,
    },
  )
  for (;;) {
    await clock.sleep(LOOK_EVERY_MS, signal)
    const entry = await readEntry(path)
    if (entry === undefined) return
    if (entry.record.seenAt !== record.seenAt) throw notReachable(entry.record)
    if ((await judge(record, host, clock.date())) === 'dead') return
  }
}

function inUse({ record }: ProcessEntry): OperatorError {
  return new OperatorError(
    `The process name ${JSON.stringify(record.name)} is in use`,
    `${describeProcess(record)} has it`,
    `Stop it with \`opthub-runner stop ${quoteName(record.name)}\`, choose another name with --process-name, or set force: true in the config file to take its place.`,
  )
}
