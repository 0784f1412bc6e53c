import { platform } from 'node:os'
import { ownEnvironment, ownUser } from './config/caller.ts'
import { dataFolder } from './config/paths.ts'
import type { Environment } from './config/problem.ts'
import { systemClock } from './core/clock.ts'
import { createLogger, type Logger } from './core/log.ts'
import { unlessAborted } from './core/unless-aborted.ts'
import type { Engine } from './executors/docker/api/engine.ts'
import type { PathRule } from './executors/docker/host/host-paths.ts'
import type { Executor } from './executors/executor.ts'
import { toRequest, type ImageCall } from './executors/image-call.ts'
import { wantsGpu } from './executors/resource-fit.ts'
import { callImage, type ImageResult } from './executors/run-image.ts'

export type { ImageCall, ImageMount } from './executors/image-call.ts'
export type { ImageResult, OutputListener } from './executors/run-image.ts'

export interface ImageRunnerOptions {
  /** Where the engine listens; left out = where the docker command finds it. */
  host?: string
  /** Default: that of this process. */
  environment?: Environment
  /** Where folders of this process are on the engine's machine; a process in a container finds out by itself. */
  pathRules?: readonly PathRule[]
  /** Default: nothing is logged. */
  log?: Logger
}

/** Calls images over one connection to one engine, which is made at the first call. */
export interface ImageRunner {
  /**
   * Calls an image like a function. Rejects with ImageError when the image can't be had or started, OperatorError for
   * what the caller can mend, JobError `output_too_large`, RetryableError when the engine goes away, and with the reason
   * of the call's signal. In every case the container is gone (unless it is to be kept).
   */
  run(call: ImageCall): Promise<ImageResult>
  /** Ends the connection. Not needed for the process to end by itself. */
  close(): Promise<void>
}

/** Only long calls pay for looking after what dead processes have left behind. */
const REAP_AFTER_MS = 2000
/** A container whose owner can't be judged counts as dead a day after this. */
const AGE_LIMIT_SECONDS = 30 * 24 * 3600

/** A runner with an engine or a log of its own; most programs need `runImage` alone. */
export function createImageRunner(options: ImageRunnerOptions = {}): ImageRunner {
  let opened: { connection: Promise<Connection>; giveUp: AbortController } | undefined

  async function connected(signal: AbortSignal): Promise<Connection> {
    if (opened === undefined) {
      const giveUp = new AbortController()
      opened = { connection: connect(options, giveUp.signal), giveUp }
    }
    const current = opened
    // It may be there the next time.
    current.connection.catch(() => {
      if (opened === current) opened = undefined
    })
    return await unlessAborted(current.connection, signal)
  }
  return {
    run: async (call) => {
      const signal = call.signal ?? new AbortController().signal
      signal.throwIfAborted()
      return await (await connected(signal)).call(call, signal)
    },
    close: async () => {
      const last = opened
      opened = undefined
      last?.giveUp.abort()
      await (await last?.connection.catch(() => undefined))?.close()
    },
  }
}

let shared: ImageRunner | undefined

/**
 * Calls an image like a function, on the engine that the docker command would use. All calls of a process share one
 * connection. See `ImageRunner.run` for what it throws.
 */
export async function runImage(call: ImageCall): Promise<ImageResult> {
  shared ??= createImageRunner()
  return await shared.run(call)
}

/** Ends the connection of `runImage`; the next call makes a new one. */
export async function closeImages(): Promise<void> {
  await shared?.close()
}

