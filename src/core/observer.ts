import type { JobIdentity } from './kind.ts'
import type { Timeline } from './timeline.ts'

/** A job as a live view sees it; `timeline` is read while it runs. */
export interface JobView {
  kind: string
  identity: JobIdentity
  /** From 0 to concurrency - 1. */
  slot: number
  /** Monotonic ms at which the slot took it. */
  since: number
  timeline: Timeline
}

/** What became of a delivery. */
export type JobOutcome =
  | 'succeeded' // a result of the job's own is stored
  | 'failed' // a Failed item is stored
  | 'settled' // somebody had stored a result before
  | 'released' // given back for another try
  | 'held' // waits outside the slots for its time to come
  | 'lost' // the lease was lost; nothing written
  | 'poison' // unreadable, left to the dead-letter queue

export type WorkerState = 'starting' | 'polling' | 'paused' | 'draining' | 'stopped'

/** Told what the worker does; must not throw. */
export interface WorkerObserver {
  jobStarted(job: JobView): void
  jobEnded(job: JobView, outcome: JobOutcome): void
  /** `reason` says what is broken while paused. */
  stateChanged(state: WorkerState, reason?: string): void
}

/** Tells several observers, in their order. */
export function observeAll(observers: readonly WorkerObserver[]): WorkerObserver {
  return {
    jobStarted: (job) => {
      for (const each of observers) each.jobStarted(job)
    },
    jobEnded: (job, outcome) => {
      for (const each of observers) each.jobEnded(job, outcome)
    },
    stateChanged: (state, reason) => {
      for (const each of observers) each.stateChanged(state, reason)
    },
  }
}
