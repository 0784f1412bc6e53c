import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { messageOf, NotYetError, UnfitError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { Capacity, Executor, Task, TaskExit, TaskSpec } from './executor.ts'
import { GpuClaims, type GpuClaim } from './gpu-claims.ts'
import { GpuQueue, type GpuDemand } from './gpu-queue.ts'
import { OwnedFiles } from './owned-files.ts'
import { assertFits, gpusWith, hasNeeds, wantsGpu } from './resource-fit.ts'

export interface GpuLeasingOptions {
  /** Where it stands who has which: the same for all runners of a user. */
  folder: string
  /** The GPUs that may be leased from here; left out = all of the machine. */
  allowed?: readonly string[] | undefined
  /** The GPUs of all containers that live on the engine, whoever has started them. */
  inUse: (signal: AbortSignal) => Promise<ReadonlySet<string>>
  /** Somebody waits for a GPU, here or in another process: tasks that no job needs are to be disposed. */
  onWanted: () => void
  /** What a start does when no GPU is free: wait for one, or throw NotYetError. */
  whenBusy: 'wait' | 'throw'
  clock: Clock
  log: Logger
}

/** Where claims are kept, in the data folder of a user. */
export function gpuFolder(dataDir: string): string {
  return join(dataDir, 'gpus')
}

/** The driver takes up to a second to say what it has, and new GPUs are rare. */
const KNOWN_MS = 60_000
/** Longest wait of a job outside its slot before it tries again unasked. */
const RETRY_SECONDS = 30
/** Between two attempts to remove what others have left. */
const REAP_MS = 5000

type OnPhase = Parameters<Executor['start']>[2]

/**
 * An executor whose tasks get what they ask for or don't start: UnfitError when the machine has too little in all,
 * NotYetError while its GPUs are in use. A request for GPUs becomes UUIDs that nobody else has until the task is
 * disposed: all of them or none. Wraps an executor, and closes it.
 */
export function createGpuLeasing(executor: Executor, options: GpuLeasingOptions): Executor {
  const leasing = new GpuLeasing(executor, options)
  return {
    name: executor.name,
    probe: (signal) => executor.probe(signal),
    pull: (image, signal, platform) => executor.pull(image, signal, platform),
    start: (spec, signal, onPhase) => leasing.start(spec, signal, onPhase),
    capacity: (signal) => leasing.capacity(signal),
    reap: (signal) => executor.reap(signal),
    close: async () => {
      leasing.close()
      await executor.close()
    },
  }
}

function busy({ count, among }: GpuDemand, sooner?: () => Promise<void>): NotYetError {
  return new NotYetError(`no GPU is free: ${count} of ${among.length} wanted`, RETRY_SECONDS, {
    ...(sooner && { sooner }),
    distance: 0,
    isShortage: true,
  })
}

class GpuLeasing {
  readonly #executor: Executor
  readonly #o: GpuLeasingOptions
  readonly #claims: GpuClaims
  readonly #queue: GpuQueue
  #known: { capacity: Capacity; seen: readonly string[]; at: number } | undefined
  readonly #closed = new AbortController()
  #isAsking = false
  #reapedAt = -Infinity
  /** One lease at a time: none gets in another's way half done. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(executor: Executor, options: GpuLeasingOptions) {
    const { folder, onWanted, clock, log } = options
    const files = new OwnedFiles(folder, clock)
    this.#executor = executor
    this.#o = options
    this.#claims = new GpuClaims(files, clock)
    const taken = (signal: AbortSignal): Promise<ReadonlySet<string>> => this.#taken(signal)
    this.#queue = new GpuQueue({ files, taken, onWanted, clock, log })
  }

  async start(spec: TaskSpec, signal: AbortSignal, onPhase: OnPhase): Promise<Task> {
    const { gpus, gpuMemoryBytes, isAhead = false, ...plain } = spec
    if (!hasNeeds(spec)) return await this.#executor.start(plain, signal, onPhase)
    const capacity = await this.capacity(signal)
    assertFits(spec, capacity)
    if (!wantsGpu(gpus)) return await this.#executor.start(plain, signal, onPhase)
    const counted = typeof gpus === 'number' ? gpusWith(gpuMemoryBytes, capacity) : capacity.gpus
    const among = typeof gpus === 'object' ? gpus : counted
    const demand = {
      among: [...new Set(among)],
      count: typeof gpus === 'number' ? gpus : new Set(among).size,
    }
    if (isAhead && (await this.#queue.hasWaiting())) throw busy(demand)
    const claims = await this.#leaseInTime(demand, signal)
    try {
      const uuids = claims.map(({ uuid }) => uuid)
      const task = await this.#executor.start({ ...plain, gpus: uuids }, signal, onPhase)
      return this.#leased(task, claims)
    } catch (error) {
      await this.#endLease(claims)
      // What is wrong with a GPU may be that it is gone.
      this.#known = undefined
      throw error
    }
  }

  /** As it was a moment ago: no job waits for a driver that takes its time. */
  async capacity(signal: AbortSignal): Promise<Capacity> {
    const known = this.#known
    if (known === undefined) return await this.#ask(signal)
    if (this.#o.clock.now() - known.at >= KNOWN_MS && !this.#isAsking) {
      this.#isAsking = true
      this.#ask(this.#closed.signal)
        .catch(() => {
          // The next job will meet the same error, and say it.
          this.#known = undefined
        })
        .finally(() => {
          this.#isAsking = false
        })
    }
    return known.capacity
  }

  async #ask(signal: AbortSignal): Promise<Capacity> {
    const capacity = await this.#executor.capacity(signal)
    const { allowed, clock } = this.#o
    const seen = capacity.gpus
    // Where none can be seen those that are named are taken at their word.
    const known = { ...capacity, gpus: seen.length === 0 ? (allowed ?? []) : seen }
    if (allowed !== undefined && seen.length > 0) {
      known.gpus = seen.filter((uuid) => allowed.includes(uuid))
      if (known.gpus.length === 0) known.noGpus = 'the configuration names others than there are'
    }
    this.#known = { capacity: known, seen, at: clock.now() }
    return known
  }

  close(): void {
    this.#closed.abort()
    this.#queue.close()
  }

  async #leaseInTime(demand: GpuDemand, signal: AbortSignal): Promise<GpuClaim[]> {
    for (;;) {
      const claims = await this.#inTurn(() => this.#lease(demand, signal))
      if (claims !== undefined) return claims
      if (this.#o.whenBusy === 'wait') {
        await this.#queue.wait(demand, signal)
        signal.throwIfAborted()
        continue
      }
      throw busy(demand, () => this.#waitForHold(demand))
    }
  }

  /** As long as a job is held for it: then it tries by itself, and waits anew, which must not make it two that wait. */
  async #waitForHold(demand: GpuDemand): Promise<void> {
    const over = new AbortController()
    const end = (): void => {
      over.abort()
    }
    this.#o.clock.sleep(RETRY_SECONDS * 1000, over.signal).then(end, () => undefined)
    await this.#queue.wait(demand, over.signal)
    end()
  }

  /** The GPUs that nobody could lease now. Containers that their dead runners have left are removed. */
  async #taken(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const claimed = await this.#claims.taken()
    let used = await this.#o.inUse(signal)
    const now = this.#o.clock.now()
    if ([...used].some((uuid) => !claimed.has(uuid)) && now - this.#reapedAt >= REAP_MS) {
      this.#reapedAt = now
      await this.#executor.reap(signal)
      used = await this.#o.inUse(signal)
    }
    return new Set([...claimed, ...used])
  }

  /** In a fixed order, all of them or none: never does one wait for another while it holds some. */
  async #lease(demand: GpuDemand, signal: AbortSignal): Promise<GpuClaim[] | undefined> {
    signal.throwIfAborted()
    if (await this.#queue.mustYield(demand)) return undefined
    const { among, count } = demand
    const claims: GpuClaim[] = []
    try {
      let used = await this.#o.inUse(signal)
      for (const [index, uuid] of among.entries()) {
        if (claims.length === count || among.length - index < count - claims.length) break
        const claim = await this.#claims.take(uuid)
        if (claim === undefined) continue
        claims.push(claim)
        if (!used.has(uuid)) continue
        // The container of a runner that is dead outlives its claim.
        await this.#executor.reap(signal)
        used = await this.#o.inUse(signal)
        if (used.has(uuid)) await claims.pop()?.release()
      }
      if (claims.length === count) {
        this.#queue.noteLease(demand)
        return claims
      }
    } catch (error) {
      await this.#release(claims)
      throw error
    }
    await this.#release(claims)
    return undefined
  }

  /** The same task, which gives its GPUs back when it is disposed. */
  #leased(task: Task, claims: readonly GpuClaim[]): Task {
    const dispose = task[Symbol.asyncDispose].bind(task)
    const wait = task.wait.bind(task)
    let ended: Promise<void> | undefined
    task[Symbol.asyncDispose] = async () => {
      try {
        await dispose()
      } finally {
        await (ended ??= this.#endLease(claims))
      }
    }
    let exit: Promise<TaskExit> | undefined
    task.wait = async () => {
      exit ??= wait().then((end) => this.#judge(end, claims))
      return await exit
    }
    return task
  }

  /** A program that failed because its GPU is gone is not at fault. The driver says so, never the program. */
  async #judge(exit: TaskExit, claims: readonly GpuClaim[]): Promise<TaskExit> {
    const before = this.#known?.seen ?? []
    if (exit.exitCode === 0 || before.length === 0) return exit
    let now: readonly string[]
    try {
      now = (await this.#executor.capacity(new AbortController().signal)).gpus
    } catch {
      return exit
    }
    const gone = claims.map(({ uuid }) => uuid).filter((uuid) => before.includes(uuid) && !now.includes(uuid))
    if (gone.length > 0)
      throw new UnfitError(`the GPU ${gone.join(', ')} is gone: the driver does not list it any more`)
    return exit
  }

  async #endLease(claims: readonly GpuClaim[]): Promise<void> {
    await this.#release(claims)
    this.#queue.noteRelease()
  }

  async #release(claims: readonly GpuClaim[]): Promise<void> {
    for (const claim of claims) {
      await claim.release().catch((error: unknown) => {
        this.#o.log.warn('A GPU could not be given back; it is free when this process ends', {
          gpu: claim.uuid,
          error: messageOf(error),
        })
      })
    }
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => undefined)
    return await turn
  }
}
