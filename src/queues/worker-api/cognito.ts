import { redact } from '../../core/redact.ts'
import { asRecord, asText } from '../../core/unknown-json.ts'
import { ask } from './http.ts'

/** The user pool of an API's accounts, as its /access_info tells. */
export interface UserPool {
  clientId: string
  url: URL
}

/** Cognito gave no token, for a reason that it said. */
export class SignInError extends Error {
  override readonly name = 'SignInError'
  /** The name, password or refresh token is wrong, or a person has to do something first: another try won't help. */
  readonly isFinal: boolean

  constructor(message: string, isFinal: boolean) {
    super(message)
    this.isFinal = isFinal
  }
}

export interface IdToken {
  token: string
  /** Left out by most renewals: the old one stays valid. */
  refreshToken?: string
  lifeMs: number
}

export type Secret = { username: string; password: string } | { refreshToken: string }

const TIMEOUT_MS = 10_000
const DEFAULT_LIFE_MS = 3600_000

/** Gets an id token. SignInError, or UnreachableError when there is no way to Cognito. */
export async function signIn(pool: UserPool, secret: Secret, signal: AbortSignal): Promise<IdToken> {
  const isPassword = 'password' in secret
  const parameters = isPassword
    ? { USERNAME: secret.username, PASSWORD: secret.password }
    : { REFRESH_TOKEN: secret.refreshToken }
  const { status, body } = await ask({
    method: 'POST',
    base: pool.url,
    path: '/',
    headers: {
      'Content-Type': 'application/x-amz-json-1.1',
      'X-Amz-Target': 'AWSCognitoIdentityProviderService.InitiateAuth',
    },
    json: {
      AuthFlow: isPassword ? 'USER_PASSWORD_AUTH' : 'REFRESH_TOKEN_AUTH',
      ClientId: pool.clientId,
      AuthParameters: parameters,
    },
    timeoutMs: TIMEOUT_MS,
    signal,
  })
  const answer = asRecord(body)
  if (status !== 200) throw refusal(answer, status, isPassword ? secret.password : secret.refreshToken)
  const challenge = asText(answer['ChallengeName'])
  if (challenge !== undefined) {
    throw new SignInError(`the account asks for more than a password (${challenge})`, true)
  }
  const result = asRecord(answer['AuthenticationResult'])
  const token = asText(result['IdToken'])
  const refreshToken = asText(result['RefreshToken'])
  if (token === undefined) throw new SignInError('Cognito answered without an id token', false)
  return { token, lifeMs: lifeOf(token, result['ExpiresIn']), ...(refreshToken && { refreshToken }) }
}

function refusal(answer: Readonly<Record<string, unknown>>, status: number, secret: string): SignInError {
  const type = (asText(answer['__type']) ?? `answer ${status}`).replace(/^.*#/, '').replace(/:.*$/, '')
  const said = asText(answer['message']) ?? asText(answer['Message']) ?? ''
  const message = redact(said, [secret]).slice(0, 300)
  const mayPass =
    /TooMany|LimitExceeded|Throttling|InternalError/.test(type) || /attempts exceeded/i.test(message)
  return new SignInError(message === '' ? type : `${message} (${type})`, !mayPass)
}

/** By what the answer says, else by what the token does: the clock of this machine may be wrong. */
function lifeOf(token: string, expiresIn: unknown): number {
  if (typeof expiresIn === 'number' && expiresIn > 0) return expiresIn * 1000
  try {
    const claims = asRecord(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()))
    const [exp, iat] = [claims['exp'], claims['iat']]
    return typeof exp === 'number' && typeof iat === 'number' ? (exp - iat) * 1000 : DEFAULT_LIFE_MS
  } catch {
    return DEFAULT_LIFE_MS
  }
}
