import type { AwsKeys } from '../aws/keys.ts'
import type { Config } from '../config/schema.ts'
import type { Logger } from '../core/log.ts'
import type { WorkerObserver } from '../core/observer.ts'
import type { Stop } from '../core/stop.ts'
import type { KindName } from '../kinds/index.ts'
import type { OptHubEndpoints } from '../matches/opthub/endpoints.ts'
import type { Account } from '../matches/opthub/opthub.ts'

/** Where the queues and the table are. */
export interface TableOptions {
  config: Config
  /** Use the servers in `dataDir` instead of what the config names. */
  local: boolean
  dataDir: string
  /** The key pair as the settings have it now; left out = it stays as it is in `config`. */
  keys?: () => Promise<AwsKeys | undefined>
  log: Logger
}

export interface RunnerOptions extends TableOptions {
  kind: KindName
  /** Takes the place of the image's own command. */
  command: readonly string[] | undefined
  /** Shown in logs and on containers. */
  processName: string
  /** For finding the Docker engine: DOCKER_HOST, HOME … */
  environment: Readonly<Record<string, string | undefined>>
  /** Return when the queue stays empty for one whole long poll. */
  drainQueue: boolean
  /** Return after so many jobs; 0 = never. */
  num: number
  concurrency: number | 'auto'
  /** Where matches that the config does not name come from, and who asks; left out = they stand in the config alone. */
  optHub?: OptHubAccess
  stop: Stop
  /** Is told once how to count the containers of models that stay, by their state. */
  onModels?: (count: () => Readonly<Record<string, number>>) => void
  observer?: WorkerObserver
}

/** An OptHub, and who the runner is to it. */
export interface OptHubAccess {
  endpoints: OptHubEndpoints
  account: Account
}
