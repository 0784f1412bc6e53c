import type { Clock } from '../core/clock.ts'
import type { Executor, GpuRequest, TaskLimits } from '../executors/executor.ts'
import type { MatchInputs } from './match-inputs.ts'
import type { MatchSource } from '../matches/matches.ts'
import type { Store } from '../stores/store.ts'

/** What a kind works with; composed in app.ts, or of fakes in tests. */
export interface KindServices {
  store: Store
  executor: Executor
  matches: MatchSource
  /** Left out = matches have no files. */
  inputs?: MatchInputs
  clock: Clock
  settings: KindSettings
  /** Puts a message on the scorer's queue (the evaluator, under `forward: true`). */
  forward?: (body: string) => Promise<void>
}

/** What the config says about jobs; a match may say otherwise for its own. */
export interface KindSettings {
  /** From the input to the kill. */
  timeoutSeconds: number
  /** Between SIGTERM and SIGKILL. */
  stopGraceSeconds: number
  /** Longest result line. */
  maxOutputBytes: number
  /** Most output of a container in all. */
  maxTotalOutputBytes: number
  /** A non-zero exit code fails the trial even when its last line fits. */
  strictExit: boolean
  /** Keep containers (`rm: false`). */
  keep: boolean
  /** Words of the command line; they win over a match's own command. */
  command?: readonly string[]
  limits: TaskLimits
  gpus?: GpuRequest
  /** After which a match that could not be run is asked for again. */
  matchTtlSeconds: number
  /** Score a trial only when all earlier ones of its participant are final. */
  ordered: boolean
  /** After which a waiting trial is scored with what is there. */
  orderTimeoutSeconds: number
}
