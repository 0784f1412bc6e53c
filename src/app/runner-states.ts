import { systemClock, type Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { WorkerObserver, WorkerState } from '../core/observer.ts'
import { REPEAT_MS, runnerStateItem, type RunnerState } from '../records/runner-state.ts'
import type { Store } from '../stores/store.ts'

/** Tells the table when a runner takes jobs and when it does not, so that whoever waits for one learns why. */
export class RunnerStates implements WorkerObserver {
  readonly #kind: string
  readonly #processName: string
  readonly #store: Store
  readonly #log: Logger
  readonly #clock: Clock
  readonly #ended = new AbortController()
  #last: WorkerState | undefined
  #told: { state: RunnerState; since: Date } | undefined
  #writing = Promise.resolve()

  constructor(kind: string, processName: string, store: Store, log: Logger, clock: Clock = systemClock) {
    this.#kind = kind
    this.#processName = processName
    this.#store = store
    this.#log = log
    this.#clock = clock
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
    const isFirst = this.#told === undefined
    this.#told = {
      state: { processName: this.#processName, state, reason },
      since: this.#clock.date(),
    }
    this.#tell(this.#told)
    if (isFirst) this.#repeat().catch(() => undefined)
  }

  /** Resolves when the last word is written, or can't be. */
  async settle(): Promise<void> {
    this.#ended.abort()
    await this.#writing
  }

  #tell({ state, since }: { state: RunnerState; since: Date }): void {
    // One after the other: the last word counts. The table may be what is broken; then nobody can be told.
    this.#writing = this.#writing.then(async () => {
      try {
        const item = runnerStateItem(this.#kind, state, { since, now: this.#clock.date() })
        await this.#store.update(item, { unlessStatus: [] })
      } catch (error) {
        this.#log.debug('The state of this runner could not be told', { error: messageOf(error) })
      }
    })
  }

  /** Who says nothing for long counts as gone. Rejects at the end. */
  async #repeat(): Promise<void> {
    for (;;) {
      await this.#clock.sleep(REPEAT_MS, this.#ended.signal)
      if (this.#told !== undefined) this.#tell(this.#told)
    }
  }
}
