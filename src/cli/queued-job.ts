import type { Table } from '../app/table.ts'
import { parseSeconds } from '../config/quantities.ts'
import { systemClock } from '../core/clock.ts'
import { EXIT, OperatorError, RetryableError } from '../core/errors.ts'
import { codeExecKey, isFinal, queuedItem } from '../records/code-exec.ts'
import { inferenceKey, isFinalInference, queuedInference } from '../records/inference.ts'
import { readRunnerState, runnersOf, type RunnerState } from '../records/runner-state.ts'
import type { Item, Key, Store } from '../stores/store.ts'
import { textOf } from './code-result.ts'

/** A kind whose jobs have one item each, which tells how far they are. */
export interface JobSort {
  kind: 'code-exec' | 'inference'
  key: (id: string) => Key
  /** The item of a job that nobody has begun. */
  queued: (id: string, createdAt: Date) => Item
  isFinal: (item: Item) => boolean
  isBegun: (item: Item | undefined) => boolean
}

export const CODE_JOBS: JobSort = {
  kind: 'code-exec',
  key: codeExecKey,
  queued: queuedItem,
  isFinal,
  isBegun: (item) => item?.['Status'] === 'running',
}

export const INFERENCE_JOBS: JobSort = {
  kind: 'inference',
  key: inferenceKey,
  queued: queuedInference,
  isFinal: isFinalInference,
  isBegun: (item) => item?.['Status'] === 'starting' || item?.['Status'] === 'processing',
}

const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 1000

/** Milliseconds that a job may stay unbegun; Infinity where the flag says nothing. */
export function readQueueTimeout(queueTimeout: string | undefined): number {
  if (queueTimeout === undefined) return Infinity
  const seconds = parseSeconds(queueTimeout)
  if (seconds === undefined || seconds < 0)
    throw new OperatorError(
      `--queue-timeout ${queueTimeout} is no time`,
      '',
      'Write seconds, such as 30 or 2m.',
      EXIT.usage,
    )
  return seconds * 1000
}

/** The item first, so that whoever looks finds it queued; an id that has one is not run again. */
export async function placeJob(
  table: Table,
  sort: JobSort,
  id: string,
  body: string,
  signal: AbortSignal,
): Promise<void> {
  const queue = table.queue(sort.kind)
  // Asked first: a job that is stored, but can't be queued, would wait for ever.
  await Promise.all([queue.probe(signal), table.store.probe(signal)])
  const key = sort.key(id)
  const known = await table.store.get(key, signal)
  if (known === undefined) {
    await table.store.put([sort.queued(id, new Date())], key)
  } else if (sort.isFinal(known) || known['Status'] !== 'queued') {
    throw new OperatorError(
      `A job with the id ${id} is there already`,
      `its status is ${textOf(known, 'Status')}`,
      `Use another id; \`results ${sort.kind} ID\` shows what came of it.`,
    )
  }
  await queue.send(body)
}

/** The item of a job once it has ended. OperatorError when nobody has begun it in time. */
export async function waitForJob(
  { store }: Table,
  sort: JobSort,
  id: string,
  queueTimeoutMs: number,
  signal: AbortSignal,
): Promise<Item> {
  const until = systemClock.now() + queueTimeoutMs
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 1.3)) {
    try {
      const item = await store.get(sort.key(id), signal)
      if (item !== undefined && sort.isFinal(item)) return item
      if (!sort.isBegun(item) && systemClock.now() >= until) {
        throw await tooManyRequests(store, sort, id, queueTimeoutMs, signal)
      }
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
    }
    await systemClock.sleep(pauseMs, signal)
  }
}

/** Why nobody has begun a job, as far as runners have told. */
async function tooManyRequests(
  store: Store,
  { kind }: JobSort,
  id: string,
  queueTimeoutMs: number,
  signal: AbortSignal,
): Promise<OperatorError> {
  const states: RunnerState[] = []
  for await (const item of store.query(runnersOf(kind), { from: ' ', to: '\u{10ffff}' }, signal)) {
    const state = readRunnerState(item, systemClock.date())
    if (state !== undefined && state.state !== 'stopped') states.push(state)
  }
  const paused = states.filter(({ state }) => state === 'paused')
  const why =
    states.length === 0
      ? 'no runner works this queue'
      : paused.length < states.length
        ? 'all runners are busy'
        : paused.map(({ processName, reason }) => `${processName} is paused: ${reason}`).join('; ')
  const hint = `It stays queued. Start a runner by \`opthub-runner ${kind}\`, free space on its machine by \`opthub-runner prune\`, or take the job back by \`opthub-runner cancel\`.`
  const what = `Too many requests: the job ${id} was not begun within ${queueTimeoutMs / 1000} s`
  return new OperatorError(what, why, hint, EXIT.unavailable)
}
