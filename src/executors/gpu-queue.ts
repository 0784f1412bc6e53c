import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { OwnedFiles } from './owned-files.ts'

/** So many GPUs out of these. */
export interface GpuDemand {
  among: readonly string[]
  count: number
}

export interface GpuQueueOptions {
  /** Shared with the other processes: here each says for what it waits. */
  files: OwnedFiles
  /** The GPUs that somebody has. */
  taken: (signal: AbortSignal) => Promise<ReadonlySet<string>>
  /** Somebody waits, here or elsewhere: what is not needed is to be given back. */
  onWanted: () => void
  clock: Clock
  log: Logger
}

interface Waiter extends GpuDemand {
  wake: () => void
}

/** What this process waits for, as the others see it. */
interface Sign {
  file: string
  /** Wall clock, ms. */
  since: number
}

/** Between two looks whether another process has given one back, or waits for one. */
const LOOK_MS = 1000
/** Others may pass a demand for so long; after that what is given back is kept for it, but not for ever. */
const PATIENCE_MS = 15_000
const LONGEST_RESERVATION_MS = 600_000
/** A demand that was not repeated for so long is nobody's any more. */
const FORGET_MS = 90_000
const SIGN = 'waiting'

/** Those who wait for GPUs, in this process and in others: first come, first served. */
export class GpuQueue {
  readonly #o: GpuQueueOptions
  readonly #waiting = new Set<Waiter>()
  /** Demands that wait: since when, and when they were repeated last. */
  readonly #refused = new Map<string, { demand: GpuDemand; since: number; last: number }>()
  readonly #closed = new AbortController()
  #hurry = new AbortController()
  #isLooking = false
  #leases = 0
  #sign: Sign | undefined

  constructor(options: GpuQueueOptions) {
    this.#o = options
  }

  /** Resolves when the demand can perhaps be met, or was given up; never rejects. */
  async wait(demand: GpuDemand, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true || this.#closed.signal.aborted) return
    const now = this.#o.clock.now()
    const known = this.#refused.get(keyOf(demand))
    this.#refused.set(keyOf(demand), { demand, since: known?.since ?? now, last: now })
    await new Promise<void>((resolve) => {
      const waiter: Waiter = {
        ...demand,
        wake: () => {
          this.#waiting.delete(waiter)
          signal?.removeEventListener('abort', waiter.wake)
          resolve()
        },
      }
      this.#waiting.add(waiter)
      signal?.addEventListener('abort', waiter.wake, { once: true })
      void this.#look()
    })
  }

