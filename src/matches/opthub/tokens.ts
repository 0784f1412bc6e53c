import { setMaxListeners } from 'node:events'
import { retryPauseMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { messageOf, RetryableError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import { unlessAborted } from '../../core/unless-aborted.ts'
import { CognitoError, type Cognito, type IssuedTokens } from './cognito.ts'
import { UnreachableError } from './http.ts'
import type { StoredLogin } from './token-store.ts'
import type { VerifyToken } from './verify-token.ts'

export interface TokensOptions {
  cognito: Cognito
  verify: VerifyToken
  clock: Clock
  log: Logger
  /** Shown to people, and what a login stored later must be for. */
  username: string
  /** A password that is remembered is used again when the login has ended. */
  login: { refreshToken: string } | { password: string; remember: boolean }
  /** What `login` has left, asked for when nothing else helps. */
  readStored: () => Promise<StoredLogin | undefined>
}

interface Current {
  accessToken: string
  /** By the wall clock, which goes on while a machine sleeps. */
  renewAtMs: number
  /** Too close to its end to be sent. */
  spentAtMs: number
}

const RENEW_BEFORE_MS = 5 * 60_000
/** Of a short life. */
const RENEW_BEFORE_SHARE = 0.1
/** What a request may take. */
const SPENT_BEFORE_MS = 5000
/** However short a life is said to be. */
const SHORTEST_MS = 1000
/** A timer doesn't see a machine sleep, so it looks up now and then. */
const LONGEST_SLEEP_MS = 60_000
const FIRST_PAUSE_MS = 2000
const LONGEST_PAUSE_MS = 30_000

/** One login: a valid access token whenever one is asked for, renewed ahead of its end. Close it afterwards. */
export class Tokens {
  readonly #o: TokensOptions
  readonly #closed = new AbortController()
  #username: string
  #current: Current | undefined
  #refreshToken: string | undefined
  #password: string | undefined
  /** Refused by Cognito once, so never tried again. */
  #ended: string | undefined
  #renewal: Promise<string> | undefined
  #keeping: Promise<void> | undefined
  #why = 'the login has ended'

  constructor(options: TokensOptions) {
    this.#o = options
    this.#username = options.username
    // As many listen as jobs wait for a token.
    setMaxListeners(0, this.#closed.signal)
    const { login } = options
    if ('refreshToken' in login) this.#refreshToken = login.refreshToken
    else if (login.remember) this.#password = login.password
  }

  /** The account's name as Cognito knows it, once there was a token. */
  get username(): string {
    return this.#username
  }

  /**
   * Gets the first token and keeps it fresh from then on. Rejects with what is wrong as it came: CognitoError,
   * UnreachableError, UntrustedTokenError.
   */
  async open(signal: AbortSignal): Promise<void> {
    const { cognito, username, login } = this.#o
    const issued =
      'refreshToken' in login
        ? await cognito.renew(login.refreshToken, signal)
        : await cognito.signIn(username, login.password, signal)
    await this.#accept(issued, signal)
    this.#keeping = this.#keepFresh()
  }

  /** RetryableError: 'credentials' when somebody has to log in again, 'matches' when there is no way to Cognito. */
  async accessToken(signal: AbortSignal): Promise<string> {
    const now = this.#o.clock.date().getTime()
    if (this.#current !== undefined && now < this.#current.spentAtMs) return this.#current.accessToken
    return await this.#renew(signal)
  }

  /** A token other than one that was refused; RetryableError as above. */
  async another(refused: string, signal: AbortSignal): Promise<string> {
    if (this.#current?.accessToken === refused) this.#current = undefined
    return await this.accessToken(signal)
  }

  async close(): Promise<void> {
    this.#closed.abort(new Error('the login is closed'))
    await this.#keeping
    await this.#renewal?.catch(() => undefined)
  }

  /** One renewal for all who wait for it; each may give up waiting. */
  async #renew(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted()
    this.#renewal ??= this.#obtain(this.#closed.signal).finally(() => {
      this.#renewal = undefined
    })
    return await unlessAborted(this.#renewal, signal)
  }

  async #obtain(signal: AbortSignal): Promise<string> {
    try {
      const token =
        (await this.#byRefreshToken(signal)) ??
        (await this.#byPassword(signal)) ??
        (await this.#byStored(signal))
      if (token !== undefined) return token
    } catch (error) {
      throw this.#toRetryable(error)
    }
    throw new RetryableError(
      'credentials',
      `logged out of OptHub as ${this.#username} (${this.#why}): run \`opthub-runner login\`; this process goes on by itself then`,
    )
  }

  async #byRefreshToken(signal: AbortSignal): Promise<string | undefined> {
    if (this.#refreshToken === undefined) return undefined
    try {
      return await this.#accept(await this.#o.cognito.renew(this.#refreshToken, signal), signal)
    } catch (error) {
      if (!isFinal(error)) throw error
      this.#why = error.message
      this.#ended = this.#refreshToken
      this.#refreshToken = undefined
      return undefined
    }
  }

  async #byPassword(signal: AbortSignal): Promise<string | undefined> {
    if (this.#password === undefined) return undefined
    try {
      const token = await this.#accept(
        await this.#o.cognito.signIn(this.#o.username, this.#password, signal),
        signal,
      )
      this.#o.log.info('Logged in to OptHub again: the old login had ended', { username: this.#username })
      return token
    } catch (error) {
      if (!isFinal(error)) throw error
      // Asking again and again would only lock the account.
      this.#password = undefined
      this.#why = error.message
      return undefined
    }
  }

  async #byStored(signal: AbortSignal): Promise<string | undefined> {
    let stored: StoredLogin | undefined
    try {
      stored = await this.#o.readStored()
    } catch (error) {
      this.#why = messageOf(error)
    }
    if (stored === undefined || stored.refreshToken === this.#ended || !this.#isOurs(stored)) return undefined
    this.#refreshToken = stored.refreshToken
    const token = await this.#byRefreshToken(signal)
    if (token !== undefined) this.#o.log.info('Logged in to OptHub again', { username: this.#username })
    return token
  }

  /** Another account may see other matches: who runs this process has chosen this one. */
  #isOurs({ username }: StoredLogin): boolean {
    return [this.#o.username, this.#username].some((name) => name.toLowerCase() === username.toLowerCase())
  }

  async #accept({ accessToken, refreshToken }: IssuedTokens, signal: AbortSignal): Promise<string> {
    const { username, lifeMs } = await this.#o.verify(accessToken, signal)
    const now = this.#o.clock.date().getTime()
    const margin = Math.min(RENEW_BEFORE_MS, lifeMs * RENEW_BEFORE_SHARE)
    this.#current = {
      accessToken,
      renewAtMs: now + Math.max(lifeMs - margin, SHORTEST_MS),
      spentAtMs: now + lifeMs - Math.min(margin, SPENT_BEFORE_MS),
    }
    if (username !== '') this.#username = username
    if (refreshToken !== undefined) this.#refreshToken = refreshToken
    this.#o.log.debug('Got an access token of OptHub', { username, valid_s: Math.round(lifeMs / 1000) })
    return accessToken
  }

  #toRetryable(error: unknown): unknown {
    if (this.#closed.signal.aborted) return error
    const surrounding =
      error instanceof UnreachableError || (error instanceof CognitoError && error.failure === 'throttled')
        ? 'matches'
        : 'credentials'
    return new RetryableError(surrounding, `the OptHub login can't be renewed: ${messageOf(error)}`)
  }

  /** Renews ahead of the end, whether or not anybody asks for a token, until closed. */
  async #keepFresh(): Promise<void> {
    const { clock, log } = this.#o
    const signal = this.#closed.signal
    let failures = 0
    try {
      for (;;) {
        const dueMs = (this.#current?.renewAtMs ?? 0) - clock.date().getTime()
        if (dueMs > 0) {
          await clock.sleep(Math.min(dueMs, LONGEST_SLEEP_MS), signal)
          continue
        }
        try {
          await this.#renew(signal)
          if (failures > 0) log.info('The OptHub login works again', { username: this.#username })
          failures = 0
        } catch (error) {
          signal.throwIfAborted()
          if (failures === 0) log.error('The OptHub login can not be renewed', { error: messageOf(error) })
          await clock.sleep(retryPauseMs(failures, FIRST_PAUSE_MS, LONGEST_PAUSE_MS), signal)
          failures += 1
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }
}

/** Only a person can help; what else went wrong may go right the next time. */
function isFinal(error: unknown): error is CognitoError {
  return error instanceof CognitoError && (error.failure === 'refused' || error.failure === 'account')
}
