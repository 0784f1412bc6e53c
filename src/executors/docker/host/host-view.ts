import type { Engine } from '../api/engine.ts'
import { HostProcess } from './host-process.ts'

/** How often `learn` tries: a container that ends quickly teaches nothing. */
const LESSONS = 5

/** What this machine's /proc shows of an engine's containers: everything, or nothing. */
export class HostView {
  readonly #engine: Engine
  #isShared = false
  #isElsewhere = false
  #lessons = 0

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** The engine's containers are processes of this machine, so that its clock is ours too. False on any doubt. */
  get isShared(): boolean {
    return this.#isShared
  }

  /** Nothing of the engine's containers can be seen from here. False on any doubt. */
  get isElsewhere(): boolean {
    return this.#isElsewhere
  }

  /**
   * The first process of a running container; undefined when it has ended or can't be seen from here. Throws what the
   * engine throws.
   */
  async processOf(containerId: string): Promise<HostProcess | undefined> {
    if (this.#isElsewhere) return undefined
    const answer = (await this.#engine.json('GET', `/containers/${containerId}/json`)) as {
      State: { Pid?: number; Running?: boolean }
    }
    const { Running, Pid = 0 } = answer.State
    const found = Running === true ? HostProcess.find(Pid, containerId) : undefined
    if (found !== undefined) this.#isShared = true
    return found
  }

  /** Finds out, by any container that runs, unless it is known. */
  async learn(containerId: string): Promise<void> {
    if (this.#isShared || this.#lessons >= LESSONS) return
    this.#lessons += 1
    await this.processOf(containerId)
  }

  /** A container that certainly runs could not be seen. */
  noteElsewhere(): void {
    if (!this.#isShared) this.#isElsewhere = true
  }
}
