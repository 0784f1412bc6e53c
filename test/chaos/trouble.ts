import { setTimeout as delay } from 'node:timers/promises'
import type { AwsFault } from '../support/faults/aws-front.ts'
import type { EngineFault } from '../support/faults/engine-front.ts'
import { ArmedPlan } from '../support/faults/plan.ts'
import type { World } from '../support/faults/world.ts'
import type { Fleet } from './fleet.ts'
import type { Event } from './schedule.ts'

/** Between the two signals of a stop that is to be forced, in milliseconds. */
const IMPATIENCE_MS = 400

/** Makes the events of a schedule happen. */
export class Trouble {
  readonly #world: World
  readonly #fleet: Fleet
  readonly #sendAgain: () => Promise<void>
  readonly #engineFaults = new ArmedPlan<EngineFault>()
  readonly #awsFaults = new ArmedPlan<AwsFault>()
  readonly #counts = new Map<string, number>()
  /** What goes on by itself and must be over before the peace. */
  readonly #underWay = new Set<Promise<void>>()
  #engineIsBusy = false

  constructor(world: World, fleet: Fleet, sendAgain: () => Promise<void>) {
    this.#world = world
    this.#fleet = fleet
    this.#sendAgain = sendAgain
    world.engineFront.plan = this.#engineFaults
    world.awsFront.plan = this.#awsFaults
  }

  /** Plays all events at their times, then sees that nothing is broken any more. */
  async play(events: readonly Event[], durationMs: number): Promise<void> {
    const start = performance.now()
    for (const event of events) {
      await delay(Math.max(0, start + event.atMs - performance.now()))
      this.#begin(event)
    }
    await delay(Math.max(0, start + durationMs - performance.now()))
    this.#engineFaults.disarm()
    this.#awsFaults.disarm()
    this.#fleet.thaw()
    await Promise.all(this.#underWay)
    this.#fleet.thaw()
  }

  /** How often what happened, besides the faults of the fronts. */
  counts(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  #begin(event: Event): void {
    const work = this.#happen(event).finally(() => this.#underWay.delete(work))
    this.#underWay.add(work)
  }

  #count(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }

  async #happen(event: Event): Promise<void> {
    const fleet = this.#fleet
    switch (event.what) {
      case 'kill':
        this.#count('runner killed (-9)')
        await fleet.kill(event.runner)
        return
      case 'stop':
        this.#count('runner asked to stop')
        fleet.signal(event.runner, 'SIGTERM')
        return
      case 'abort':
        this.#count('runner stopped by force')
        fleet.signal(event.runner, 'SIGTERM')
        await delay(IMPATIENCE_MS)
        fleet.signal(event.runner, 'SIGTERM')
        return
      case 'freeze':
        this.#count('runner frozen')
        fleet.signal(event.runner, 'SIGSTOP')
        await delay(event.ms)
        fleet.signal(event.runner, 'SIGCONT')
        return
      case 'engine':
        await this.#restartEngine(event.how, event.downMs)
        return
      case 'aws-down':
        this.#count('AWS out of reach')
        this.#world.awsFront.goDown(event.ms)
        return
      case 'engine-fault':
        this.#engineFaults.arm(event.operation, event.fault)
        return
      case 'aws-fault':
        this.#awsFaults.arm(event.action, event.fault)
        return
      case 'message-twice':
        this.#count('message sent twice')
        await this.#sendAgain()
    }
  }

  async #restartEngine(how: 'stop' | 'crash', downMs: number): Promise<void> {
    if (this.#engineIsBusy) return
    this.#engineIsBusy = true
    try {
      this.#count(how === 'stop' ? 'engine restarted in order' : 'engine killed (-9)')
      const { dockerd } = this.#world
      await (how === 'stop' ? dockerd.stop() : dockerd.crash())
      await delay(downMs)
      await dockerd.restart()
    } finally {
      this.#engineIsBusy = false
    }
  }
}
