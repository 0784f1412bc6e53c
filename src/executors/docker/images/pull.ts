import { retryPauseMs } from '../../../core/backoff.ts'
import type { Clock } from '../../../core/clock.ts'
import { messageOf, RetryableError } from '../../../core/errors.ts'
import type { Logger } from '../../../core/log.ts'
import { redact } from '../../../core/redact.ts'
import { remember } from '../../../core/remember.ts'
import { ImageError, type ImageInfo } from '../../executor.ts'
import type { DiskSpace } from './disk-space.ts'
import type { Environment } from '../api/docker-config.ts'
import type { Engine } from '../api/engine.ts'
import { engineKind } from '../api/engine-kind.ts'
import { runsNatively } from './platform.ts'
import { pullOnce, type Wanted } from './pull-once.ts'
import type { PullRecord } from './pull-record.ts'
import { isAllowed, isReference, parseReference } from './reference.ts'
import { registryAuth, type RegistryAuth, type RegistryLogin } from './registry-auth.ts'
import { digestOf, findImage, fitsPlatform, platformOf, type StoredImage } from './stored-image.ts'

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
  /** Longest silence of a registry that an image is pulled from. */
  silenceMs: number
  /** Patterns of images that may run; none = all. */
  allowed: readonly string[]
  /** Registry → login; wins over Docker's own configuration. */
  logins: Readonly<Record<string, RegistryLogin>>
  /** For Docker's config.json and its credential helpers. */
  environment: Environment
  /** Longest time that a credential helper may take. */
  helperTimeoutMs: number
  disk: DiskSpace
  /** Undefined = nobody wants to know what was pulled. */
  record: PullRecord | undefined
  clock: Clock
  log: Logger
}

/** Tries of a pull that fails by the network, and the first pause between two. */
const TRIES = 4
const FIRST_PAUSE_MS = 1000
/** Names of images are foreign words: no more of them are remembered. */
const MOST_REMEMBERED = 1000

interface Pull {
  done: Promise<void>
  /** Callers that still wait. */
  waiting: number
  stop: AbortController
}

/** What a registry will be asked with, and why that may be too little. */
interface Credentials extends Partial<RegistryAuth> {
  trouble?: string
}

/** The images of one engine: makes them present, one pull at a time per image for all callers. */
export class Images {
  readonly #o: ImagesOptions
  readonly #pulls = new Map<string, Pull>()
  /** Clock.now of the last answer or refusal of the registry. */
  readonly #checkedAt = new Map<string, number>()
  /** What was had once, as it was asked for. */
  readonly #had = new Map<string, true>()
  /** What was warned of, and is not to fill the log. */
  readonly #said = new Map<string, true>()

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
    const info = await this.#find(image, platform, signal)
    remember(this.#had, image, true, MOST_REMEMBERED)
    return info
  }