async function connect(options: ImageRunnerOptions, signal: AbortSignal): Promise<Connection> {
  // Loaded while the engine is asked whether it is there.
  const loading = import('./executors/docker/docker-executor.ts')
  const { connectEngine } = await import('./executors/docker/api/connect.ts')
  const environment = options.environment ?? ownEnvironment()
  const engine = await connectEngine({ host: options.host, environment, signal })
  const { createDockerExecutor } = await loading
  const log = options.log ?? createLogger(() => undefined, 'CRITICAL')
  return new Connection(engine, log, async (pullPolicy, needsGpu) => {
    const executor = createDockerExecutor({
      engine,
      processName: 'exec',
      log,
      environment,
      pullPolicy,
      ...(options.pathRules === undefined ? {} : { pathRules: options.pathRules }),
      ageLimitSeconds: AGE_LIMIT_SECONDS,
      isFleeting: true,
    })
    return needsGpu ? await withGpus(executor, engine, environment, log) : executor
  })
}

type PullChoice = NonNullable<ImageCall['pull']>
type CreateExecutor = (pull: PullChoice, needsGpu: boolean) => Promise<Executor>

/** An engine, and the executors of the calls under way; with the last of these goes all that they needed. */
class Connection {
  readonly #engine: Engine
  readonly #log: Logger
  readonly #createExecutor: CreateExecutor
  readonly #executors = new Map<string, Promise<Executor>>()
  #calls = 0
  #tidying: Promise<unknown> = Promise.resolve()

  constructor(engine: Engine, log: Logger, createExecutor: CreateExecutor) {
    this.#engine = engine
    this.#log = log
    this.#createExecutor = createExecutor
  }

  async call(call: ImageCall, signal: AbortSignal): Promise<ImageResult> {
    this.#calls += 1
    const ended = new AbortController()
    let timer: NodeJS.Timeout | undefined
    try {
      await this.#tidying
      const request = await toRequest(call, (mounts) => defaultUser(this.#engine, mounts.length > 0))
      const executor = await this.#executor(call.pull ?? 'if-not-present', wantsGpu(call.gpus))
      timer = setTimeout(() => {
        executor.reap(ended.signal).catch(() => undefined)
      }, REAP_AFTER_MS).unref()
      return await callImage(executor, request, { signal, log: this.#log })
    } finally {
      clearTimeout(timer)
      ended.abort()
      this.#calls -= 1
      if (this.#calls === 0) await this.close()
    }
  }

  async close(): Promise<void> {
    const executors = [...this.#executors.values()]
    this.#executors.clear()
    this.#tidying = Promise.all(executors.map(async (executor) => (await executor).close())).then(() => {
      this.#engine.close()
    })
    await this.#tidying
  }

  async #executor(pull: PullChoice, needsGpu: boolean): Promise<Executor> {
    const key = `${pull} ${needsGpu}`
    const executor = this.#executors.get(key) ?? this.#createExecutor(pull, needsGpu)
    this.#executors.set(key, executor)
    return await executor
  }
}

/** An executor whose tasks get GPUs that nobody else has, once there are some. */
async function withGpus(
  executor: Executor,
  engine: Engine,
  environment: Environment,
  log: Logger,
): Promise<Executor> {
  const [{ createGpuLeasing, gpuFolder }, { gpusInUse }] = await Promise.all([
    import('./executors/gpu-lease.ts'),
    import('./executors/docker/gpus/gpus.ts'),
  ])
  return createGpuLeasing(executor, {
    folder: gpuFolder(dataFolder(environment, platform())),
    inUse: (signal) => gpusInUse(engine, signal),
    whenBusy: 'wait',
    onWanted: () => undefined,
    clock: systemClock,
    log,
  })
}

/** The caller, as the engine numbers users. Root keeps out of an image's own choice as long as no files are at stake. */
async function defaultUser(engine: Engine, hasMounts: boolean): Promise<string | undefined> {
  const caller = ownUser()
  if (caller === undefined || (caller.uid === 0 && !hasMounts)) return undefined
  const { isRootless } = await import('./executors/docker/api/engine-kind.ts')
  // There root in the container is the caller outside of it.
  if (caller.uid !== 0 && (await isRootless(engine))) return hasMounts ? '0:0' : undefined
  return `${caller.uid}:${caller.gid}`
}
