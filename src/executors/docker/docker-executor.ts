import { availableParallelism } from 'node:os'
import { systemClock, type Clock } from '../../core/clock.ts'
import { RetryableError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import { Slots } from '../../core/slots.ts'
import {
  ImageError,
  type Capacity,
  type Executor,
  type Task,
  type TaskSpec,
  type WallChecks,
  type Workdirs,
  type Rooms,
} from '../executor.ts'
import { ping } from './api/connect.ts'
import { ControlGroups } from './walls/control-groups.ts'
import type { Environment } from './api/docker-config.ts'
import type { Engine } from './api/engine.ts'
import { freeMemoryBytes } from './host/engine-data.ts'
import { createImages, type ImageSettings } from './images/engine-images.ts'
import { surroundingError } from './api/errors.ts'
import { Holders } from './network/holders.ts'
import { discoverGpus, isHere } from './gpus/gpu-discovery.ts'
import { describeGpus } from './gpus/gpu-models.ts'
import { GpuHandover, type GpuMode } from './gpus/gpus.ts'
import { withHostPaths, type PathRule } from './host/host-paths.ts'
import { HostView } from './host/host-view.ts'
import { HostsFile } from './network/hosts-file.ts'
import { removeOrphanSockets, withServing } from './network/serving.ts'
import { Internets } from './network/internet.ts'
import type { ContainerSpec, Ownership } from './container.ts'
import { currentOwner, type OwnerId } from './owner.ts'
import { withPlatforms } from './images/platform.ts'
import { reap } from './reap.ts'
import { Removals } from './removals.ts'
import { startTask, type StartServices } from './start.ts'
import { WallTrial } from './walls/wall-trial.ts'
import { withinWalls } from './walls/walls.ts'
import { DockerWorkdir, openWorkdir } from './walls/workdir.ts'

export interface DockerExecutorOptions extends ImageSettings {
  /** From `connectEngine`; closed with the executor. */
  engine: Engine
  /** Shown in a label of each container. */
  processName: string
  log: Logger
  /** `os/arch[/variant]` of pulls and containers that name none; default the engine's own. */
  platform?: string
  /** A container of ours lives no longer; default 43 200. */
  ageLimitSeconds?: number
  /** Where folders of this process are on the engine's machine; default: by the mounts of its own container. */
  pathRules?: readonly PathRule[]
  /** How containers get their GPUs; default `auto`: as it works. */
  gpuMode?: GpuMode | 'auto'
  /** For a process that may end at any moment: nothing is set up ahead of a task, or removed behind its back. */
  isFleeting?: boolean
  /** Default: this very process, see owner.ts. */
  owner?: OwnerId
  clock?: Clock
}

/** An executor that runs each task in a container of a Docker engine. */
export function createDockerExecutor(
  options: DockerExecutorOptions,
): Executor & Rooms & Workdirs & WallChecks {
  const { engine, log, platform, isFleeting = false, clock = systemClock } = options
  const removals = new Removals(engine, clock, log)
  const host = new HostView(engine)
  const { images, disk } = createImages(engine, options, { clock, log })
  let known = options.owner
  const owner = async (): Promise<OwnerId> => (known ??= await currentOwner(engine))
  const ownership = async (): Promise<Ownership> => {
    const { processName, ageLimitSeconds = 43_200 } = options
    return { owner: await owner(), processName, ageLimitSeconds }
  }
  const inHostPaths = (spec: TaskSpec): Promise<TaskSpec> => withHostPaths(engine, spec, options.pathRules)
  const starts = new Slots(availableParallelism())
  const holders = new Holders({
    ...{ engine, host, removals, starts, ownership, clock, log },
    isWanted: !isFleeting,
  })
  const internets = new Internets({
    ...{ engine, host, removals, ownership, clock },
    pull: (image, signal) => images.ensure(image, platform, signal),
  })
  const hosts = new HostsFile(inHostPaths)
  const gpus = new GpuHandover(engine, options.gpuMode ?? 'auto', log)
  const groups = new ControlGroups(engine, owner, log)
  const walls = new WallTrial(engine, removals, ownership)
  const start = async (given: ContainerSpec, signal: AbortSignal, onPhase: OnPhase): Promise<Task> => {
    const spec = withinWalls(given)
    const workdir = spec.walls?.workdir
    if (workdir instanceof DockerWorkdir) workdir.noteTask(spec.limits)
    images.assertAllowed(spec.image)
    const services: StartServices = {
      ...{ engine, host, removals, holders, internets, hosts, groups, starts, awaitsRemoval: isFleeting },
      ...{ ownership: await ownership(), platform, clock, log },
    }
    return await withServing(engine, spec, async (served) => {
      const begin = async (): Promise<Task> =>
        await gpus.start(await inHostPaths(served), (each) => startTask(services, each, signal, onPhase))
      return await begin().catch(async (error: unknown) => {
        const isMissing = error instanceof ImageError && error.reason === 'not_found'
        const wanted = spec.limits.platform ?? platform
        if (isMissing && (await images.restore(spec.image, wanted, signal))) return await begin()
        if (spec.walls !== undefined) await walls.blame(error, spec.limits.runtime, signal)
        throw await withPlatforms(engine, spec.image, error)
      })
    })
  }
  const startAtOnce = (spec: ContainerSpec, signal: AbortSignal): Promise<Task> =>
    start(spec, signal, () => undefined)
  return {
    name: 'docker',
    probe: (signal) =>
      atTheBorder(async () => {
        await ping(engine, signal)
        await disk.ensure(signal)
      }),
    pull: (image, signal, wanted) => atTheBorder(() => images.ensure(image, wanted ?? platform, signal)),
    start: (spec, signal, onPhase = () => undefined) => atTheBorder(() => start(spec, signal, onPhase)),
    openWorkdir: (spec, signal) =>
      atTheBorder(() =>
        openWorkdir({ engine, removals, ownership, starts, start: startAtOnce, isFleeting }, spec, signal),
      ),
    assertRoom: (memoryBytes, signal) =>
      atTheBorder(async () => {
        await disk.ensure(signal)
        await assertMemory(engine, memoryBytes, signal)
      }),
    assertWalls: (runtime, signal) => atTheBorder(() => walls.assert(runtime, signal)),
    assertInternet: (internet, signal) => atTheBorder(() => internets.assert(internet, signal)),
    capacity: (signal) => atTheBorder(() => capacityOf(engine, options.environment, signal)),
    reap: (signal) =>
      atTheBorder(async () => {
        signal.throwIfAborted()
        holders.trim()
        await removals.settle()
        const retried = await removals.retry()
        await images.tidy()
        await removeOrphanSockets()
        return retried + (await reap({ engine, removals, groups, owner: await owner(), clock, log, signal }))
      }),
    close: async () => {
      images.close()
      await holders.close()
      internets.close()
      await removals.finish()
      await groups.settle()
      await hosts.remove()
      engine.close()
    },
  }
}

type OnPhase = NonNullable<Parameters<Executor['start']>[2]>

async function capacityOf(engine: Engine, environment: Environment, signal: AbortSignal): Promise<Capacity> {
  const info = (await engine.json('GET', '/info', { signal })) as { NCPU: number; MemTotal: number }
  const found = await discoverGpus(engine, info, environment)
  const told = found.gpus.length > 0 && isHere(engine) ? await describeGpus(environment) : []
  return {
    cpus: info.NCPU,
    memoryBytes: info.MemTotal,
    ...found,
    gpuMemoryBytes: Object.fromEntries(told.map(({ uuid, memoryMib }) => [uuid, memoryMib * 1024 ** 2])),
  }
}

async function assertMemory(engine: Engine, wanted: number | undefined, signal: AbortSignal): Promise<void> {
  const free = wanted === undefined ? undefined : await freeMemoryBytes(engine, signal)
  if (wanted === undefined || free === undefined || free >= wanted) return
  const [has, needs] = [free, wanted].map((bytes) => `${Math.floor(bytes / 1024 ** 2)} MiB`)
  throw new RetryableError(
    'memory',
    `This machine has no memory for another job: ${has ?? ''} are free, and a job may use ${needs ?? ''}. Run fewer at a time (\`concurrency\`), or let each have less`,
  )
}

/** No error of the engine's API leaves this folder. */
async function atTheBorder<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw surroundingError(error)
  }
}
