import { randomBytes } from 'node:crypto'
import { stat } from 'node:fs/promises'
import type { Clock } from '../../../core/clock.ts'
import { messageOf } from '../../../core/errors.ts'
import type { Logger } from '../../../core/log.ts'
import type { Slots } from '../../../core/slots.ts'
import { unlessAborted } from '../../../core/unless-aborted.ts'
import type { TaskSpec } from '../../executor.ts'
import { labelsOf, type Ownership } from '../container.ts'
import { createContainer } from '../create.ts'
import type { Engine } from '../api/engine.ts'
import { isRootless } from '../api/engine-kind.ts'
import { Holder } from './holder.ts'
import { importHolderImage } from './holder-image.ts'
import type { HostView } from '../host/host-view.ts'
import type { Removals } from '../removals.ts'

export interface HolderOptions {
  engine: Engine
  host: HostView
  removals: Removals
  /** False = none is made. */
  isWanted: boolean
  /** Places for starts that are under way. */
  starts: Slots
  ownership: () => Promise<Ownership>
  clock: Clock
  log: Logger
}

/** What the log says a holder's kind is, and its label. */
const KIND = 'holder'
/** After a holder could not be made none is tried for so long. */
const PAUSE_MS = 10_000
/** Holders that nobody needed for so long go. */
const IDLE_MS = 300_000
/** A program of ours can be seen by us only once it has taken the place of the engine's own. */
const LOOKS = 10
const LOOK_MS = 50

/**
 * Networks set up ahead, each held by a container of its own: to set one up is most of a container's start. A task joins
 * one that is free and as good as new, else it gets a network of its own, and no two share one. None waits for a network,
 * except where many start at a time: there the network that a task has made for it serves the next ones, too.
 */
export class Holders {
  readonly #o: HolderOptions
  readonly #idle: { holder: Holder; since: number }[] = []
  readonly #lent = new Set<Holder>()
  #making: Promise<void> | undefined
  /** Holders that are being made. */
  readonly #unfinished = new Set<Promise<void>>()
  /** Tasks under way that can use a holder. */
  #demand = 0
  /** Most of them at a time, lately. */
  #peak = 0
  #pausedUntil = -Infinity
  /** The engine or this machine is of the wrong sort. */
  #isImpossible = false
  readonly #closed = new AbortController()

  constructor(options: HolderOptions) {
    this.#o = options
  }

  /**
   * A task's place in a network; it must be left in the end. `isCrowded` = so many start at a time that it had to wait for
   * its turn: then it makes a holder where one is missing. Rejects with the signal's reason.
   */
  async seat(spec: TaskSpec, isCrowded: boolean, signal: AbortSignal): Promise<Seat> {
    if (!canJoin(spec)) return OWN_NETWORK
    this.#noteDemand()
    const ready = this.#borrow()
    if (ready !== undefined || !isCrowded || !this.#isShort()) return this.#seatAt(ready)
    try {
      await unlessAborted(this.#add(), signal)
      return this.#seatAt(this.#borrow())
    } catch (error) {
      this.#demand -= 1
      throw error
    }
  }

  /** A place in a network of the task's own. */
  ownSeat(spec: TaskSpec): Seat {
    if (!canJoin(spec)) return OWN_NETWORK
    this.#noteDemand()
    return this.#seatAt(undefined)
  }

  /** Makes, in the background, the holders that were missing when tasks asked for them. */
  refill(): void {
    if (this.#making !== undefined || !this.#isShort()) return
    this.#making = this.#makeMissing().finally(() => {
      this.#making = undefined
    })
  }

  /** Removes those that are not needed any more, except the one for the next task. */
  trim(): void {
    const longAgo = this.#o.clock.now() - IDLE_MS
    // Those that were used last stand at the end.
    while (this.#idle.length > 1 && (this.#idle[0]?.since ?? Infinity) < longAgo) {
      const [oldest] = this.#idle.splice(0, 1)
      if (oldest !== undefined) this.#drop(oldest.holder)
      this.#peak = Math.max(this.#demand, this.#lent.size + this.#idle.length)
    }
  }

  /** Has all of them removed. */
  async close(): Promise<void> {
    this.#closed.abort()
    await Promise.all([this.#making, ...this.#unfinished])
    for (const { holder } of this.#idle.splice(0)) this.#drop(holder)
    for (const holder of this.#lent) this.#drop(holder)
  }

  get #isClosed(): boolean {
    return this.#closed.signal.aborted
  }

  #noteDemand(): void {
    this.#demand += 1
    this.#peak = Math.max(this.#peak, this.#demand)
  }

  #borrow(): Holder | undefined {
    // The one used last: its files are likely still in memory, and those that are too many grow idle.
    for (let next = this.#idle.pop(); next !== undefined; next = this.#idle.pop()) {
      const { holder } = next
      if (holder.isAlive()) {
        this.#lent.add(holder)
        return holder
      }
      this.#drop(holder)
    }
    return undefined
  }

  #seatAt(holder: Holder | undefined): Seat {
    return {
      holder,
      leave: (isDead) => {
        this.#demand -= 1
        if (holder !== undefined) this.#takeBack(holder, isDead)
        this.refill()
      },
    }
  }

  #takeBack(holder: Holder, isDead: boolean): void {
    if (isDead && !this.#isClosed && holder.isClean()) {
      this.#lent.delete(holder)
      this.#idle.push({ holder, since: this.#o.clock.now() })
    } else this.#drop(holder)
  }

