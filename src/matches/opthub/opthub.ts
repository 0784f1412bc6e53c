import { systemClock, type Clock } from '../../core/clock.ts'
import { OperatorError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import type { MatchSource } from '../matches.ts'
import { createCognito } from './cognito.ts'
import type { OptHubEndpoints } from './endpoints.ts'
import { explainLoginFailure } from './errors.ts'
import { createMatchSource } from './match-source.ts'
import type { Role } from './read-match.ts'
import { createLoginStore, type LoginStore, type LoginSummary, type StoredLogin } from './token-store.ts'
import { Tokens } from './tokens.ts'
import { createTokenVerifier, UntrustedTokenError } from './verify-token.ts'

/** Who this process is to OptHub: the stored login, or a name and a password. */
export type Account =
  | 'stored'
  | {
      username: string
      password: string
      /** Log in with it again when the login has ended; for a password that a service manager gives. */
      remember: boolean
    }

export interface OptHubOptions {
  endpoints: OptHubEndpoints
  account: Account
  /** Which of a match's two images is to be run. */
  role: Role
  /** How long a match is remembered, and how long one that can't be run is left alone. */
  ttlSeconds: number
  /** The data folder, with the stored login. */
  dataDir: string
  log: Logger
  clock?: Clock
}

/** A login that is kept fresh, and the matches that it may see. */
export interface OptHub {
  source: MatchSource
  /** As Cognito has it. */
  username: string
  /** For 'credentials' and 'matches': whether login and API work. */
  probe: (signal: AbortSignal) => Promise<void>
  /** Whether there is a token, or one can be had; asks nobody while the present one is good. RetryableError. */
  assertLogin: (signal: AbortSignal) => Promise<void>
  close: () => Promise<void>
}

/** Logs in to OptHub. OperatorError when that fails. Close it afterwards. */
export async function connectOptHub(options: OptHubOptions, signal: AbortSignal): Promise<OptHub> {
  const { endpoints, account, dataDir, log, clock = systemClock } = options
  const store = createLoginStore({ dataDir, endpoints })
  const tokens = await openTokens({ endpoints, account, store, clock, log }, signal)
  const { apiUrl } = endpoints
  const { role, ttlSeconds } = options
  const source = createMatchSource({ apiUrl, tokens, role, ttlSeconds, clock, log })
  return {
    source,
    username: tokens.username,
    probe: (probing) => source.probe(probing),
    assertLogin: async (asking) => {
      await tokens.accessToken(asking)
    },
    close: async () => {
      source.close()
      await tokens.close()
    },
  }
}

export interface LoginOptions {
  endpoints: OptHubEndpoints
  dataDir: string
  clock?: Clock
  /** Left out = the one of the data folder. */
  store?: LoginStore
}

/** Logs in and stores the login for later calls. OperatorError when either fails. */
export async function logIn(
  { username, password }: { username: string; password: string },
  options: LoginOptions,
  signal: AbortSignal,
): Promise<LoginSummary & { keyFile?: string }> {
  const { endpoints, clock = systemClock, store = createLoginStore(options) } = options
  try {
    const issued = await createCognito(endpoints, clock).signIn(username, password, signal)
    await createTokenVerifier(endpoints, clock)(issued.accessToken, signal)
    const { refreshToken } = issued
    if (refreshToken === undefined) throw new UntrustedTokenError('it came without a refresh token')
    return await store.write({ username, refreshToken })
  } catch (error) {
    throw explainLoginFailure(error)
  }
}

/** Removes the stored login, and ends it at OptHub if that can be reached. Undefined when there was none. */
export async function logOut(options: LoginOptions, signal: AbortSignal): Promise<LogoutOutcome | undefined> {
  const { endpoints, clock = systemClock, store = createLoginStore(options) } = options
  // A login that can't be opened can still be removed.
  const login = await store.read().catch(() => undefined)
  if (!(await store.remove())) return undefined
  if (login === undefined) return { ended: false }
  try {
    await createCognito(endpoints, clock).revoke(login.refreshToken, signal)
    return { username: login.username, ended: true }
  } catch {
    signal.throwIfAborted()
    return { username: login.username, ended: false }
  }
}

export interface LogoutOutcome {
  /** Undefined when the login could not be opened. */
  username?: string
  /** Whether OptHub knows of it; else the login ends there by itself after some weeks. */
  ended: boolean
}

/** Whether the stored login still works; OperatorError when it does not, or there is none. */
export async function checkStoredLogin(options: LoginOptions, signal: AbortSignal): Promise<string> {
  const { endpoints, clock = systemClock, store = createLoginStore(options) } = options
  const { username, refreshToken } = await readStored(store)
  try {
    const { accessToken } = await createCognito(endpoints, clock).renew(refreshToken, signal)
    const claims = await createTokenVerifier(endpoints, clock)(accessToken, signal)
    return claims.username || username
  } catch (error) {
    throw explainLoginFailure(error, username)
  }
}

interface OpenOptions {
  endpoints: OptHubEndpoints
  account: Account
  store: LoginStore
  clock: Clock
  log: Logger
}

async function openTokens(options: OpenOptions, signal: AbortSignal): Promise<Tokens> {
  const { endpoints, account, store, clock, log } = options
  const login = account === 'stored' ? await readStored(store) : account
  const tokens = new Tokens({
    cognito: createCognito(endpoints, clock),
    verify: createTokenVerifier(endpoints, clock),
    clock,
    log,
    username: login.username,
    login,
    readStored: () => store.read(),
  })
  try {
    await tokens.open(signal)
  } catch (error) {
    throw explainLoginFailure(error, account === 'stored' ? login.username : undefined)
  }
  return tokens
}

async function readStored(store: LoginStore): Promise<StoredLogin> {
  const stored = await store.read()
  if (stored !== undefined) return stored
  throw new OperatorError(
    'Nobody is logged in to OptHub',
    'there is no stored login',
    'Run `opthub-runner login`.',
  )
}
