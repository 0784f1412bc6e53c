import type { Clock } from '../core/clock.ts'
import { messageOf, OperatorError } from '../core/errors.ts'
import { readEntry, removeEntry, type ProcessEntry } from './folder.ts'
import { judge, type ProcessHost } from './liveness.ts'
import type { ProcessRecord, Stopping } from './record.ts'
import { describeProcess } from './words.ts'

interface StopOptions {
  host: ProcessHost
  clock: Clock
  /** Ends the waiting, not the process. */
  signal: AbortSignal
}

/** A process says at once that it was asked; one that says nothing for so long is stuck. */
const ANSWER_MS = 15_000
const LOOK_EVERY_MS = 100

/**
 * Asks a process to take no new jobs ('drain'), or to end its running ones at once too ('abort'). What it was asked
 * before is not asked again, since a second signal means more than the first. OperatorError when it can't be asked.
 */
export async function askToStop(entry: ProcessEntry, how: Stopping, options: StopOptions): Promise<void> {
  const record = await lookAgain(entry, options)
  if (record === undefined || record.stopping === 'abort' || record.stopping === how) return
  signalProcess(record, options.host)
  if (how === 'drain') return
  if (record.stopping === undefined) {
    await untilAsked(entry, options)
    await askToStop(entry, 'abort', options)
  }
}

/** Resolves when a process has ended, however that came. */
export async function untilEnded(entry: ProcessEntry, options: StopOptions): Promise<void> {
  while ((await lookAgain(entry, options)) !== undefined) {
    await options.clock.sleep(LOOK_EVERY_MS, options.signal)
  }
}

/** The present record of a process that lives and can be reached; undefined when it has ended. */
async function lookAgain({ path }: ProcessEntry, { host }: StopOptions): Promise<ProcessRecord | undefined> {
  const entry = await readEntry(path)
  if (entry === undefined) return undefined
  const liveness = await judge(entry.record, host, new Date())
  if (liveness === 'elsewhere') throw notReachable(entry.record)
  if (liveness === 'alive') return entry.record
  await removeEntry(path)
  return undefined
}

async function untilAsked(entry: ProcessEntry, options: StopOptions): Promise<void> {
  const { clock, signal } = options
  const end = clock.now() + ANSWER_MS
  for (;;) {
    const record = await lookAgain(entry, options)
    if (record === undefined || record.stopping !== undefined) return
    if (clock.now() > end) {
      throw new OperatorError(
        `The process ${JSON.stringify(record.name)} does not react`,
        `${describeProcess(record)}, was asked to stop ${ANSWER_MS / 1000} seconds ago`,
        `\`kill -9 ${record.pid}\` ends it: its messages come back by themselves, and its containers are removed by the next runner.`,
      )
    }
    await clock.sleep(LOOK_EVERY_MS, signal)
  }
}

function signalProcess(record: ProcessRecord, host: ProcessHost): void {
  try {
    host.kill(record.pid, 'SIGTERM')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    // It has just ended.
    if (code === 'ESRCH') return
    throw new OperatorError(
      `The process ${JSON.stringify(record.name)} can't be stopped`,
      code === 'EPERM' ? `pid ${record.pid} belongs to another user` : messageOf(error),
      'Stop it as the user who started it, or as root.',
    )
  }
}

/** It lives where no signal of ours gets to. */
export function notReachable(record: ProcessRecord): OperatorError {
  return new OperatorError(
    `The process ${JSON.stringify(record.name)} runs elsewhere`,
    `${describeProcess(record)}, is in another container or on another machine; its last sign of life is of ${record.seenAt}`,
    'Stop it there, or choose another name with --process-name.',
  )
}
