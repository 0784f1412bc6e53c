import type { Task, TaskSpec } from './executor.ts'

/** A task that runs and waits for its input. */
export interface Parked {
  task: Task
  /** Clock.now of its start. */
  since: number
  /** A job has it, or it is on its way out. */
  isTaken: boolean
}

/** A parked task on its way; undefined when its start failed. */
export interface Start {
  done: Promise<Task | undefined>
  isClaimed: boolean
}

/** The parked tasks of one spec, and how much they are in demand. */
export class Shelf {
  /** All but the name is the same for all of them. */
  readonly spec: TaskSpec
  readonly imageId: string
  readonly parked: Parked[] = []
  readonly starts = new Set<Start>()
  /** Jobs under way. */
  running = 0
  /** Most jobs at a time. */
  peak = 0
  lastJobAt: number
  /** Bytes that one parked task occupied last. */
  usage: number | undefined
  /** The last start ahead failed, and no job has come since. */
  isBroken = false

  constructor(spec: TaskSpec, imageId: string, now: number) {
    this.spec = spec
    this.imageId = imageId
    this.lastJobAt = now
  }

  /** Parked tasks that are there, or will be. */
  get count(): number {
    return this.parked.length + this.starts.size
  }

  noteJob(now: number): void {
    this.running += 1
    this.peak = Math.max(this.peak, this.running)
    this.lastJobAt = now
    this.isBroken = false
  }

  beginStart(done: Promise<Task | undefined>): Start {
    const start = { done, isClaimed: false }
    this.starts.add(start)
    return start
  }

  /**
   * The task of a start that is under way; undefined when there is none, or when it failed. What comes when nobody
   * waits for it any more is abandoned.
   */
  async claimStart(signal: AbortSignal, abandon: (task: Task) => void): Promise<Task | undefined> {
    const [start] = this.starts
    if (start === undefined) return undefined
    this.starts.delete(start)
    start.isClaimed = true
    const aborted = new Promise<never>((_resolve, reject) => {
      const leave = (): void => {
        reject(signal.reason as Error)
      }
      signal.addEventListener('abort', leave, { once: true })
      if (signal.aborted) leave()
      void start.done.then(() => {
        signal.removeEventListener('abort', leave)
      })
    })
    try {
      return await Promise.race([start.done, aborted])
    } catch (error) {
      // Nobody else knows of it.
      void start.done.then((task) => {
        if (task !== undefined) abandon(task)
      })
      throw error
    }
  }
}