  #drop(holder: Holder): void {
    this.#lent.delete(holder)
    this.#o.removals.later(holder.id)
  }

  #isShort(): boolean {
    const { clock, host, isWanted } = this.#o
    if (!isWanted || this.#isClosed || this.#isImpossible) return false
    if (host.isElsewhere || clock.now() < this.#pausedUntil) return false
    return this.#idle.length + this.#lent.size + this.#unfinished.size < this.#peak
  }

  async #makeMissing(): Promise<void> {
    const { starts } = this.#o
    while (this.#isShort()) {
      const place = await starts.acquire(this.#closed.signal).catch(() => undefined)
      if (place === undefined) return
      try {
        // Tasks that waited for their own start may have made some meanwhile.
        if (this.#isShort()) await this.#add()
      } finally {
        starts.release(place)
      }
    }
  }

  /** One more that is free, or none: without it things are only slower. */
  async #add(): Promise<void> {
    const addition = this.#make()
      .then(
        (holder) => {
          if (holder === undefined) {
            this.#isImpossible = true
            this.#o.log.debug(
              'Networks are not set up ahead: what a container leaves in one could not be seen',
            )
          } else this.#idle.push({ holder, since: this.#o.clock.now() })
        },
        (error: unknown) => {
          this.#pausedUntil = this.#o.clock.now() + PAUSE_MS
          this.#o.log.debug('A network could not be set up ahead', { error: messageOf(error) })
        },
      )
      .finally(() => {
        this.#unfinished.delete(addition)
      })
    this.#unfinished.add(addition)
    await addition
  }

  async #make(): Promise<Holder | undefined> {
    const { engine, removals, ownership } = this.#o
    const image = await importHolderImage(engine)
    if (image === undefined) return undefined
    const name = `${KIND}-${randomBytes(6).toString('hex')}`
    const body = holderBody(image, await ownership(), await this.#user())
    await createContainer({ engine, removals }, { name, body })
    let isMade = false
    try {
      await engine.json('POST', `/containers/${name}/start`)
      const holder = await this.#inspect(name)
      isMade = holder !== undefined
      return holder
    } finally {
      if (!isMade) removals.later(name)
    }
  }

  async #inspect(name: string): Promise<Holder | undefined> {
    const { engine, host, clock } = this.#o
    for (let n = 0; n < LOOKS; n += 1) {
      const { Id, State } = (await engine.json('GET', `/containers/${name}/json`)) as Inspected
      if (!State.Running) throw new Error('The holder has ended')
      const process = await host.processOf(Id)
      const holder = process === undefined ? undefined : Holder.inspect(Id, process)
      if (holder !== undefined) return holder
      await clock.sleep(LOOK_MS)
    }
    host.noteElsewhere()
    return undefined
  }

  /** The user whose processes we may look into; undefined = root in the container. */
  async #user(): Promise<string | undefined> {
    const { uid, gid } = await stat('/proc/self')
    return uid === 0 || (await isRootless(this.#o.engine)) ? undefined : `${uid}:${gid}`
  }
}

interface Inspected {
  Id: string
  State: { Running: boolean }
}

/** A container whose network a task joins. */
export interface NetworkHolder {
  readonly id: string
  /** Whether it surely runs. */
  isAlive(): boolean
}

/** Where a task's container gets its network from. */
export interface Seat {
  /** Undefined = it sets up a network of its own. */
  readonly holder: NetworkHolder | undefined
  /** Gives the place back; `isDead` = no program of the task can run any more. */
  leave(isDead: boolean): void
}

const OWN_NETWORK: Seat = { holder: undefined, leave: () => undefined }

/**
 * Not what is kept, since it could not be started again by hand once the holder is gone; nor another runtime's; nor what
 * serves others, since who joins a network can't publish a port.
 */
function canJoin({ limits: { network, runtime }, keep, server }: TaskSpec): boolean {
  return network !== 'none' && runtime === undefined && !keep && server === undefined
}

function holderBody(image: string, ownership: Ownership, user: string | undefined): object {
  return {
    Image: image,
    ...(user === undefined ? {} : { User: user }),
    Labels: labelsOf(KIND, false, ownership),
    HostConfig: {
      NetworkMode: 'default',
      ReadonlyRootfs: true,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      LogConfig: { Type: 'none', Config: {} },
      RestartPolicy: { Name: 'no' },
    },
  }
}
