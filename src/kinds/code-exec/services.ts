import type { Clock } from '../../core/clock.ts'
import type { Executor, Workdirs } from '../../executors/executor.ts'
import type { Files } from '../../files/files.ts'
import type { Store } from '../../stores/store.ts'
import type { CodeExecSettings } from './settings.ts'

/** What running code needs; composed in app.ts, or of fakes in tests. */
export interface CodeExecEngine {
  executor: Executor
  /** For working folders that are looked into afterwards. */
  workdirs: Workdirs
  files: Files
  /** The seccomp profile of every container, as the engine takes it. */
  seccomp: string
  /** Whether one of the patterns fits an image. */
  isImageAllowed: (image: string, patterns: readonly string[]) => boolean
  clock: Clock
  settings: CodeExecSettings
}

/** What the kind works with. */
export interface CodeExecServices extends CodeExecEngine {
  store: Store
  /** Between two looks whether a job that runs is wanted still. */
  cancelPollMs: number
  /** After which a language whose image could not be had is tried again. */
  retrySeconds: number
}
