import type { Config, LimitsConfig, MatchConfig } from '../config/schema.ts'
import type { TaskLimits } from '../executors/executor.ts'
import type { KindSettings } from '../kinds/services.ts'
import type { LocalMatch, LocalRecipe } from '../matches/local/local-matches.ts'
import type { RunnerOptions } from './options.ts'

type RecipeConfig = NonNullable<MatchConfig['problem']>

/** What the config and the command line say about jobs. */
export function kindSettings({ config, command }: RunnerOptions): KindSettings {
  return {
    timeoutSeconds: config.timeout,
    stopGraceSeconds: config.stop_grace,
    maxOutputBytes: config.max_output,
    maxTotalOutputBytes: config.max_total_output,
    strictExit: config.strict_exit,
    keep: !config.rm,
    limits: taskLimits(config.limits),
    gpus: config.gpus,
    matchTtlSeconds: config.match_ttl,
    ordered: config.ordered,
    orderTimeoutSeconds: config.order_timeout,
    ...(command === undefined ? {} : { command }),
  }
}

/** `matches:` of the config, with the names and units of the inside. */
export function localMatches(config: Config): Record<string, LocalMatch> {
  const recipe = (found: RecipeConfig | undefined): LocalRecipe | undefined =>
    found && {
      ...found,
      limits: found.limits && taskLimits(found.limits),
      inputs: found.inputs?.map(({ path, url, sha256 }) => ({
        ...{ path, url },
        ...(sha256 === undefined ? {} : { sha256 }),
      })),
    }
  return Object.fromEntries(
    Object.entries(config.matches).map(([id, { problem, indicator, direction }]) => [
      id,
      { problem: recipe(problem), indicator: recipe(indicator), direction },
    ]),
  )
}

/** `limits:` of the config, with the names and units of the inside. */
export function taskLimits(limits: LimitsConfig): TaskLimits {
  const {
    cpus,
    memory,
    pids,
    shm_size: shmSize,
    network,
    read_only: readOnly,
    user,
    tmpfs,
    ulimits,
    runtime,
    platform,
  } = limits
  return {
    ...(cpus === undefined ? {} : { cpus }),
    ...(memory === undefined ? {} : { memoryBytes: memory }),
    ...(pids === undefined ? {} : { pids }),
    ...(shmSize === undefined ? {} : { shmBytes: shmSize }),
    ...(network === undefined ? {} : { network }),
    ...(readOnly === undefined ? {} : { readOnly }),
    ...(user === undefined ? {} : { user }),
    ...(tmpfs === undefined ? {} : { tmpfs }),
    ...(ulimits === undefined ? {} : { ulimits }),
    ...(runtime === undefined ? {} : { runtime }),
    ...(platform === undefined ? {} : { platform }),
  }
}
