import { setMaxListeners } from 'node:events'
import type { Clock } from '../../core/clock.ts'
import { NotYetError, RetryableError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import { unlessAborted } from '../../core/unless-aborted.ts'
import type { Match, MatchSource } from '../matches.ts'
import { request, UnreachableError, withRetries, type Answer } from './http.ts'
import { errorsOf, messageIn, NoAccessError, readMatch, type Role } from './read-match.ts'

/** What the source needs of a login. */
export interface TokenSource {
  accessToken(signal: AbortSignal): Promise<string>
  /** A token other than one that was refused. */
  another(refused: string, signal: AbortSignal): Promise<string>
}

export interface MatchSourceOptions {
  apiUrl: string
  tokens: TokenSource
  /** Which of a match's two images is to be run; of the other nothing is asked. */
  role: Role
  /** How long an answer is good for, and how long a match that can't be run is left alone. */
  ttlSeconds: number
  clock: Clock
  log: Logger
}

export interface OptHubMatchSource extends MatchSource {
  /** Whether login and API work: asks again for what could not be had last. Throws what is wrong. */
  probe(signal: AbortSignal): Promise<void>
  close(): void
}

const QUERY = `query getMatch($id: String) {
  getMatch(id: $id) {
    id
    problem { dockerImage }
    indicator { dockerImage }
    problemPublicEnvironments { key value }
    indicatorPublicEnvironments { key value }
    problemPrivateEnvironments { key value }
    indicatorPrivateEnvironments { key value }
  }
}`

/** Matches are foreign words: no more of them are remembered. */
const MOST = 1000

interface Known {
  match: Match
  /** Monotonic. */
  untilMs: number
}

/** Matches of the OptHub API. Each is asked for once by all who wait for it, and remembered for a while. */
export function createMatchSource(options: MatchSourceOptions): OptHubMatchSource {
  const { apiUrl, tokens, role, ttlSeconds, clock, log } = options
  const known = new Map<string, Known>()
  const asking = new Map<string, Promise<Match>>()
  const closed = new AbortController()
  // As many listen as matches are asked for at once.
  setMaxListeners(0, closed.signal)
  let lastFailed: string | undefined

  async function resolve(matchId: string, signal: AbortSignal): Promise<Match> {
    signal.throwIfAborted()
    const id = matchId.replace(/^Match#/, '')
    const found = known.get(id)
    if (found !== undefined && clock.now() < found.untilMs) return found.match
    let answer = asking.get(id)
    if (answer === undefined) {
      answer = lookUp(id).finally(() => asking.delete(id))
      asking.set(id, answer)
    }
    return await unlessAborted(answer, signal)
  }

  async function lookUp(id: string): Promise<Match> {
    try {
      const match = readMatch(id, role, await ask(id))
      if (known.size >= MOST) known.clear()
      known.set(id, { match, untilMs: clock.now() + ttlSeconds * 1000 })
      if (lastFailed === id) lastFailed = undefined
      log.debug('Match looked up', { match: id })
      return match
    } catch (error) {
      if (error instanceof NoAccessError) {
        if (lastFailed === id) lastFailed = undefined
        throw new NotYetError(error.message, ttlSeconds, { cause: error })
      }
      lastFailed = id
      if (!(error instanceof UnreachableError)) throw error
      throw new RetryableError('matches', `the match ${id} can't be looked up: ${error.message}`, {
        cause: error,
      })
    }
  }

  /** The answer's JSON. A token that is refused is renewed, once. */
  async function ask(id: string): Promise<unknown> {
    const signal = closed.signal
    const token = await tokens.accessToken(signal)
    const first = await post(id, token)
    if (!isUnauthorized(first, role)) return bodyOf(first)
    log.debug('OptHub refused the token; renewing it', { match: id })
    const second = await post(id, await tokens.another(token, signal))
    if (!isRefusedLogin(second)) return bodyOf(second)
    const why = messageIn(errorsOf(second.body)[0]) ?? `answer ${second.status}`
    throw new RetryableError('credentials', `OptHub refuses a login that is fresh: ${why}`)
  }

  function post(id: string, token: string): Promise<Answer> {
    const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` }
    const json = { query: QUERY, variables: { id } }
    return withRetries(clock, closed.signal, async () => {
      const answer = await request({ url: apiUrl, headers, json, signal: closed.signal })
      if (answer.status === 429) throw new UnreachableError('OptHub asks for fewer requests')
      return answer
    })
  }

  return {
    resolve,
    async probe(signal) {
      if (lastFailed === undefined) {
        await tokens.accessToken(signal)
        return
      }
      try {
        await resolve(lastFailed, signal)
      } catch (error) {
        // It answers, and that is all that was asked.
        if (!(error instanceof NotYetError)) throw error
      }
    },
    close() {
      closed.abort(new Error('the match source is closed'))
    },
  }
}

function bodyOf({ status, body }: Answer): unknown {
  if (body !== undefined && (status === 200 || errorsOf(body).length > 0)) return body
  throw new UnreachableError(`OptHub's answer ${status} is not what it should be`)
}

/** The token as such, or what it may see: both may be a matter of its age. */
function isUnauthorized(answer: Answer, role: Role): boolean {
  return (
    isRefusedLogin(answer) ||
    errorsOf(answer.body, role).some((error) => error['errorType'] === 'Unauthorized')
  )
}

function isRefusedLogin({ status, body }: Answer): boolean {
  return status === 401 || errorsOf(body).some((error) => error['errorType'] === 'UnauthorizedException')
}
