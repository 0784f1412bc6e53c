import { systemClock } from '../core/clock.ts'
import { RetryableError } from '../core/errors.ts'
import type { TrialKindName } from '../kinds/index.ts'
import type { Trial } from '../records/keys.ts'
import type { Store } from '../stores/store.ts'
import { findResult, type ResultView } from './result-view.ts'

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 2_000

/** Asks for a trial's result until it is there; rejects with the signal's reason. */
export async function waitForResult(
  store: Store,
  kind: TrialKindName,
  trial: Trial,
  signal: AbortSignal,
): Promise<ResultView> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 1.3)) {
    try {
      const result = await findResult(store, kind, trial, signal)
      if (result !== undefined) return result
    } catch (error) {
      // Whoever waits for hours wants a pause of the table to be waited for, too.
      if (!(error instanceof RetryableError)) throw error
    }
    await systemClock.sleep(pauseMs, signal)
  }
}
