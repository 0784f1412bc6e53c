import type { Jwks } from 'aws-jwt-verify/jwk'
import type { Clock } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'
import type { OptHubEndpoints } from './endpoints.ts'
import { asText } from '../../core/unknown-json.ts'
import { request, UnreachableError, withRetries } from './http.ts'

/** A token that says what it must not say, or whose signature is wrong. */
export class UntrustedTokenError extends Error {
  override readonly name = 'UntrustedTokenError'
}

/** What a verified access token says. */
export interface AccessClaims {
  username: string
  /** From its issue to its end, whatever our own clock says. */
  lifeMs: number
}

export type VerifyToken = (accessToken: string, signal: AbortSignal) => Promise<AccessClaims>

type Library = Awaited<ReturnType<typeof loadLibrary>>

/**
 * Checks access tokens: RS256 by the pool's keys (kept, and fetched again for a key that is not among them), issuer,
 * client, use and end. UntrustedTokenError, or UnreachableError when the keys can't be had.
 */
export function createTokenVerifier(endpoints: OptHubEndpoints, clock: Clock): VerifyToken {
  let keys: Jwks | undefined

  async function verify(library: Library, accessToken: string, signal: AbortSignal): Promise<AccessClaims> {
    const payload = await library.verifyJwt(
      accessToken,
      endpoints.jwksUrl,
      {
        issuer: [...endpoints.issuers],
        audience: null,
        customJwtCheck: ({ header, payload: claims }) => {
          checkOwnClaims(header.alg, claims, endpoints.clientId)
        },
      },
      async (url, { header: { kid = '' } }) => {
        const known = keys && library.findJwkInJwks(keys, kid)
        if (known !== undefined) return known
        keys = await fetchKeys(library, url, clock, signal)
        const found = library.findJwkInJwks(keys, kid)
        if (found === undefined) throw new UntrustedTokenError('its key is not one of the user pool')
        return found
      },
    )
    const { exp = 0, iat = Date.now() / 1000 } = payload
    const username = asText(payload['username']) ?? asText(payload.sub) ?? ''
    return { username, lifeMs: (exp - iat) * 1000 }
  }

  return async (accessToken, signal) => {
    const library = await loadLibrary()
    const before = keys
    try {
      try {
        return await verify(library, accessToken, signal)
      } catch (error) {
        // A pool that was set up anew may have another key under the same name.
        if (!(error instanceof library.JwtInvalidSignatureError) || keys !== before) throw error
        keys = undefined
        return await verify(library, accessToken, signal)
      }
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof UnreachableError || error instanceof UntrustedTokenError) throw error
      if (error instanceof library.JwtExpiredError) {
        throw new UntrustedTokenError(
          `it has expired already; is the clock of this machine right? ${error.message}`,
        )
      }
      // Behind a colon the parser of JSON quotes the token.
      const [words = ''] = messageOf(error).split(': ', 1)
      throw new UntrustedTokenError(error instanceof library.JwtParseError ? words : messageOf(error))
    }
  }
}

async function loadLibrary() {
  const [verifier, jwk, errors] = await Promise.all([
    import('aws-jwt-verify/jwt-verifier'),
    import('aws-jwt-verify/jwk'),
    import('aws-jwt-verify/error'),
  ])
  return { ...verifier, ...jwk, ...errors }
}

async function fetchKeys(library: Library, url: string, clock: Clock, signal: AbortSignal): Promise<Jwks> {
  const { status, body } = await withRetries(clock, signal, () => request({ url, signal }))
  if (status !== 200) throw new UnreachableError(`the keys of the user pool can't be had: answer ${status}`)
  const json = body as Parameters<typeof library.isJwks>[0]
  if (!library.isJwks(json)) throw new UnreachableError('the keys of the user pool are not as they should be')
  return json
}

/** What Cognito's tokens say beyond what all tokens say. */
function checkOwnClaims(
  algorithm: unknown,
  claims: Readonly<Record<string, unknown>>,
  clientId: string,
): void {
  if (algorithm !== 'RS256') throw new UntrustedTokenError('it is not signed by RS256')
  if (claims['token_use'] !== 'access') throw new UntrustedTokenError('it is no access token')
  if (claims['client_id'] !== clientId) throw new UntrustedTokenError('it was issued to another client')
  if (typeof claims['exp'] !== 'number') throw new UntrustedTokenError('it has no end')
}
