import { setMaxListeners } from 'node:events'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import { unlessAborted } from '../core/unless-aborted.ts'
import type { Task } from './executor.ts'
import {
  KeptDeath,
  KeptFailure,
  type CallEnd,
  type KeptCall,
  type KeptReport,
  type KeptSpec,
  type KeptState,
  type OutputListener,
} from './kept.ts'
import { deathOf, failureOf } from './kept-death.ts'
import { KeptOutput } from './kept-output.ts'
import { Places } from './kept-places.ts'
import { comesToRest, unreadiness, untilReady, type Asking, type Loaded } from './kept-proof.ts'
import { IdleTimer } from './kept-timer.ts'
import { Visitors, type KeptPhase } from './kept-visitors.ts'

/** What a container needs from its pool. */
export interface KeptServices<S extends OutputListener | undefined> {
  start(spec: KeptSpec<S>, signal: AbortSignal, onPhase: (phase: 'create' | 'start') => void): Promise<Task>
  /** Nobody uses it at the moment. */
  onIdle(): void
  /** It is removed. */
  onGone(): void
  clock: Clock
  log: Logger
}

/** Who wants a place. */
export interface Visit {
  /** Clock.now when he began to wait. */
  since: number
  onPhase: (phase: KeptPhase) => void
}

/** So many calls in a row that failed are not the calls' fault. */
const MOST_FAILURES = 5

/** One container that serves many calls, from its start to its removal. */
export class KeptContainer<S extends OutputListener | undefined> {
  readonly #services: KeptServices<S>
  #spec: KeptSpec<S>
  #state: KeptState = 'starting'
  readonly #visitors = new Visitors()
  readonly #places: Places
  /** Calls that failed, one after the other. */
  #failures = 0
  /** Clock.now of the end of its last call. */
  lastUsedAt: number
  #readyAt = Infinity
  #isProving = false
  readonly #output = new KeptOutput()
  /** Aborted when it is on its way out. */
  readonly #ended = new AbortController()
  readonly #died = new AbortController()
  /** Aborted at the first of both. */
  readonly #over = AbortSignal.any([this.#ended.signal, this.#died.signal])
  readonly #keepAlive: IdleTimer
  #starting: Promise<Task> | undefined
  #task: Task | undefined
  /** Undefined = it was stopped before it was ready. */
  readonly #ready: Promise<Loaded<S> | undefined>
  #stopping: Promise<void> | undefined

