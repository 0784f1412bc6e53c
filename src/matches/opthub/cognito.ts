import type { Clock } from '../../core/clock.ts'
import { redact } from '../../core/redact.ts'
import type { OptHubEndpoints } from './endpoints.ts'
import { asRecord, asText } from '../../core/unknown-json.ts'
import { request, UnreachableError, withRetries, type Answer } from './http.ts'

/**
 * Why Cognito gave no tokens. refused: wrong name, password or refresh token. throttled: too many tries. account: a
 * person has to do something about the account first. setup: pool, client or flow are not what they should be.
 */
export type CognitoFailure = 'refused' | 'throttled' | 'account' | 'setup'

/** Cognito gave no tokens, for a reason that it said. */
export class CognitoError extends Error {
  override readonly name = 'CognitoError'
  readonly failure: CognitoFailure

  constructor(failure: CognitoFailure, message: string) {
    super(message)
    this.failure = failure
  }
}

export interface IssuedTokens {
  accessToken: string
  /** Left out by most renewals: the old one stays valid. */
  refreshToken?: string
}

/** Cognito's calls for one app client. Each throws CognitoError or UnreachableError. */
export interface Cognito {
  signIn(username: string, password: string, signal: AbortSignal): Promise<IssuedTokens>
  renew(refreshToken: string, signal: AbortSignal): Promise<IssuedTokens>
  /** Ends a refresh token for good. */
  revoke(refreshToken: string, signal: AbortSignal): Promise<void>
}

/**
 * Cognito by its JSON protocol. These three calls are unsigned POSTs, so that the AWS SDK would only add a tenth of a
 * second to every start.
 */
export function createCognito({ cognitoUrl, clientId }: OptHubEndpoints, clock: Clock): Cognito {
  async function call(action: string, json: object, secret: string, signal: AbortSignal): Promise<Answer> {
    const headers = {
      'Content-Type': 'application/x-amz-json-1.1',
      'X-Amz-Target': `AWSCognitoIdentityProviderService.${action}`,
    }
    const answer = await withRetries(clock, signal, async () => {
      const found = await request({ url: `${cognitoUrl}/`, headers, json, signal })
      if (errorType(found) === 'InternalErrorException') throw new UnreachableError('Cognito is out of order')
      return found
    })
    if (answer.status !== 200) throw failureOf(answer, secret)
    return answer
  }

  async function initiate(
    flow: string,
    parameters: object,
    secret: string,
    signal: AbortSignal,
  ): Promise<IssuedTokens> {
    const body = { AuthFlow: flow, ClientId: clientId, AuthParameters: parameters }
    return readTokens(asRecord((await call('InitiateAuth', body, secret, signal)).body))
  }

  return {
    signIn: (username, password, signal) =>
      initiate('USER_PASSWORD_AUTH', { USERNAME: username, PASSWORD: password }, password, signal),
    renew: (token, signal) => initiate('REFRESH_TOKEN_AUTH', { REFRESH_TOKEN: token }, token, signal),
    revoke: async (token, signal) => {
      await call('RevokeToken', { ClientId: clientId, Token: token }, token, signal)
    },
  }
}

/** Names of errors, and what they mean; all others are a matter of the set-up. */
const FAILURES: Readonly<Record<string, CognitoFailure>> = {
  NotAuthorizedException: 'refused',
  UserNotFoundException: 'refused',
  TooManyRequestsException: 'throttled',
  LimitExceededException: 'throttled',
  TooManyFailedAttemptsException: 'throttled',
  ThrottlingException: 'throttled',
  UserNotConfirmedException: 'account',
  PasswordResetRequiredException: 'account',
}

/** Servers may repeat what they were sent: the secret of the call gets into no message. */
function failureOf(answer: Answer, secret: string): CognitoError {
  const type = errorType(answer) || `answer ${answer.status}`
  const body = asRecord(answer.body)
  const said = asText(body['message']) ?? asText(body['Message']) ?? ''
  const message = redact(said, [secret]).slice(0, 300)
  const failure = failureNamed(type, answer.status, message)
  if (message === '') return new CognitoError(failure, type)
  // The name says more than the message where it is about how things are set up.
  return new CognitoError(failure, failure === 'setup' ? `${type}: ${message}` : message)
}

function failureNamed(type: string, status: number, message: string): CognitoFailure {
  // Cognito locks a name for a while under the same error as a wrong password, and so it reports a client's secret.
  if (type === 'NotAuthorizedException' && /attempts exceeded/i.test(message)) return 'throttled'
  if (type === 'NotAuthorizedException' && /secret/i.test(message)) return 'setup'
  if (status === 429) return 'throttled'
  return (Object.hasOwn(FAILURES, type) ? FAILURES[type] : undefined) ?? 'setup'
}

/** The error's bare name: it may come with a namespace before it, and a URL behind it. */
function errorType({ status, body }: Answer): string {
  if (status === 200) return ''
  const type = asText(asRecord(body)['__type']) ?? ''
  return type.replace(/^.*#/, '').replace(/:.*$/, '')
}

function readTokens(body: Readonly<Record<string, unknown>>): IssuedTokens {
  const challenge = asText(body['ChallengeName'])
  if (challenge !== undefined) throw new CognitoError('account', challengeText(challenge))
  const result = asRecord(body['AuthenticationResult'])
  const accessToken = asText(result['AccessToken'])
  const refreshToken = asText(result['RefreshToken'])
  if (accessToken === undefined) throw new UnreachableError('Cognito answered without a token')
  return { accessToken, ...(refreshToken === undefined ? {} : { refreshToken }) }
}

function challengeText(challenge: string): string {
  if (challenge === 'NEW_PASSWORD_REQUIRED') return 'its first password must be replaced by one of your own'
  if (/MFA|OTP/.test(challenge)) {
    return `it asks for a second factor (${challenge}), which a program that runs unattended can not give`
  }
  return `it asks for more than a password (${challenge})`
}
