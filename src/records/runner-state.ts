import { fromPlain } from '../core/json.ts'
import type { Item } from '../stores/store.ts'
import { formatTime } from './result.ts'

/** What a runner says of itself, for whoever waits for one. */
export interface RunnerState {
  processName: string
  state: 'polling' | 'paused' | 'stopped'
  /** What is broken or short while it is paused. */
  reason: string
}

/** After that long nobody needs to know; DynamoDB removes it by the attribute ExpiresAt where that is set. */
const KEPT_MS = 24 * 3600 * 1000

/** The partition of a kind's runners. */
export function runnersOf(kind: string): string {
  return `Runners#${kind}`
}

/** The item of a runner. */
export function runnerStateItem(kind: string, { processName, state, reason }: RunnerState, now: Date): Item {
  return {
    ID: runnersOf(kind),
    Trial: processName,
    State: state,
    Reason: reason,
    Since: formatTime(now),
    ExpiresAt: fromPlain(Math.floor((now.getTime() + KEPT_MS) / 1000)),
    IgnoreStream: true,
  }
}

/** What an item says; undefined when it is none of these. */
export function readRunnerState(item: Item): RunnerState | undefined {
  const { Trial: processName, State: state, Reason: reason } = item
  if (typeof processName !== 'string' || typeof reason !== 'string') return undefined
  if (state !== 'polling' && state !== 'paused' && state !== 'stopped') return undefined
  return { processName, state, reason }
}
