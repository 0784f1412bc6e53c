import { setTimeout as delay } from 'node:timers/promises'
import type { Runner, RunnerOptions } from '../support/faults/runner.ts'
import type { World } from '../support/faults/world.ts'
import type { Violation } from './history.ts'

type Kind = RunnerOptions['kind']

/** Between the end of a runner and its next start, in milliseconds. */
const RESTART_MS = 300
const READY_WITHIN_MS = 60_000

/** A place that always has a runner, as a service manager sees to it. */
class Post {
  readonly violations: Violation[] = []
  readonly done: Promise<void>
  /** Ends of all kinds so far. */
  starts = 0
  #runner: Runner | undefined
  #isAsked = false
  #isClosed = false

  constructor(world: World, kind: Kind, name: string) {
    this.done = this.#keep(world, kind, name)
  }

  get isReady(): boolean {
    return this.#runner?.said('Ready') === true
  }

  get tail(): string {
    return this.#runner?.tail() ?? ''
  }

  async kill(): Promise<void> {
    this.#isAsked = true
    await this.#runner?.kill()
  }

  signal(name: NodeJS.Signals): void {
    if (name !== 'SIGSTOP' && name !== 'SIGCONT') this.#isAsked = true
    this.#runner?.signal(name)
  }

  /** Asks the runner to end, and starts no other. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.signal('SIGTERM')
    await this.done
  }

  async #keep(world: World, kind: Kind, name: string): Promise<void> {
    while (!this.#isClosed) {
      const runner = world.startRunner({ kind, name })
      this.#runner = runner
      this.#isAsked = false
      this.starts += 1
      const end = await runner.ended
      this.#judge(runner, end)
      await delay(RESTART_MS)
    }
  }

  /** A runner that works goes on until it is told otherwise, and one that can't start says so. */
  #judge(runner: Runner, end: number | string): void {
    const isRight = this.#isAsked
      ? [0, 69, 1, 143, 'SIGKILL'].includes(end)
      : !runner.said('Ready') && [69, 1].includes(end as number)
    if (this.#isAsked && end === 'SIGTERM' && !runner.said('Ready')) return
    if (isRight) return
    this.violations.push({
      rule: 'died',
      what: `${runner.name} (pid ${String(runner.pid)}) ended with ${String(end)}:\n${runner.tail(12)}`,
    })
  }
}

/** All runners of a round. */
export class Fleet {
  readonly #posts: Post[]

  constructor(world: World, kinds: readonly Kind[]) {
    this.#posts = kinds.map((kind, index) => new Post(world, kind, `${kind}-${String(index)}`))
  }

  get starts(): number {
    return this.#posts.reduce((sum, post) => sum + post.starts, 0)
  }

  get violations(): Violation[] {
    return this.#posts.flatMap((post) => post.violations)
  }

  /** Resolves when all work; throws with what they say instead. */
  async ready(): Promise<void> {
    const until = performance.now() + READY_WITHIN_MS
    for (const post of this.#posts) {
      while (!post.isReady) {
        if (performance.now() > until) throw new Error(`a runner does not get ready:\n${post.tail}`)
        await delay(100)
      }
    }
  }

  async kill(index: number): Promise<void> {
    await this.#posts[index]?.kill()
  }

  signal(index: number, name: NodeJS.Signals): void {
    this.#posts[index]?.signal(name)
  }

  /** Wakes all that are frozen. */
  thaw(): void {
    for (const post of this.#posts) post.signal('SIGCONT')
  }

  async close(): Promise<void> {
    await Promise.all(this.#posts.map((post) => post.close()))
  }
}
