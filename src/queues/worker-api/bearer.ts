import type { Clock } from '../../core/clock.ts'
import { messageOf, RetryableError } from '../../core/errors.ts'
import { SignInError, signIn, type IdToken, type UserPool } from './cognito.ts'

export interface BearerOptions {
  /** Asked again for each sign-in: an API may move to another user pool. */
  pool: (signal: AbortSignal) => Promise<UserPool>
  account: { username: string; password: string }
  clock: Clock
}

const RENEW_BEFORE_MS = 5 * 60_000
/** Of a life that is shorter than that. */
const RENEW_BEFORE_SHARE = 0.5

/** What stands behind `Authorization: Bearer`. */
export interface Bearer {
  /** RetryableError('credentials' | 'queue') when there is none. */
  token(signal: AbortSignal): Promise<string>
  /** One other than this, which was refused; undefined = there is no other. */
  another(refused: string, signal: AbortSignal): Promise<string | undefined>
  close(): void
}

/** A token that somebody has written down. */
export function fixedBearer(token: string): Bearer {
  return {
    token: () => Promise.resolve(token),
    another: () => Promise.resolve(undefined),
    close: () => undefined,
  }
}

/** Tokens by name and password, renewed five minutes before their end, by whoever needs one then. */
export class AccountBearer implements Bearer {
  readonly #o: BearerOptions
  readonly #closed = new AbortController()
  #current: { token: string; renewAtMs: number } | undefined
  #refreshToken: string | undefined
  #renewal: Promise<string> | undefined

  constructor(options: BearerOptions) {
    this.#o = options
  }

  async token(signal: AbortSignal): Promise<string> {
    // By the wall clock, which goes on while a machine sleeps.
    const now = this.#o.clock.date().getTime()
    if (this.#current !== undefined && now < this.#current.renewAtMs) return this.#current.token
    return await this.#renew(signal)
  }

  async another(refused: string, signal: AbortSignal): Promise<string | undefined> {
    if (this.#current?.token === refused) this.#current = undefined
    const token = await this.token(signal)
    return token === refused ? undefined : token
  }

  close(): void {
    this.#closed.abort(new Error('the account is signed out'))
  }

  /** One renewal for all who wait for it; each may give up waiting. */
  async #renew(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted()
    this.#renewal ??= this.#obtain(this.#closed.signal).finally(() => {
      this.#renewal = undefined
    })
    const renewal = this.#renewal
    renewal.catch(() => undefined)
    return await new Promise((resolve, reject) => {
      const onAbort = (): void => {
        reject(signal.reason as Error)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      renewal.then(resolve, reject).finally(() => {
        signal.removeEventListener('abort', onAbort)
      })
    })
  }

  async #obtain(signal: AbortSignal): Promise<string> {
    try {
      const pool = await this.#o.pool(signal)
      const issued =
        (await this.#byRefreshToken(pool, signal)) ?? (await signIn(pool, this.#o.account, signal))
      return this.#accept(issued)
    } catch (error) {
      if (signal.aborted || error instanceof RetryableError) throw error
      const isRefused = error instanceof SignInError && error.isFinal
      throw new RetryableError(
        isRefused ? 'credentials' : 'queue',
        `signing in as ${this.#o.account.username} failed: ${messageOf(error)}`,
        { cause: error },
      )
    }
  }

  async #byRefreshToken(pool: UserPool, signal: AbortSignal): Promise<IdToken | undefined> {
    if (this.#refreshToken === undefined) return undefined
    try {
      return await signIn(pool, { refreshToken: this.#refreshToken }, signal)
    } catch (error) {
      if (!(error instanceof SignInError) || !error.isFinal) throw error
      this.#refreshToken = undefined
      return undefined
    }
  }

  #accept({ token, refreshToken, lifeMs }: IdToken): string {
    const margin = Math.min(RENEW_BEFORE_MS, lifeMs * RENEW_BEFORE_SHARE)
    this.#current = { token, renewAtMs: this.#o.clock.date().getTime() + lifeMs - margin }
    this.#refreshToken = refreshToken ?? this.#refreshToken
    return token
  }
}
