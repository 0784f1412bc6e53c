import { systemClock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { WorkerObserver, WorkerState } from '../core/observer.ts'
import { runnerStateItem, type RunnerState } from '../records/runner-state.ts'
import type { Store } from '../stores/store.ts'

/** Tells the table when a runner takes jobs and when it does not, so that whoever waits for one learns why. */
export class RunnerStates implements WorkerObserver {
  readonly #kind: string
  readonly #processName: string
  readonly #store: Store
  readonly #log: Logger
  #last: WorkerState | undefined
  #writing = Promise.resolve()

  constructor(kind: string, processName: string, store: Store, log: Logger) {
    this.#kind = kind
    this.#processName = processName
    this.#store = store
    this.#log = log
  }

  jobStarted(): void {
    // Only whether jobs are taken is told.
  }

  jobEnded(): void {
    // As above.
  }

  stateChanged(state: WorkerState, reason = ''): void {
    if (state === this.#last) return
    this.#last = state
    if (state === 'starting' || state === 'draining') return
    const told: RunnerState = { processName: this.#processName, state, reason }
    // One after the other: the last word counts. The table may be what is broken; then nobody can be told.
    this.#writing = this.#writing.then(async () => {
      try {
        const item = runnerStateItem(this.#kind, told, systemClock.date())
        await this.#store.update(item, { unlessStatus: [] })
      } catch (error) {
        this.#log.debug('The state of this runner could not be told', { error: messageOf(error) })
      }
    })
  }

  /** Resolves when the last word is written, or can't be. */
  async settle(): Promise<void> {
    await this.#writing
  }
}