  /** Has an image again that is gone since `ensure`; false = it was never asked for. Throws as `ensure` does. */
  async restore(image: string, platform: string | undefined, signal: AbortSignal): Promise<boolean> {
    if (!this.#had.delete(image)) return false
    this.#o.log.debug('An image is gone that was there before; it is pulled again', { image })
    await this.ensure(image, platform, signal)
    return true
  }

  async #find(image: string, platform: string | undefined, signal: AbortSignal): Promise<ImageInfo> {
    const { engine, policy, disk, record } = this.#o
    this.assertAllowed(image)
    if (!isReference(image)) {
      throw new ImageError('invalid_reference', `${JSON.stringify(image)} is not the name of an image`)
    }
    const reference = parseReference(image)
    const found = await findImage(engine, image, signal)
    const present = found !== undefined && fits(found, platform) ? found : undefined
    // First: what is wanted now is not what goes when room is made.
    if (present !== undefined) await record?.touch(present.id)
    await disk.ensure(signal)
    if (present !== undefined && (reference === undefined || !this.#isDue(image, reference.isPinned)))
      return infoOf(present, image)
    if (reference === undefined || policy === 'never') {
      const why = reference === undefined ? "an id can't be pulled" : 'pull_policy is never'
      const what =
        found === undefined
          ? 'is not on this machine'
          : `is here for ${platformOf(found)}, not for ${platform ?? ''}`
      throw new ImageError('not_found', `Image ${image} ${what}, and ${why}`)
    }
    try {
      await this.#share({ image, platform, ...reference }, found?.id, present !== undefined, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (present === undefined) throw error
      const text = 'The registry has not confirmed the image; the one on this machine is used'
      this.#warnOnce(`unconfirmed ${image}`, text, { image, error: messageOf(error) })
      return infoOf(present, image)
    }
    this.#said.delete(`unconfirmed ${image}`)
    const pulled = await findImage(engine, image, signal)
    if (pulled === undefined)
      throw new RetryableError('engine', `Image ${image} is gone right after its pull`)
    await this.#judgePlatform(image, pulled, platform)
    return infoOf(pulled, image)
  }

  /** Brings the record of what was pulled up to date. */
  async tidy(): Promise<void> {
    await this.#o.record?.tidy()
  }

  /** Cuts the pulls that run. */
  close(): void {
    for (const { stop } of this.#pulls.values()) stop.abort(new RetryableError('engine', 'The runner stops'))
  }

  #isDue(image: string, isPinned: boolean): boolean {
    switch (this.#o.policy) {
      case 'always':
        return true
      case 'refresh': {
        const checkedAt = this.#checkedAt.get(image)
        const isFresh = checkedAt !== undefined && this.#o.clock.now() - checkedAt < this.#o.checkIntervalMs
        return !isFresh && !isPinned
      }
      case 'if-not-present':
      case 'never':
        return false
    }
  }

  /** What is the rule on some machines is no reason to fill the log. */
  #warnOnce(key: string, text: string, fields: Record<string, unknown>): void {
    if (this.#said.has(key)) this.#o.log.debug(text, fields)
    else this.#o.log.warn(text, fields)
    remember(this.#said, key, true, MOST_REMEMBERED)
  }

  /** ImageError when it is not the platform that was asked for; a warning when only an emulator could run it. */
  async #judgePlatform(image: string, pulled: StoredImage, wanted: string | undefined): Promise<void> {
    if (wanted !== undefined) {
      if (fitsPlatform(pulled, wanted)) return
      const text = `Image ${image} is built for ${platformOf(pulled)}, not for ${wanted}; build and push it for ${wanted}, or change the platform that is asked for`
      throw new ImageError('platform_mismatch', text)
    }
    const { architecture } = await engineKind(this.#o.engine)
    if (runsNatively(architecture, pulled.architecture)) return
    const text =
      'The image is built for another platform than this machine: it runs only where that is emulated'
    const fields = { image, built_for: platformOf(pulled), machine: `${pulled.os}/${architecture}` }
    this.#warnOnce(`platform ${pulled.id}`, text, fields)
  }

  /** Joins the pull that runs for this image, or begins one; it is cut when nobody waits for it any more. */
  async #share(
    wanted: Wanted,
    earlierId: string | undefined,
    isPresent: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const key = `${wanted.image} ${wanted.platform ?? ''}`
    let pull = this.#pulls.get(key)
    if (pull === undefined) {
      const stop = new AbortController()
      const done = this.#pull(wanted, earlierId, isPresent, stop.signal).finally(() => {
        remember(this.#checkedAt, wanted.image, this.#o.clock.now(), MOST_REMEMBERED)
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
      signal.throwIfAborted()
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

  /** Pulls, again where that may help, and notes what came. */
  async #pull(
    wanted: Wanted,
    earlierId: string | undefined,
    isPresent: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { engine, clock, log, record, disk } = this.#o
    const { image, canonical } = wanted
    const before = await record?.before()
    for (let n = 0; ; n += 1) {
      try {
        await this.#tryToPull(wanted, isPresent, signal)
        break
      } catch (error) {
        signal.throwIfAborted()
        // An image that is here already can be used at once instead.
        if (!(error instanceof RetryableError) || isPresent || n + 1 === TRIES) throw error
        if (error.surrounding === 'disk' && (await disk.freeSome())) continue
        if (error.surrounding !== 'registry') throw error
        log.warn('Pulling failed; trying again', { image, error: error.message })
        await clock.sleep(retryPauseMs(n, FIRST_PAUSE_MS, 30_000), signal)
      }
    }
    const pulled = await findImage(engine, image)
    if (pulled !== undefined) await record?.after(before, pulled, canonical, earlierId)
  }

  async #tryToPull(wanted: Wanted, isPresent: boolean, signal: AbortSignal): Promise<void> {
    const { engine, clock, log, patienceMs, silenceMs, helperTimeoutMs } = this.#o
    const { image, registry } = wanted
    const startedAt = clock.now()
    if (!isPresent) log.info('Pulling the image', { image })
    // A helper that hangs must not hold up an image that is here, either.
    const helperMs = isPresent ? Math.min(helperTimeoutMs, patienceMs) : helperTimeoutMs
    const credentials = await this.#credentials(registry, helperMs, signal)
    const { header, secrets = [], trouble } = credentials
    const headers = header === undefined ? {} : { 'X-Registry-Auth': header }
    try {
      const bounds = { answerMs: isPresent ? patienceMs : silenceMs, silenceMs }
      const hasFetched = await pullOnce({ engine, clock, log }, wanted, bounds, headers, signal)
      if (hasFetched || !isPresent)
        log.info('Image pulled', { image, ms: Math.round(clock.now() - startedAt) })
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof ImageError && error.reason === 'denied' && trouble !== undefined) {
        const text = `The registry of ${image} wants a login, which could not be had: ${trouble}. Mend it, or write the login under docker.registry_auth`
        throw new RetryableError('registry', text, { cause: error })
      }
      throw withoutSecrets(error, secrets)
    }
  }

  async #credentials(registry: string, timeoutMs: number, signal: AbortSignal): Promise<Credentials> {
    const { environment, logins } = this.#o
    try {
      const found = await registryAuth(registry, { environment, logins, signal, timeoutMs })
      this.#said.delete(`login ${registry}`)
      return found ?? {}
    } catch (error) {
      signal.throwIfAborted()
      // Public images need none; for others the registry will say so.
      const trouble = messageOf(error)
      const text = 'No login for the registry: it is asked without one'
      this.#warnOnce(`login ${registry}`, text, { registry, error: trouble })
      return { trouble }
    }
  }
}

function fits(image: StoredImage, platform: string | undefined): boolean {
  return platform === undefined || fitsPlatform(image, platform)
}

function infoOf(image: StoredImage, name: string): ImageInfo {
  const digest = digestOf(image, name)
  const { id, entrypoint = [], labels = {} } = image
  return {
    id,
    ...(digest && { digest }),
    ...(entrypoint.length > 0 && { entrypoint }),
    ...(Object.keys(labels).length > 0 && { labels }),
  }
}

/** What a registry says might quote what it was told. */
function withoutSecrets(error: unknown, secrets: readonly string[]): unknown {
  if (error instanceof ImageError) return new ImageError(error.reason, redact(error.message, secrets))
  if (error instanceof RetryableError)
    return new RetryableError(error.surrounding, redact(error.message, secrets))
  return error
}
