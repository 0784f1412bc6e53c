import type { Clock } from '../../core/clock.ts'
import type { Executor } from '../../executors/executor.ts'
import type { KeptPool } from '../../executors/kept-pool.ts'
import type { Files } from '../../files/files.ts'
import type { ModelServer, Protocol, ProtocolName } from '../../models/protocol.ts'
import type { Store } from '../../stores/store.ts'
import type { ModelSession } from './session.ts'
import type { InferenceSettings } from './settings.ts'

/** What calling models needs; composed in app.ts, or of fakes in tests. */
export interface InferenceEngine {
  executor: Executor
  /** Containers that serve many calls. */
  pool: KeptPool<ModelSession>
  protocol: (name: ProtocolName) => Promise<Protocol>
  /** The server that runs already, spoken to in one of its protocols; only where the settings name one. */
  existing: (protocol: ProtocolName) => Promise<ModelServer>
  files: Files
  /** Whether one of the patterns fits an image. */
  isImageAllowed: (image: string, patterns: readonly string[]) => boolean
  clock: Clock
  settings: InferenceSettings
}

/** What the kind works with. */
export interface InferenceServices extends InferenceEngine {
  store: Store
  /** Between two looks whether a job that runs is wanted still. */
  cancelPollMs: number
  /** The name of this process. */
  worker: string
}