  /** Whether an earlier demand has waited for so long that no other must take its GPUs. */
  async mustYield(demand: GpuDemand): Promise<boolean> {
    const known = this.#refused.get(keyOf(demand))
    if (known !== undefined) known.last = this.#o.clock.now()
    if (this.#isBehind(demand)) return true
    const since = this.#wallClock(known?.since ?? this.#o.clock.now())
    const now = this.#o.clock.date().getTime()
    return (await this.#othersWait()).some(
      (other) =>
        other.since < since &&
        now - other.since > PATIENCE_MS &&
        now - other.since < LONGEST_RESERVATION_MS &&
        overlap(other, demand),
    )
  }

  /** Whether anybody waits, here or in another process. */
  async hasWaiting(): Promise<boolean> {
    return this.#waiting.size > 0 || (await this.#othersWait()).length > 0
  }

  /** Notes that a demand was met. */
  noteLease(demand: GpuDemand): void {
    const isShown = this.#refused.delete(keyOf(demand))
    if (isShown) this.#hurry.abort()
    this.#leases += 1
    void this.#look()
  }

  /** Notes that what one demand had was given back. */
  noteRelease(): void {
    this.#leases -= 1
    this.#hurry.abort()
  }

  close(): void {
    this.#closed.abort()
    this.#hurry.abort()
    for (const waiter of this.#waiting) waiter.wake()
  }

  #isBehind(demand: GpuDemand): boolean {
    const now = this.#o.clock.now()
    const own = this.#refused.get(keyOf(demand))?.since ?? now
    for (const refused of this.#refused.values()) {
      if (now - refused.last > FORGET_MS) continue
      if (now - refused.since > LONGEST_RESERVATION_MS) refused.since = now
      else if (now - refused.since > PATIENCE_MS && refused.since < own && overlap(refused.demand, demand))
        return true
    }
    return false
  }

  /** Looks round as long as somebody here waits for a GPU, or has one that another may wait for. */
  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    const { taken, onWanted, clock, log } = this.#o
    while (this.#isOfInterest()) {
      try {
        await this.#showSign()
        await clock.sleep(LOOK_MS, this.#hurry.signal).catch(() => undefined)
        // Before the look: what is given back meanwhile is worth another one.
        this.#hurry = new AbortController()
        if (this.#waiting.size > 0) this.#wakeThoseWhoFit(await taken(this.#closed.signal))
        if (this.#waiting.size > 0 || (await this.#othersWait()).length > 0) onWanted()
      } catch (error) {
        // Each finds out by itself what is wrong.
        log.debug('Looking for free GPUs failed', { error: messageOf(error) })
        await clock.sleep(LOOK_MS, this.#closed.signal).catch(() => undefined)
      }
    }
    this.#isLooking = false
    await this.#showSign().catch(() => undefined)
  }

  #isOfInterest(): boolean {
    if (this.#closed.signal.aborted) return false
    return this.#waiting.size > 0 || this.#leases > 0 || this.#oldest() !== undefined
  }

  /** The demand that has waited longest, and is not forgotten. */
  #oldest(): { demand: GpuDemand; since: number } | undefined {
    const now = this.#o.clock.now()
    for (const [key, { last }] of this.#refused) if (now - last > FORGET_MS) this.#refused.delete(key)
    return [...this.#refused.values()].sort((a, b) => a.since - b.since)[0]
  }

  #wakeThoseWhoFit(taken: ReadonlySet<string>): void {
    const promised = new Set(taken)
    for (const waiter of this.#waiting) {
      const free = waiter.among.filter((uuid) => !promised.has(uuid)).slice(0, waiter.count)
      if (free.length < waiter.count || this.#isBehind(waiter)) continue
      for (const uuid of free) promised.add(uuid)
      waiter.wake()
    }
  }

  /** Says to the other processes for what somebody here waits, or that nobody does. */
  async #showSign(): Promise<void> {
    const oldest = this.#closed.signal.aborted ? undefined : this.#oldest()
    const since = oldest && this.#wallClock(oldest.since)
    const old = this.#sign
    if (since !== undefined && old !== undefined && Math.abs(since - old.since) < LOOK_MS) return
    this.#sign = undefined
    if (old !== undefined) await this.#o.files.remove(old.file)
    if (oldest === undefined || since === undefined) return
    const { among, count } = oldest.demand
    this.#sign = { file: await this.#o.files.write(SIGN, { since, among, count }), since }
  }

  /** What other processes wait for. */
  async #othersWait(): Promise<(GpuDemand & { since: number })[]> {
    const signs = (await this.#o.files.living(SIGN)).filter(({ isOurs }) => !isOurs)
    return signs.flatMap(({ note: { since, among, count } }) =>
      typeof since === 'number' && typeof count === 'number' && Array.isArray(among)
        ? [{ since, among: among as string[], count }]
        : [],
    )
  }

  /** When it was by the wall clock, which all processes share. */
  #wallClock(monotonicMs: number): number {
    const { clock } = this.#o
    return Math.round(clock.date().getTime() - (clock.now() - monotonicMs))
  }
}

function keyOf({ among, count }: GpuDemand): string {
  return JSON.stringify([count, among])
}

function overlap(a: GpuDemand, b: GpuDemand): boolean {
  return a.among.some((uuid) => b.among.includes(uuid))
}
