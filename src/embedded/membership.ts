import { setTimeout as delay } from 'node:timers/promises'
import { messageOf } from '../core/errors.ts'
import { DatabaseLockedError } from './database.ts'
import { connect, type MemberLink } from './member-link.ts'
import { serve, type ServeOptions, type Serving } from './serve.ts'
import { readState, type State } from './state-file.ts'

/** Between two looks at a data directory that somebody has but does not serve (yet). */
const RETRY_MS = 25
/** After an error that will hardly pass by itself. */
const ERROR_RETRY_MS = 1000
/** How long a newcomer waits for somebody who has the data directory to serve it. */
const JOIN_TIMEOUT_MS = 10_000

/** A process has the data directory, but does not answer. */
export class UnansweredError extends Error {
  override readonly name = 'UnansweredError'
}

/**
 * This process's part in serving a data directory: it serves, or keeps a connection to the process that does and
 * takes over when that ends. LevelDB's lock decides between processes; the system frees it when its owner dies.
 */
export class Membership {
  readonly #options: ServeOptions
  readonly #closing = new AbortController()
  readonly #running: Promise<void>
  #serving: Serving | undefined
  #state: State | undefined

  private constructor(options: ServeOptions, ready: (error?: unknown) => void) {
    this.#options = options
    this.#running = this.#run(ready)
  }

  /** Resolves when the services answer, whoever serves them. */
  static async open(options: ServeOptions): Promise<Membership> {
    return await new Promise((resolve, reject) => {
      const membership = new Membership(options, (error) => {
        if (error === undefined) resolve(membership)
        else reject(error instanceof Error ? error : new Error(messageOf(error)))
      })
    })
  }

  get serving(): boolean {
    return this.#serving !== undefined
  }

  /** What was last known to hold. */
  get state(): State {
    if (this.#state === undefined) throw new Error('not open')
    return this.#state
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running
  }

  async #run(ready: (error?: unknown) => void): Promise<void> {
    const { signal } = this.#closing
    const begun = performance.now()
    let told: string | undefined
    const open = (state: State): void => {
      if (this.#state === undefined) queueMicrotask(ready)
      this.#state = state
    }
    while (!signal.aborted) {
      try {
        const joined = await this.#join()
        if (joined !== undefined) {
          open(joined.state)
          await this.#stayWith(joined.link)
          continue
        }
        const serving = await serve(this.#options)
        told = undefined
        open(serving.state)
        await this.#keepServing(serving)
      } catch (error) {
        const locked = error instanceof DatabaseLockedError
        if (this.#state === undefined && (!locked || performance.now() - begun > JOIN_TIMEOUT_MS)) {
          queueMicrotask(() => {
            ready(locked ? new UnansweredError(error.message, { cause: error }) : error)
          })
          return
        }
        const why = locked ? undefined : messageOf(error)
        if (why !== undefined && why !== told) {
          this.#options.log.error('The embedded services could not be started; trying again', { why })
        }
        told = why ?? told
        await delay(locked ? RETRY_MS * (1 + Math.random()) : ERROR_RETRY_MS, undefined, { signal }).catch(
          () => undefined,
        )
      }
    }
  }

  async #join(): Promise<{ state: State; link: MemberLink } | undefined> {
    const state = await readState(this.#options.dataDir)
    const link = state === undefined ? undefined : await connect(state, this.#closing.signal)
    return state === undefined || link === undefined ? undefined : { state, link }
  }

  async #stayWith(link: MemberLink): Promise<void> {
    const { log } = this.#options
    await Promise.race([link.ended, aborted(this.#closing.signal)])
    link.close()
    if (!this.#closing.signal.aborted) log.debug('The process that served the embedded services has ended')
  }

  async #keepServing(serving: Serving): Promise<void> {
    const { log } = this.#options
    this.#serving = serving
    log.debug('Serving the embedded services', { port: serving.state.port })
    const failure = await Promise.race([serving.failed, aborted(this.#closing.signal)])
    this.#serving = undefined
    if (failure !== undefined)
      log.error('The disk refused a write of the embedded services', { why: failure.message })
    await serving.close()
  }
}

async function aborted(signal: AbortSignal): Promise<undefined> {
  if (!signal.aborted) {
    await new Promise((resolve) => {
      signal.addEventListener('abort', resolve, { once: true })
    })
  }
  return undefined
}
