import { setMaxListeners } from 'node:events'
import { childSignal } from '../core/child-signal.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf, NotYetError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { Executor, Task, TaskSpec } from './executor.ts'
import { PooledTask } from './pooled-task.ts'
import { taskName } from './run-task.ts'
import { Shelf, type Parked } from './shelf.ts'
import { WarmMemory } from './warm-memory.ts'

export interface WarmPoolOptions {
  /** Parked tasks per slot; 0 = none. */
  perSlot: number
  slots: number
  /** While jobs run no more than so many are parked: the processors have no time for them. Left out = no bound. */
  processors?: number
  /** A parked task that nobody took for so long goes. */
  idleMs: number
  /** How many jobs will come at most; 0 = no end. */
  jobs: number
  /** No task is parked any more once this is aborted, and the parked ones go. */
  drain: AbortSignal
  clock: Clock
  log: Logger
}

/** While a job runs its processor is its own: the task for the next one is started after it, or so long after. */
const RUN_ALONE_MS = 200
/** A job that follows another one at once comes within this time. */
const LULL_MS = 50
/** Parked tasks may give way to another image's when nobody asked for theirs for so long. */
const STALE_MS = 5000
const SWEEP_MS = 1000
/** The engine's word about a parked task that seems to have ended comes within this time, or not at all. */
const BURIAL_MS = 5000

/**
 * An executor that starts tasks before their jobs come: each job orders the task of the next one with the same image,
 * command, environment and limits, which then waits at its first read of standard input. Each serves one job. On any
 * doubt a job gets a task of its own. Wraps an executor, and closes it.
 */
export function createWarmPool(executor: Executor, options: WarmPoolOptions): WarmExecutor {
  const pool = new WarmPool(executor, options)
  return {
    name: executor.name,
    probe: (signal) => executor.probe(signal),
    pull: async (image, signal, platform) => {
      const info = await executor.pull(image, signal, platform)
      pool.noteImage(image, platform, info.id)
      return info
    },
    start: (spec, signal, onPhase) => pool.start(spec, signal, onPhase),
    capacity: (signal) => executor.capacity(signal),
    reap: (signal) => executor.reap(signal),
    giveUpGpus: () => {
      pool.giveUpGpus()
    },
    close: async () => {
      await pool.close()
      await executor.close()
    },
  }
}

/** An executor with tasks that no job needs yet. */
export interface WarmExecutor extends Executor {
  /** Throws out those that hold GPUs: somebody else waits for one. */
  giveUpGpus(): void
}

type OnPhase = Parameters<Executor['start']>[2]

class WarmPool {
  readonly #executor: Executor
  readonly #o: WarmPoolOptions
  readonly #shelves = new Map<string, Shelf>()
  /** Image and platform → the content that `pull` last found. */
  readonly #imageIds = new Map<string, string>()
  /** Images of which a parked task ended by itself. */
  readonly #unfit = new Set<string>()
  readonly #closed = new AbortController()
  /** No task is parked any more. */
  readonly #over: AbortSignal
  /** Starts and removals of parked tasks under way. */
  readonly #busy = new Set<Promise<unknown>>()
  /** Jobs that wait for a task of their own. */
  #coldStarts = 0
  #jobsStarted = 0
  readonly #memory: WarmMemory
  #isSweeping = false