  constructor(spec: KeptSpec<S>, services: KeptServices<S>) {
    this.#spec = spec
    this.#services = services
    this.#keepAlive = new IdleTimer(services.clock)
    this.#places = new Places((taken) => this.#isOpen && taken < this.#spec.maxConcurrency)
    this.lastUsedAt = services.clock.now()
    // As many wait for it as there are slots.
    setMaxListeners(0, this.#ended.signal, this.#died.signal, this.#over)
    this.#ready = this.#load()
    this.#ready.catch(() => undefined)
  }

  get onGpu(): KeptSpec<S>['task']['gpus'] {
    return this.#spec.task.gpus
  }

  get gpuIds(): readonly string[] {
    return this.#task?.gpuIds ?? []
  }

  /** It takes nobody in any more; calls may still be under way. */
  get isLeaving(): boolean {
    return this.#state === 'stopping'
  }

  /** It is being removed. */
  get isStopping(): boolean {
    return this.#stopping !== undefined
  }

  get hasDied(): boolean {
    return this.#died.signal.aborted
  }

  /** Nobody uses it or waits for it, though it may be loading. */
  get isIdle(): boolean {
    return !this.isLeaving && this.#places.taken === 0 && this.#visitors.count === 0
  }

  get wasReady(): boolean {
    return this.#readyAt !== Infinity
  }

  report(): KeptReport {
    const { key, task } = this.#spec
    return { key, image: task.image, state: this.#state, calls: this.#places.taken, gpuIds: this.gpuIds }
  }

  /** A place in it, once it is ready; undefined when it has none any more. */
  async join(
    spec: KeptSpec<S>,
    signal: AbortSignal,
    { since, onPhase }: Visit,
  ): Promise<KeptCall<S> | undefined> {
    this.#spec = spec
    const wasReady = this.wasReady
    return await this.#visit(signal, onPhase, async (loaded) => {
      if (this.isLeaving || !(await this.#places.take(signal))) return undefined
      const isWarm = wasReady && this.#readyAt <= since
      return this.#begin(loaded, { isWarm, coldStartMs: isWarm ? 0 : this.#readyAt - since })
    })
  }

  /** Whether it has just said that it is ready; false when it is on its way out. KeptFailure when it is not any more. */
  async check(signal: AbortSignal): Promise<boolean> {
    const wasReady = this.wasReady
    const isReady = await this.#visit(
      signal,
      () => undefined,
      async (loaded) => {
        const why = wasReady ? await unreadiness(this.#spec, loaded, this.#asking, signal) : undefined
        if (this.isLeaving) return false
        if (why === undefined) return true
        this.#doubt()
        throw new KeptFailure('setup_failed', `The model is not ready any more: ${why}`, this.#output.tail())
      },
    )
    return isReady ?? false
  }

  /** Ends it as soon as its last call has ended. */
  retire(reason: string): void {
    if (this.isLeaving) return
    this.#state = 'stopping'
    this.#keepAlive.stop()
    if (this.#task !== undefined) {
      const fields = { image: this.#spec.task.image, container: this.#task.name, reason }
      this.#services.log.info('A model is stopped', fields)
    }
    this.#places.turnAway()
    if (this.#places.taken === 0) void this.stop(reason)
  }

  /** Removes it, whatever it does. Always settles. */
  async stop(reason: string): Promise<void> {
    this.retire(reason)
    this.#stopping ??= this.#end(reason)
    await this.#stopping
  }

  /** Resolves when it is removed. */
  async whenGone(signal: AbortSignal): Promise<void> {
    const { signal: ended } = this.#ended
    if (!ended.aborted) {
      const ending = new Promise<void>((resolve) => {
        ended.addEventListener('abort', () => {
          resolve()
        })
      })
      await unlessAborted(ending, signal)
    }
    await unlessAborted(this.#stopping ?? Promise.resolve(), signal)
  }

  /** Does something with it once it is ready; undefined when it was stopped first. It stays meanwhile. */
  async #visit<T>(
    signal: AbortSignal,
    onPhase: (phase: KeptPhase) => void,
    work: (loaded: Loaded<S>) => Promise<T>,
  ): Promise<T | undefined> {
    signal.throwIfAborted()
    const leave = this.#visitors.enter(onPhase)
    this.#keepAlive.stop()
    try {
      const loaded = await unlessAborted(this.#ready, signal)
      return loaded === undefined ? undefined : await work(loaded)
    } finally {
      leave()
      this.#rest()
    }
  }

  async #load(): Promise<Loaded<S> | undefined> {
    const { clock, log } = this.#services
    try {
      const task = await this.#start()
      const startedAt = clock.now()
      const loaded = { task, session: this.#spec.open(task) }
      const printed = this.#output.follow(task, loaded.session, () => {
        if (this.#state === 'ready') this.retire(this.#taint)
      })
      void deathOf(task, { output: this.#output, printed, clock }).then((death) => {
        this.#die(death)
      })
      this.#state = 'loading'
      this.#visitors.tell('load')
      await untilReady(this.#spec, loaded, this.#asking)
      this.#readyAt = clock.now()
      this.lastUsedAt = this.#readyAt
      this.#visitors.tell(undefined)
      this.#output.pardon()
      this.#state = 'ready'
      const ms = Math.round(this.#readyAt - startedAt)
      log.info('A model is ready', { image: this.#spec.task.image, container: task.name, ms })
      // Those who wait take their places first.
      setImmediate(() => {
        this.#rest()
      })
      return loaded
    } catch (error) {
      const { reason } = this.#died.signal as { reason: unknown }
      const failure = reason instanceof KeptDeath ? failureOf(reason) : error
      if (this.#ended.signal.aborted && !this.hasDied) return undefined
      void this.stop(messageOf(failure))
      throw failure
    }
  }

  async #start(): Promise<Task> {
    const { signal } = this.#ended
    this.#starting = this.#services.start(this.#spec, signal, (phase) => {
      this.#visitors.tell(phase)
    })
    this.#task = await this.#starting
    signal.throwIfAborted()
    return this.#task
  }

  #die(death: KeptDeath): void {
    // We ended it ourselves.
    if (this.#ended.signal.aborted) return
    this.#died.abort(death)
    void this.stop(death.message)
  }

  get #isOpen(): boolean {
    return this.#state === 'ready' || this.#state === 'busy'
  }

  get #asking(): Asking {
    return { clock: this.#services.clock, output: this.#output, signal: this.#over }
  }

  get #taint(): string {
    return this.#output.isGpuOom ? 'its GPU ran out of memory' : 'it has lost its GPU'
  }

  #begin({ task, session }: Loaded<S>, warmth: Pick<KeptCall, 'isWarm' | 'coldStartMs'>): KeptCall<S> {
    this.#state = 'busy'
    let isReleased = false
    const release = (how: CallEnd): void => {
      if (isReleased) return
      isReleased = true
      this.#release(how)
    }
    return {
      task,
      session,
      ...warmth,
      gpuIds: this.gpuIds,
      died: this.#died.signal,
      release,
      logsTail: () => this.#output.tail(),
      [Symbol.asyncDispose]: () => {
        release('abandoned')
        return Promise.resolve()
      },
    }
  }

  #release(how: CallEnd): void {
    this.#places.taken -= 1
    this.lastUsedAt = this.#services.clock.now()
    if (how === 'ok') this.#failures = 0
    if (how === 'failed') this.#failures += 1
    if (how === 'broken') this.retire('a call has broken it')
    else if (this.#failures >= MOST_FAILURES) this.retire(`${MOST_FAILURES} calls failed in a row`)
    else if (this.#output.isTainted) this.retire(this.#taint)
    if (how === 'abandoned') this.#doubt()
    else this.#advance()
  }

  /** It must show that it is healthy and idle before it takes another call. */
  #doubt(): void {
    if (!this.isLeaving) this.#state = 'suspect'
    this.#advance()
  }

  /** Goes on after a call, or a proof. */
  #advance(): void {
    if (this.#state === 'stopping') {
      if (this.#places.taken === 0) void this.stop('it is not used any more')
    } else if (this.#state === 'suspect') {
      if (this.#places.taken === 0) void this.#prove()
    } else {
      this.#places.admit()
      this.#state = this.#places.taken > 0 ? 'busy' : 'ready'
      this.#rest()
    }
  }

  async #prove(): Promise<void> {
    const loaded = await this.#ready
    if (this.#isProving || loaded === undefined) return
    this.#isProving = true
    const isAtRest = await comesToRest(this.#spec, loaded, this.#asking)
    this.#isProving = false
    if (this.#state !== 'suspect') return
    if (isAtRest) {
      this.#state = 'ready'
      this.#advance()
    } else this.retire('it does not come to rest after a call that was given up')
  }

  /** When nobody needs it at the moment. */
  #rest(): void {
    if (!this.isIdle) return
    // It may wait for a GPU that others need.
    if (this.#state === 'starting') this.retire('nobody waits for it any more')
    if (this.#state !== 'ready') return
    const { keepAliveMs } = this.#spec
    if (keepAliveMs <= 0) {
      this.retire('it is not to be kept')
      return
    }
    this.#keepAlive.start(keepAliveMs, () => {
      if (this.isIdle) this.retire('nobody has asked for it for a while')
    })
    // It may be one too many, and go at once.
    this.#services.onIdle()
  }

  async #end(reason: string): Promise<void> {
    if (this.#places.taken > 0 && !this.hasDied) {
      const end = { exitCode: undefined, oomKilled: false, isGpuOom: false, logsTail: this.#output.tail() }
      this.#died.abort(new KeptDeath(`The container of the model is stopped: ${reason}`, end))
    }
    this.#ended.abort(new Error(reason))
    try {
      const task = await this.#starting
      await task?.[Symbol.asyncDispose]()
    } catch {
      // It never started.
    }
    this.#services.onGone()
  }
}
