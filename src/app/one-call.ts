import type { Config } from '../config/schema.ts'
import type { Cleanup } from '../core/cleanup.ts'
import type { Logger } from '../core/log.ts'
import type { Engine } from '../executors/docker/api/engine.ts'
import type { createDockerExecutor } from '../executors/docker/docker-executor.ts'
import type { Executor } from '../executors/executor.ts'

/** Only long calls pay for looking after what dead ones have left behind. */
const REAP_AFTER_MS = 2000

export interface OneCallOptions {
  config: Config
  environment: Readonly<Record<string, string | undefined>>
  dataDir: string
  log: Logger
}

/** Docker for one call by somebody who waits, without a queue. Close the executor afterwards. */
export async function dockerForOneCall(
  processName: string,
  { config, environment, dataDir, log }: OneCallOptions,
): Promise<{ engine: Engine; executor: ReturnType<typeof createDockerExecutor> }> {
  const [{ connectEngine }, { createDockerExecutor: create }] = await Promise.all([
    import('../executors/docker/api/connect.ts'),
    import('../executors/docker/docker-executor.ts'),
  ])
  const engine = await connectEngine({ host: config.docker.host, environment })
  const executor = create({
    engine,
    processName,
    log,
    environment,
    // What is there will do.
    pullPolicy: config.pull_policy === 'refresh' ? 'if-not-present' : config.pull_policy,
    allowedImages: config.allowed_images,
    registryLogins: config.docker.registry_auth,
    dataDir,
    minFreeDiskBytes: config.min_free_disk,
    ...(config.docker.platform === undefined ? {} : { platform: config.docker.platform }),
    ...(config.docker.gpu_mode === undefined ? {} : { gpuMode: config.docker.gpu_mode }),
    isFleeting: true,
  })
  return { engine, executor }
}

/** Removes in passing what dead calls have left behind; ended by `cleanup`. */
export function reapInPassing(executor: Executor, cleanup: Cleanup): void {
  const ended = new AbortController()
  const timer = setTimeout(() => {
    executor.reap(ended.signal).catch(() => undefined)
  }, REAP_AFTER_MS).unref()
  cleanup.defer('reaper', () => {
    clearTimeout(timer)
    ended.abort()
  })
}
