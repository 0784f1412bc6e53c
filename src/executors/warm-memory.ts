import type { Logger } from '../core/log.ts'
import type { Executor } from './executor.ts'
import type { Shelf } from './shelf.ts'

/** Parked tasks may take this share of the machine's memory. */
const SHARE = 0.25

/** What the parked tasks occupy, and what the machine has. All is known only once `weigh` has asked. */
export class WarmMemory {
  readonly #executor: Executor
  readonly #shelves: ReadonlyMap<unknown, Shelf>
  readonly #log: Logger
  #totalBytes: number | undefined
  #isSaid = false

  constructor(executor: Executor, shelves: ReadonlyMap<unknown, Shelf>, log: Logger) {
    this.#executor = executor
    this.#shelves = shelves
    this.#log = log
  }

  /** Asks what a parked task of each shelf occupies now. */
  async weigh(signal: AbortSignal): Promise<void> {
    this.#totalBytes ??= await this.#executor.capacity(signal).then(
      ({ memoryBytes }) => memoryBytes,
      () => undefined,
    )
    for (const shelf of this.#shelves.values()) {
      const [oldest] = shelf.parked
      if (oldest !== undefined) shelf.usage = (await oldest.task.memoryUsage()) ?? shelf.usage
    }
  }

  /** Whether one more may be parked. */
  fits(shelf: Shelf): boolean {
    return !this.#exceeds(this.#parkedBytes() + (shelf.usage ?? 0))
  }

  isTooMuch(): boolean {
    return this.#exceeds(this.#parkedBytes())
  }

  /** Whether a job that may use so many bytes could miss some of them because of the parked tasks. */
  isShortOf(bytes: number): boolean {
    let promised = bytes
    for (const { running, spec } of this.#shelves.values())
      promised += running * (spec.limits.memoryBytes ?? 0)
    return promised + this.#parkedBytes() > (this.#totalBytes ?? Infinity)
  }

  #parkedBytes(): number {
    let bytes = 0
    for (const shelf of this.#shelves.values()) bytes += shelf.count * (shelf.usage ?? 0)
    return bytes
  }

  #exceeds(bytes: number): boolean {
    if (bytes <= (this.#totalBytes ?? Infinity) * SHARE) return false
    if (!this.#isSaid) {
      this.#isSaid = true
      const fields = { bytes, memory_bytes: this.#totalBytes }
      this.#log.info(
        'Fewer containers are started ahead: they would take over a quarter of the memory',
        fields,
      )
    }
    return true
  }
}
