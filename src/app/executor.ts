import { availableParallelism } from 'node:os'
import type { Config } from '../config/schema.ts'
import type { Cleanup } from '../core/cleanup.ts'
import { systemClock } from '../core/clock.ts'
import type { DockerExecutorOptions } from '../executors/docker/docker-executor.ts'
import type { Executor, Rooms, WallChecks, Workdirs } from '../executors/executor.ts'
import type { RunnerOptions } from './options.ts'

export interface Connected {
  /** What starts tasks. */
  executor: Executor
  /** What else the engine can do. */
  docker: Rooms & Workdirs & WallChecks
  /** Whoever keeps containers with GPUs is told when somebody waits for one. */
  onGpusWanted(listener: () => void): void
}

/** Docker, with GPUs that nobody else has and containers started ahead. Closed by `cleanup`. */
export async function connectExecutor(
  options: RunnerOptions,
  cleanup: Cleanup,
  special: Pick<DockerExecutorOptions, 'pathRules' | 'pullPolicy'> = {},
): Promise<Connected> {
  const { config, environment, log } = options
  const [
    { connectEngine },
    { createDockerExecutor },
    { warnOfEngine },
    { gpusInUse },
    { createGpuLeasing, gpuFolder },
    { createWarmPool },
  ] = await Promise.all([
    import('../executors/docker/api/connect.ts'),
    import('../executors/docker/docker-executor.ts'),
    import('../executors/docker/api/engine-kind.ts'),
    import('../executors/docker/gpus/gpus.ts'),
    import('../executors/gpu-lease.ts'),
    import('../executors/warm-pool.ts'),
  ])
  const engine = await connectEngine({ host: config.docker.host, environment })
  await warnOfEngine(engine, log)
  const executor = createDockerExecutor({
    engine,
    processName: options.processName,
    log,
    environment,
    pullPolicy: config.pull_policy,
    imageCheckIntervalMs: config.image_check_interval * 1000,
    allowedImages: config.allowed_images,
    registryLogins: config.docker.registry_auth,
    dataDir: options.dataDir,
    minFreeDiskBytes: config.min_free_disk,
    ...(config.docker.platform === undefined ? {} : { platform: config.docker.platform }),
    ageLimitSeconds: longestTimeout(config) + config.stop_grace,
    ...(config.docker.gpu_mode === undefined ? {} : { gpuMode: config.docker.gpu_mode }),
    ...special,
  })
  const listeners: (() => void)[] = []
  const leasing = createGpuLeasing(executor, {
    folder: gpuFolder(options.dataDir),
    allowed: config.docker.gpus ?? (Array.isArray(config.gpus) ? config.gpus : undefined),
    inUse: (signal) => gpusInUse(engine, signal),
    whenBusy: 'throw',
    onWanted: () => {
      pool.giveUpGpus()
      for (const listener of listeners) listener()
    },
    clock: systemClock,
    log,
  })
  const pool = createWarmPool(leasing, {
    perSlot: config.warm === 'auto' ? 1 : config.warm,
    slots: slotCount(options),
    processors: availableParallelism(),
    idleMs: config.warm_idle * 1000,
    jobs: options.num,
    drain: options.stop.drain,
    clock: systemClock,
    log,
  })
  cleanup.defer('Docker', () => pool.close())
  return { executor: pool, docker: executor, onGpusWanted: (listener) => void listeners.push(listener) }
}

/** Jobs at a time. */
export function slotCount({ concurrency }: RunnerOptions): number {
  return concurrency === 'auto' ? availableParallelism() : concurrency
}

/** Seconds that a container of these settings may work at most. */
function longestTimeout(config: Config): number {
  const own = Object.values(config.matches).flatMap(({ problem, indicator }) => [
    problem?.timeout,
    indicator?.timeout,
  ])
  return Math.max(config.timeout, ...own.filter((seconds) => seconds !== undefined))
}
