import { ExactNumber } from '../core/exact-number.ts'
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

/** How often a runner says again that it goes on as it is. */
export const REPEAT_MS = 3600 * 1000
/** A runner that says nothing for so long is gone; DynamoDB removes its item by ExpiresAt where that is set. */
const KEPT_MS = 3 * REPEAT_MS

/** The partition of a kind's runners. */
export function runnersOf(kind: string): string {
  return `Runners#${kind}`
}

/** The item of a runner that has been so `since` then. */
export function runnerStateItem(
  kind: string,
  { processName, state, reason }: RunnerState,
  { since, now }: { since: Date; now: Date },
): Item {
  return {
    ID: runnersOf(kind),
    Trial: processName,
    State: state,
    Reason: reason,
    Since: formatTime(since),
    ExpiresAt: fromPlain(Math.floor((now.getTime() + KEPT_MS) / 1000)),
    IgnoreStream: true,
  }
}

/** What an item says; undefined when it is none of these, or too old to be true. */
export function readRunnerState(item: Item, now: Date): RunnerState | undefined {
  const { Trial: processName, State: state, Reason: reason, ExpiresAt: until } = item
  // Not every table removes what has expired, and none does so at once.
  if (until instanceof ExactNumber && until.toNumber() * 1000 <= now.getTime()) return undefined
  if (typeof processName !== 'string' || typeof reason !== 'string') return undefined
  if (state !== 'polling' && state !== 'paused' && state !== 'stopped') return undefined
  return { processName, state, reason }
}
