import { systemClock, type Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { Executor } from '../executor.ts'
import { ping } from './connect.ts'
import type { Environment } from './docker-config.ts'
import type { Engine } from './engine.ts'
import { surroundingError } from './errors.ts'
import { currentOwner, type OwnerId } from './owner.ts'
import { Images, type PullPolicy } from './pull.ts'
import { reap } from './reap.ts'
import { Removals } from './removals.ts'
import { startTask } from './task.ts'

export interface DockerExecutorOptions {
  /** From `connectEngine`; closed with the executor. */
  engine: Engine
  /** Shown in a label of each container. */
  processName: string
  log: Logger
  /** For Docker's config.json and its credential helpers. */
  environment: Environment
  /** Default `refresh`. */
  pullPolicy?: PullPolicy
  /** Milliseconds after which `refresh` asks for a digest again; default 60 000. */
  imageCheckIntervalMs?: number
  /** Longest wait for a registry about an image that is here already; default 10 000. */
  registryPatienceMs?: number
  /** Patterns of images that may run; default all. */
  allowedImages?: readonly string[]
  /** `os/arch[/variant]` of pulls and containers that name none; default the engine's own. */
  platform?: string
  /** A container of ours lives no longer; default 43 200. */
  ageLimitSeconds?: number
  /** Default: this very process, see owner.ts. */
  owner?: OwnerId
  clock?: Clock
}

/** An executor that runs each task in a container of a Docker engine. */
export function createDockerExecutor(options: DockerExecutorOptions): Executor {
  const { engine, log, platform, clock = systemClock } = options
  const removals = new Removals(engine, clock, log)
  const images = new Images({
    engine,
    policy: options.pullPolicy ?? 'refresh',
    checkIntervalMs: options.imageCheckIntervalMs ?? 60_000,
    patienceMs: options.registryPatienceMs ?? 10_000,
    allowed: options.allowedImages ?? [],
    environment: options.environment,
    clock,
    log,
  })
  let known = options.owner
  const owner = async (): Promise<OwnerId> => (known ??= await currentOwner(engine))
  return {
    name: 'docker',
    probe: (signal) => atTheBorder(() => ping(engine, signal)),
    pull: (image, signal, wanted) => atTheBorder(() => images.ensure(image, wanted ?? platform, signal)),
    start: (spec, signal, onPhase = () => undefined) =>
      atTheBorder(async () => {
        images.assertAllowed(spec.image)
        const { processName, ageLimitSeconds = 43_200 } = options
        const ownership = { owner: await owner(), processName, ageLimitSeconds }
        return await startTask({ engine, removals, ownership, platform, clock, log }, spec, signal, onPhase)
      }),
    reap: (signal) =>
      atTheBorder(async () => {
        const retried = await removals.retry()
        return retried + (await reap({ engine, removals, owner: await owner(), clock, log, signal }))
      }),
    close: async () => {
      images.close()
      await removals.retry()
      engine.close()
    },
  }
}

/** No error of the engine's API leaves this folder. */
async function atTheBorder<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw surroundingError(error)
  }
}
