import { retryPauseMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { messageOf, RetryableError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import { ImageError, type ImageInfo } from '../executor.ts'
import type { Environment } from './docker-config.ts'
import type { Engine } from './engine.ts'
import { EngineError, pullError, surroundingError } from './errors.ts'
import { progressMessages, type ProgressMessage } from './json-lines.ts'
import { isAllowed, isReference, parseReference, type ImageReference } from './reference.ts'
import { registryAuth } from './registry-auth.ts'

/**
 * When the registry is asked: `refresh` = when the image is missing and every `checkIntervalMs` while jobs come,
 * `always` = for every job, `if-not-present` = when it is missing, `never` = not at all.
 */
export type PullPolicy = 'refresh' | 'always' | 'if-not-present' | 'never'

export interface ImagesOptions {
  engine: Engine
  policy: PullPolicy
  checkIntervalMs: number
  /** A registry that says nothing for so long doesn't hold up an image that is here already. */
  patienceMs: number
  /** Patterns of images that may run; none = all. */
  allowed: readonly string[]
  /** For Docker's config.json and its credential helpers. */
  environment: Environment
  clock: Clock
  log: Logger
}

/** Tries of a pull that fails by the network, and the first pause between two. */
const TRIES = 4
const FIRST_PAUSE_MS = 1000
/** Longest silence inside a pull, e.g. while a big layer is unpacked. */
const PULL_SILENCE_MS = 15 * 60_000
const PROGRESS_EVERY_MS = 10_000

interface Wanted extends ImageReference {
  image: string
  /** `os/arch[/variant]`; left out = the engine's own. */
  platform: string | undefined
}

interface Pull {
  done: Promise<void>
  /** Callers that still wait. */
  waiting: number
  stop: AbortController
}

/** The images of one engine: makes them present, one pull at a time per image for all callers. */
export class Images {
  readonly #o: ImagesOptions
  readonly #pulls = new Map<string, Pull>()
  /** Clock.now of the last answer or refusal of the registry. */
  readonly #checkedAt = new Map<string, number>()
  readonly #unconfirmed = new Set<string>()

  constructor(options: ImagesOptions) {
    this.#o = options
  }

  /** Throws ImageError when `allowed_images` forbids it. */
  assertAllowed(image: string): void {
    if (isAllowed(image, this.#o.allowed)) return
    throw new ImageError('not_allowed', `Image ${image} is not among the allowed images`)
  }

  /** Makes the image present by the policy; ImageError or RetryableError when it can't be had. */
  async ensure(image: string, platform: string | undefined, signal: AbortSignal): Promise<ImageInfo> {
    this.assertAllowed(image)
    if (!isReference(image)) {
      throw new ImageError('invalid_reference', `${JSON.stringify(image)} is not the name of an image`)
    }
    const reference = parseReference(image)
    const present = await this.#inspect(image, platform, signal)
    if (present !== undefined && (reference === undefined || !this.#isDue(image))) return present
    if (reference === undefined || this.#o.policy === 'never') {
      const why = reference === undefined ? "an id can't be pulled" : 'pull_policy is never'
      throw new ImageError('not_found', `Image ${image} is not on this machine, and ${why}`)
    }
    try {
      await this.#share({ image, platform, ...reference }, present, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (present === undefined) throw error
      this.#noteUnconfirmed(image, error)
      return present
    }
    this.#unconfirmed.delete(image)
    const pulled = await this.#inspect(image, undefined, signal)
    if (pulled === undefined)
      throw new RetryableError('engine', `Image ${image} is gone right after its pull`)
    return pulled
  }

  /** Cuts the pulls that run. */
  close(): void {
    for (const { stop } of this.#pulls.values()) stop.abort(new RetryableError('engine', 'The runner stops'))
  }

  #isDue(image: string): boolean {
    switch (this.#o.policy) {
      case 'always':
        return true
      case 'refresh': {
        const checkedAt = this.#checkedAt.get(image)
        return checkedAt === undefined || this.#o.clock.now() - checkedAt >= this.#o.checkIntervalMs
      }
      case 'if-not-present':
      case 'never':
        return false
    }
  }

  /** Said once per image: a local one is no reason to fill the log. */
  #noteUnconfirmed(image: string, error: unknown): void {
    const fields = { image, error: messageOf(error) }
    const text = 'The registry has not confirmed the image; the one on this machine is used'
    if (this.#unconfirmed.has(image)) this.#o.log.debug(text, fields)
    else this.#o.log.warn(text, fields)
    this.#unconfirmed.add(image)
  }

  /** The image on this machine, if it is there (for `platform`). */
  async #inspect(
    image: string,
    platform: string | undefined,
    signal: AbortSignal,
  ): Promise<ImageInfo | undefined> {
    try {
      const answer = await this.#o.engine.json('GET', `/images/${encodeURIComponent(image)}/json`, { signal })
      const {
        Id: id,
        Os: os,
        Architecture: architecture,
      } = answer as Record<'Id' | 'Os' | 'Architecture', string>
      return platform === undefined || `${platform}/`.startsWith(`${os}/${architecture}/`)
        ? { id }
        : undefined
    } catch (error) {
      // 400 and the like: no name of an image at all; the pull says it best.
      if (error instanceof EngineError && error.status < 500) return undefined
      throw surroundingError(error)
    }
  }

  /** Joins the pull that runs for this image, or begins one; it is cut when nobody waits for it any more. */
  async #share(wanted: Wanted, present: ImageInfo | undefined, signal: AbortSignal): Promise<void> {
    const key = `${wanted.image} ${wanted.platform ?? ''}`
    let pull = this.#pulls.get(key)
    if (pull === undefined) {
      const stop = new AbortController()
      const done = this.#pull(wanted, present, stop.signal).finally(() => {
        this.#checkedAt.set(wanted.image, this.#o.clock.now())
        if (this.#pulls.get(key)?.stop === stop) this.#pulls.delete(key)
      })
      // Everybody may have left when it ends.
      done.catch(() => undefined)
      pull = { done, waiting: 0, stop }
      this.#pulls.set(key, pull)
    }
    pull.waiting += 1
    let leave: (() => void) | undefined
    const left = new Promise<never>((_resolve, reject) => {
      leave = () => {
        reject(signal.reason as Error)
      }
      signal.addEventListener('abort', leave, { once: true })
    })
    try {
      await Promise.race([pull.done, left])
    } finally {
      if (leave !== undefined) signal.removeEventListener('abort', leave)
      pull.waiting -= 1
      if (pull.waiting === 0) {
        // Nobody may join a pull that is being cut.
        if (this.#pulls.get(key) === pull) this.#pulls.delete(key)
        pull.stop.abort(new RetryableError('engine', 'Nobody waits for the pull any more'))
      }
    }
  }

  async #pull(wanted: Wanted, present: ImageInfo | undefined, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#o
    for (let n = 0; ; n += 1) {
      try {
        await this.#pullOnce(wanted, present, signal)
        return
      } catch (error) {
        signal.throwIfAborted()
        const final = !(error instanceof RetryableError) || error.surrounding !== 'registry'
        // An image that is here already can be used at once instead.
        if (final || present !== undefined || n + 1 === TRIES) throw error
        log.warn('Pulling failed; trying again', { image: wanted.image, error: error.message })
        await clock.sleep(retryPauseMs(n, FIRST_PAUSE_MS, 30_000), signal)
      }
    }
  }

  async #pullOnce(
    { image, platform, repository, tag, registry }: Wanted,
    present: ImageInfo | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { engine, log, clock } = this.#o
    const startedAt = clock.now()
    const silence = new AbortController()
    const timer = setTimeout(() => {
      silence.abort(new RetryableError('registry', `${registry} did not answer`))
    }, this.#o.patienceMs)
    if (present === undefined) {
      clearTimeout(timer)
      log.info('Pulling the image', { image })
    }
    try {
      const response = await engine.open('POST', '/images/create', {
        query: { fromImage: repository, tag, ...(platform === undefined ? {} : { platform }) },
        headers: await this.#authHeader(registry),
        silenceMs: PULL_SILENCE_MS,
        signal: AbortSignal.any([signal, silence.signal]),
      })
      const progress = new Progress(log.child({ image }), clock)
      for await (const message of progressMessages(response, engine.label)) {
        clearTimeout(timer)
        progress.add(message)
      }
      if (progress.downloaded || present === undefined) {
        log.info('Image pulled', { image, ms: Math.round(clock.now() - startedAt) })
      }
    } catch (error) {
      signal.throwIfAborted()
      silence.signal.throwIfAborted()
      throw pullError(error, image)
    } finally {
      clearTimeout(timer)
    }
  }

  async #authHeader(registry: string): Promise<Record<string, string>> {
    try {
      const auth = await registryAuth(registry, this.#o.environment)
      return auth === undefined ? {} : { 'X-Registry-Auth': auth }
    } catch (error) {
      // Public images need none; for others the registry will say so.
      this.#o.log.warn('No credentials for the registry', { registry, error: messageOf(error) })
      return {}
    }
  }
}

/** Says now and then how far a download is. */
class Progress {
  /** Whether anything had to be fetched. */
  downloaded = false
  readonly #layers = new Map<string, { current: number; total: number }>()
  readonly #log: Logger
  readonly #clock: Clock
  #saidAt: number

  constructor(log: Logger, clock: Clock) {
    this.#log = log
    this.#clock = clock
    this.#saidAt = clock.now()
  }

  add({ id, status, progressDetail }: ProgressMessage): void {
    if (id === undefined || status !== 'Downloading') return
    this.downloaded = true
    const { current = 0, total = 0 } = progressDetail ?? {}
    this.#layers.set(id, { current, total })
    if (this.#clock.now() - this.#saidAt < PROGRESS_EVERY_MS) return
    this.#saidAt = this.#clock.now()
    const sum = (key: 'current' | 'total'): number =>
      [...this.#layers.values()].reduce((n, one) => n + one[key], 0)
    this.#log.info('Pulling goes on', {
      layers: this.#layers.size,
      bytes: sum('current'),
      of_bytes: sum('total'),
    })
  }
}
