import type { Clock } from '../core/clock.ts'
import { NotYetError, StoppedError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { Executor, Task } from './executor.ts'
import { KeptFailure, type KeptCall, type KeptPool, type KeptSpec, type OutputListener } from './kept.ts'
import { KeptContainer } from './kept-container.ts'
import type { KeptPhase } from './kept-visitors.ts'
import { wantsGpu } from './resource-fit.ts'

export { KeptDeath, KeptFailure } from './kept.ts'
export type { CallEnd, KeptCall, KeptPool, KeptSpec, OutputListener } from './kept.ts'

export interface KeptPoolOptions {
  /** Gives GPUs to tasks that ask for them, and to nobody else. Not closed by the pool. */
  executor: Executor
  /** Most containers that stay though they answer no call: those that hold GPUs, and the others. */
  maxWarm: { gpu: number; cpu: number }
  clock: Clock
  log: Logger
}

/** Containers that die as soon as they are ready, before anybody could use them. */
const MOST_DEATHS = 3
/** Who waits for a GPU for so long gets one that is always busy. */
const PATIENCE_MS = 15_000
/** Whoever still waits says so again within this time. */
const SILENCE_MS = 5000

/** Keeps containers that serve many calls: one for each key, started when it is needed and stopped when it is not. */
export function createKeptPool<S extends OutputListener | undefined = undefined>(
  options: KeptPoolOptions,
): KeptPool<S> {
  const pool = new Pool<S>(options)
  return {
    acquire: (spec, signal, onPhase = () => undefined) => pool.acquire(spec, signal, onPhase),
    ensureReady: (spec, signal) => pool.ensureReady(spec, signal),
    giveUpGpus: () => {
      pool.giveUpGpus()
    },
    states: () => pool.all.map((each) => each.report()),
    close: () => pool.close(),
  }
}

class Pool<S extends OutputListener | undefined> {
  readonly #o: KeptPoolOptions
  readonly #containers = new Map<string, KeptContainer<S>>()
  /** When somebody else began to ask for a GPU, and when he last did. */
  #wanted = { since: -Infinity, last: -Infinity }
  #isClosed = false

  constructor(options: KeptPoolOptions) {
    this.#o = options
  }

  get all(): KeptContainer<S>[] {
    return [...this.#containers.values()]
  }

  async acquire(
    spec: KeptSpec<S>,
    signal: AbortSignal,
    onPhase: (phase: KeptPhase) => void,
  ): Promise<KeptCall<S>> {
    const since = this.#o.clock.now()
    let deaths = 0
    for (;;) {
      const container = await this.#find(spec, signal)
      const call = await container.join(spec, signal, { since, onPhase })
      if (call !== undefined) return call
      if (container.hasDied) deaths += 1
      if (deaths >= MOST_DEATHS) throw new KeptFailure('setup_failed', 'The model ends whenever it is ready')
    }
  }

  async ensureReady(spec: KeptSpec<S>, signal: AbortSignal): Promise<void> {
    while (!(await (await this.#find(spec, signal)).check(signal)));
  }

  giveUpGpus(): void {
    const now = this.#o.clock.now()
    const since = now - this.#wanted.last > SILENCE_MS ? now : this.#wanted.since
    this.#wanted = { since, last: now }
    const holders = this.all.filter(holdsGpu)
    // What is on its way out may be enough.
    if (holders.some(({ isLeaving }) => isLeaving)) return
    const victim = oldest(holders.filter(({ isIdle }) => isIdle))
    const isUrgent = now - since >= PATIENCE_MS
    // Not one that loads still: its time would be for nothing, and those who wait for it would begin anew.
    const busy = holders.filter(({ wasReady }) => wasReady)
    ;(victim ?? (isUrgent ? oldest(busy) : undefined))?.retire('somebody else waits for its GPU')
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.all.map((each) => each.stop('the runner stops')))
  }

  /** The container of a key, or a new one when there is none. */
  async #find(spec: KeptSpec<S>, signal: AbortSignal): Promise<KeptContainer<S>> {
    for (;;) {
      signal.throwIfAborted()
      if (this.#isClosed) throw new StoppedError('The runner stops')
      const known = this.#containers.get(spec.key)
      if (known === undefined) return this.#begin(spec)
      if (!known.isLeaving) return known
      // Never two of them: the new one may need what the old one has.
      await known.whenGone(signal)
    }
  }

  #begin(spec: KeptSpec<S>): KeptContainer<S> {
    const { clock, log } = this.#o
    const container = new KeptContainer(spec, {
      start: async (each, signal, onPhase) => {
        // Not before it is known which container this is.
        await Promise.resolve()
        await this.#makeRoom(wantsGpu(each.task.gpus), container)
        return await this.#start(each, signal, onPhase)
      },
      onIdle: () => {
        void this.#makeRoom(wantsGpu(spec.task.gpus))
      },
      onGone: () => {
        if (this.#containers.get(spec.key) === container) this.#containers.delete(spec.key)
      },
      clock,
      log,
    })
    this.#containers.set(spec.key, container)
    return container
  }

  async #start(
    spec: KeptSpec<S>,
    signal: AbortSignal,
    onPhase: (phase: 'create' | 'start') => void,
  ): Promise<Task> {
    // No other is like it: none is started ahead.
    const task = { ...spec.task, name: spec.name(), isUnique: true }
    for (;;) {
      signal.throwIfAborted()
      try {
        return await this.#o.executor.start(task, signal, onPhase)
      } catch (error) {
        // A GPU may be free that only waits for calls.
        if (!(error instanceof NotYetError) || !(await this.#giveUpGpu(spec))) throw error
      }
    }
  }

  /** Stops the one that was not used for the longest; false when all are in use. */
  async #giveUpGpu({ task: { gpus } }: KeptSpec<S>): Promise<boolean> {
    if (!wantsGpu(gpus)) return false
    const holders = this.all.filter(holdsGpu)
    const fit = Array.isArray(gpus)
      ? holders.filter(({ gpuIds }) => gpuIds.some((uuid) => gpus.includes(uuid)))
      : holders
    const victim = oldest(fit.filter(({ isIdle }) => isIdle)) ?? fit.find(({ isStopping }) => isStopping)
    await victim?.stop('another model needs its GPU')
    return victim !== undefined
  }

  /** Stops those that are too many and not in use, the one that was not used for the longest first. */
  async #makeRoom(isOnGpu: boolean, newcomer?: KeptContainer<S>): Promise<void> {
    const { gpu, cpu } = this.#o.maxWarm
    const alike = this.all.filter(({ onGpu, isLeaving }) => !isLeaving && wantsGpu(onGpu) === isOnGpu)
    const surplus = alike.length - (isOnGpu ? gpu : cpu)
    const victims = alike.filter((each) => each !== newcomer && each.isIdle).sort(byLastUse)
    await Promise.all(
      victims.slice(0, Math.max(surplus, 0)).map((each) => each.stop('others are used more often')),
    )
  }
}

function holdsGpu({ gpuIds }: { gpuIds: readonly string[] }): boolean {
  return gpuIds.length > 0
}

function oldest<T extends { lastUsedAt: number }>(containers: readonly T[]): T | undefined {
  return [...containers].sort(byLastUse)[0]
}

function byLastUse(a: { lastUsedAt: number }, b: { lastUsedAt: number }): number {
  return a.lastUsedAt - b.lastUsedAt
}