  constructor(executor: Executor, options: WarmPoolOptions) {
    this.#executor = executor
    this.#o = options
    this.#memory = new WarmMemory(executor, this.#shelves, options.log)
    this.#over = childSignal(this.#closed.signal, options.drain).signal
    // Every start ahead that is under way listens to it.
    setMaxListeners(0, this.#over)
    options.drain.addEventListener('abort', () => {
      this.#discardAll()
    })
  }

  /** Parked tasks of an image's earlier content are of no use any more. */
  noteImage(image: string, platform: string | undefined, id: string): void {
    const key = imageKey(image, platform)
    const before = this.#imageIds.get(key)
    this.#imageIds.set(key, id)
    if (before === undefined || before === id) return
    for (const [shelfKey, shelf] of this.#shelves) {
      if (shelf.imageId !== before || shelf.spec.image !== image) continue
      this.#discard(shelf, shelf.parked.splice(0))
      this.#shelves.delete(shelfKey)
    }
  }

  async start(spec: TaskSpec, signal: AbortSignal, onPhase: OnPhase): Promise<Task> {
    this.#jobsStarted += 1
    const shelf = this.#shelfFor(spec)
    if (shelf === undefined) return await this.#startCold(spec, signal, onPhase)
    shelf.noteJob(this.#o.clock.now())
    const ended = (): void => {
      shelf.running -= 1
      // Where the processors have enough to do the next job starts its own container, if it comes at once.
      if (this.#areProcessorsBusy()) this.#refillLater(shelf, LULL_MS)
      else this.#refill(shelf)
    }
    try {
      const parked = await this.#take(shelf, signal)
      if (parked !== undefined) {
        // Not waited for: a job is no slower for its container's name.
        this.#track(parked.rename(spec.name))
        this.#refillLater(shelf, RUN_ALONE_MS)
        return new PooledTask(parked, {
          disposed: ended,
          endedBeforeInput: () => {
            this.#noteUnfit(shelf)
          },
        })
      }
      const task = await this.#startCold(spec, signal, onPhase)
      this.#refillLater(shelf, RUN_ALONE_MS)
      return withEnd(task, ended)
    } catch (error) {
      ended()
      throw error
    }
  }

  giveUpGpus(): void {
    for (const shelf of this.#shelves.values()) {
      if (wantsGpu(shelf.spec)) this.#discard(shelf, shelf.parked.splice(0))
    }
  }

  async close(): Promise<void> {
    this.#closed.abort()
    this.#discardAll()
    while (this.#busy.size > 0) await Promise.all(this.#busy)
  }

  /** Where the spec's parked tasks stand; undefined when none may be. */
  #shelfFor(spec: TaskSpec): Shelf | undefined {
    const { perSlot, clock } = this.#o
    if (perSlot === 0 || spec.keep || spec.isUnique === true || (spec.mounts ?? []).length > 0)
      return undefined
    const image = imageKey(spec.image, spec.limits.platform)
    const imageId = this.#imageIds.get(image) ?? ''
    if (this.#unfit.has(contentKey(spec.image, imageId))) return undefined
    const key = JSON.stringify([imageId, { ...spec, name: undefined }])
    let shelf = this.#shelves.get(key)
    if (shelf === undefined) {
      shelf = new Shelf(spec, imageId, clock.now())
      this.#shelves.set(key, shelf)
    }
    return shelf
  }

  /** A parked task that certainly runs, or one that is just being started. */
  async #take(shelf: Shelf, signal: AbortSignal): Promise<Task | undefined> {
    for (let parked = shelf.parked.shift(); parked !== undefined; parked = shelf.parked.shift()) {
      parked.isTaken = true
      if (await parked.task.isRunning()) return parked.task
      this.#track(this.#bury(shelf, parked))
    }
    return await shelf.claimStart(signal, (task) => {
      this.#track(dispose(task))
    })
  }

  async #startCold(spec: TaskSpec, signal: AbortSignal, onPhase: OnPhase): Promise<Task> {
    this.#coldStarts += 1
    try {
      await this.#makeRoom(spec)
      return await this.#executor.start(spec, signal, onPhase)
    } catch (error) {
      // A GPU may be free that only waits for a job.
      if (!(error instanceof NotYetError) || !(await this.#giveUpGpus(spec))) throw error
      return await this.#executor.start(spec, signal, onPhase)
    } finally {
      this.#coldStarts -= 1
    }
  }

  #refillLater(shelf: Shelf, ms: number): void {
    this.#o.clock
      .sleep(ms, this.#closed.signal)
      .then(() => {
        this.#refill(shelf)
      })
      .catch(() => undefined)
  }

  #areProcessorsBusy(): boolean {
    const { processors = Infinity } = this.#o
    let running = 0
    for (const shelf of this.#shelves.values()) running += shelf.running
    return running >= processors
  }

  #refill(shelf: Shelf): void {
    while (this.#mayPark(shelf)) this.#park(shelf)
  }

  #mayPark(shelf: Shelf): boolean {
    const { perSlot, slots, processors = Infinity, jobs, drain } = this.#o
    if (this.#closed.signal.aborted || drain.aborted || this.#coldStarts > 0) return false
    if (
      !this.#isKnown(shelf) ||
      shelf.isBroken ||
      this.#unfit.has(contentKey(shelf.spec.image, shelf.imageId))
    )
      return false
    const count = this.#count()
    if (jobs > 0 && count >= jobs - this.#jobsStarted) return false
    if (count >= processors && [...this.#shelves.values()].some(({ running }) => running > 0)) return false
    if (shelf.count >= Math.min(shelf.peak, slots) * perSlot) return false
    if (count >= slots * perSlot && !this.#evictStale(shelf)) return false
    return this.#memory.fits(shelf)
  }

  /** Not one whose image has changed meanwhile. */
  #isKnown(shelf: Shelf): boolean {
    return [...this.#shelves.values()].includes(shelf)
  }

  #count(): number {
    let count = 0
    for (const shelf of this.#shelves.values()) count += shelf.count
    return count
  }

  /** Throws out a parked task of the image that was not asked for the longest; false when all are in demand. */
  #evictStale(by: Shelf): boolean {
    let oldest: Shelf | undefined
    for (const shelf of this.#shelves.values()) {
      if (shelf === by || shelf.parked.length === 0) continue
      if (oldest === undefined || shelf.lastJobAt < oldest.lastJobAt) oldest = shelf
    }
    if (oldest === undefined || this.#o.clock.now() - oldest.lastJobAt < STALE_MS) return false
    this.#discard(oldest, oldest.parked.splice(0, 1))
    return true
  }

  #park(shelf: Shelf): void {
    const { clock, log } = this.#o
    const spec = { ...shelf.spec, name: taskName(shelf.spec.kind, 'warm'), isAhead: true }
    const signal = this.#over
    const start = shelf.beginStart(
      this.#executor.start(spec, signal).catch((error: unknown) => {
        // The next job will meet the same error, and say it.
        shelf.isBroken = true
        if (!signal.aborted) log.debug('Starting a container ahead failed', { error: messageOf(error) })
        return undefined
      }),
    )
    this.#track(
      start.done.then((task) => {
        shelf.starts.delete(start)
        if (task === undefined || start.isClaimed) return
        const parked: Parked = { task, since: clock.now(), isTaken: false }
        this.#watch(shelf, parked)
        if (signal.aborted || !this.#isKnown(shelf)) {
          this.#discard(shelf, [parked])
          return
        }
        shelf.parked.push(parked)
        log.debug('Container started ahead', { container: task.name })
        void this.#sweepWhileParked()
      }),
    )
  }

  /** A parked task that ends by itself would do so before its input again and again. */
  #watch(shelf: Shelf, parked: Parked): void {
    parked.task.wait().then(
      () => {
        if (!parked.isTaken) this.#noteUnfit(shelf)
      },
      () => {
        // The engine has trouble; that the task runs is not certain any more.
        const at = shelf.parked.indexOf(parked)
        if (at >= 0) this.#discard(shelf, shelf.parked.splice(at, 1))
      },
    )
  }

  #noteUnfit({ spec: { image }, imageId }: Shelf): void {
    if (this.#unfit.has(contentKey(image, imageId))) return
    this.#unfit.add(contentKey(image, imageId))
    this.#o.log.info('An image that does not wait for its input is not started ahead any more', { image })
    for (const shelf of this.#shelves.values()) {
      if (shelf.spec.image === image && shelf.imageId === imageId)
        this.#discard(shelf, shelf.parked.splice(0))
    }
  }

  /** Removes one that seems to have ended, once it is known whether it did so by itself. */
  async #bury(shelf: Shelf, { task }: Parked): Promise<void> {
    const { signal, cut, free } = childSignal(this.#closed.signal)
    const ended = task.wait().then(
      () => true,
      () => false,
    )
    const late = this.#o.clock.sleep(BURIAL_MS, signal).then(
      () => false,
      () => false,
    )
    if (await Promise.race([ended, late])) this.#noteUnfit(shelf)
    cut()
    free()
    await dispose(task)
  }

  #discard(shelf: Shelf, parked: readonly Parked[]): void {
    for (const one of parked) {
      one.isTaken = true
      this.#track(dispose(one.task))
      this.#o.log.debug('Container started ahead is not needed', {
        container: one.task.name,
        image: shelf.spec.image,
      })
    }
  }

  #discardAll(): void {
    for (const shelf of this.#shelves.values()) this.#discard(shelf, shelf.parked.splice(0))
  }

  #track(work: Promise<unknown>): void {
    const tracked = work
      .catch((error: unknown) => {
        this.#o.log.debug('A parked container made trouble', { error: messageOf(error) })
      })
      .finally(() => {
        this.#busy.delete(tracked)
      })
    this.#busy.add(tracked)
  }

  /** Looks after the parked tasks until there is none: what they occupy, and who has waited too long. */
  async #sweepWhileParked(): Promise<void> {
    if (this.#isSweeping) return
    this.#isSweeping = true
    try {
      while (this.#count() > 0) {
        await this.#o.clock.sleep(Math.min(SWEEP_MS, this.#o.idleMs), this.#closed.signal)
        this.#dropIdle()
        await this.#memory.weigh(this.#closed.signal)
        for (const shelf of this.#byLastJob()) {
          while (this.#memory.isTooMuch() && shelf.parked.length > 0) {
            this.#discard(shelf, shelf.parked.splice(0, 1))
          }
        }
      }
    } catch {
      // Closed.
    } finally {
      this.#isSweeping = false
    }
  }

  #dropIdle(): void {
    const { clock, idleMs } = this.#o
    const now = clock.now()
    for (const [key, shelf] of this.#shelves) {
      if (now - shelf.lastJobAt >= idleMs && shelf.running === 0) {
        this.#discard(shelf, shelf.parked.splice(0))
        if (shelf.count === 0) this.#shelves.delete(key)
      }
    }
  }

  #byLastJob(): Shelf[] {
    return [...this.#shelves.values()].sort((a, b) => a.lastJobAt - b.lastJobAt)
  }

  /** A job with a memory limit gets what it may use, before those that only wait. */
  async #makeRoom({ limits }: TaskSpec): Promise<void> {
    const needed = limits.memoryBytes
    if (needed === undefined) return
    const removed: Promise<void>[] = []
    for (const shelf of this.#byLastJob()) {
      while (this.#memory.isShortOf(needed) && shelf.parked.length > 0) {
        removed.push(...this.#remove(shelf, shelf.parked.splice(0, 1)))
      }
    }
    await Promise.all(removed)
  }

  /** Throws out the parked tasks that hold GPUs; says whether there were any. */
  async #giveUpGpus(spec: TaskSpec): Promise<boolean> {
    if (!wantsGpu(spec)) return false
    const removed: Promise<void>[] = []
    for (const shelf of this.#byLastJob()) {
      if (wantsGpu(shelf.spec)) removed.push(...this.#remove(shelf, shelf.parked.splice(0)))
    }
    await Promise.all(removed)
    return removed.length > 0
  }

  #remove(shelf: Shelf, parked: readonly Parked[]): Promise<void>[] {
    return parked.map(async (one) => {
      one.isTaken = true
      this.#o.log.debug('Container started ahead gives way', {
        container: one.task.name,
        image: shelf.spec.image,
      })
      await dispose(one.task).catch(() => undefined)
    })
  }
}

function imageKey(image: string, platform: string | undefined): string {
  return `${image} ${platform ?? ''}`
}

function contentKey(image: string, imageId: string): string {
  return `${image} ${imageId}`
}

async function dispose(task: Task): Promise<void> {
  await task[Symbol.asyncDispose]()
}

function wantsGpu({ gpus }: TaskSpec): boolean {
  return gpus !== undefined && gpus !== 0
}

/** The same task, whose removal is heard of. */
function withEnd(task: Task, onDisposed: () => void): Task {
  const remove = task[Symbol.asyncDispose].bind(task)
  task[Symbol.asyncDispose] = async () => {
    try {
      await remove()
    } finally {
      onDisposed()
    }
  }
  return task
}
