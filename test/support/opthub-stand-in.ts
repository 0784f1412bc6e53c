import { createSign, generateKeyPairSync, randomUUID, type JsonWebKey, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolveEndpoints, type OptHubEndpoints } from '../../src/matches/opthub/endpoints.ts'

export interface StandInAnswer {
  status: number
  /** Sent as JSON, text as it is. */
  body: unknown
}

/** What a request of the program asked for. */
export interface StandInRequest {
  /** `InitiateAuth USER_PASSWORD_AUTH`, `RevokeToken`, `jwks`, `getMatch`. */
  what: string
  body: Readonly<Record<string, unknown>>
  authorization?: string | undefined
}

/** Answers in place of the ordinary; undefined = the ordinary. */
export type Fault = (request: StandInRequest) => StandInAnswer | undefined

const POOL = 'ap-northeast-1_StandIn01'
const CLIENT = 'standinclient'
// Made once for all: keys take their time.
const KEYS = Array.from({ length: 2 }, () => generateKeyPairSync('rsa', { modulusLength: 2048 }))

/** An OptHub on a real socket: Cognito's JSON protocol with tokens of its own keys, and the GraphQL API. */
export class OptHubStandIn implements AsyncDisposable {
  /** Name to password. */
  readonly users = new Map([['alice', 'correct horse']])
  /** What getMatch answers, by bare UUID. */
  readonly matches = new Map<string, unknown>()
  readonly requests: StandInRequest[] = []
  /** Of the tokens that are issued from now on. */
  lifeSeconds = 3600
  /** Claims of the next tokens that differ from the right ones. */
  claims: Record<string, unknown> = {}
  /** Asked before every answer. */
  fault: Fault | undefined
  readonly #server = createServer((request, response) => {
    void this.#serve(request, response)
  })
  readonly #refreshTokens = new Map<string, string>()
  readonly #accessTokens = new Set<string>()
  #key = 0
  #keyId = 'key-1'

  static async start(): Promise<OptHubStandIn> {
    const standIn = new OptHubStandIn()
    standIn.#server.listen(0, '127.0.0.1')
    await once(standIn.#server, 'listening')
    return standIn
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get endpoints(): OptHubEndpoints {
    return resolveEndpoints(false, {
      apiUrl: `${this.url}/graphql`,
      cognitoUrl: this.url,
      userPoolId: POOL,
      clientId: CLIENT,
    })
  }

  /** `opthub:` of a config file that leads here. */
  get config(): string {
    return `opthub: {api_url: "${this.url}/graphql", cognito_url: "${this.url}", user_pool_id: ${POOL}, client_id: ${CLIENT}}\n`
  }

  /** How often something was asked for. */
  count(what: string): number {
    return this.requests.filter((request) => request.what === what).length
  }

  addMatch(id: string, given: Record<string, unknown> = {}): void {
    this.matches.set(id, {
      id,
      problem: { dockerImage: 'problem:1' },
      indicator: { dockerImage: 'indicator:1' },
      problemPublicEnvironments: [],
      indicatorPublicEnvironments: [],
      problemPrivateEnvironments: [],
      indicatorPrivateEnvironments: [],
      ...given,
    })
  }

  /** From now on tokens are signed with another key, under another or the same name; the old one is gone. */
  rotateKeys({ sameName = false } = {}): void {
    this.#key = (this.#key + 1) % KEYS.length
    if (!sameName) this.#keyId = `key-${randomUUID()}`
  }

  /** The API takes none of the access tokens issued so far. */
  endAccessTokens(): void {
    this.#accessTokens.clear()
  }

  /** No refresh token issued so far works any more. */
  endRefreshTokens(): void {
    this.#refreshTokens.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const text = Buffer.concat(parts).toString()
    const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>
    const asked: StandInRequest = {
      what: nameOf(request, body),
      body,
      authorization: request.headers.authorization,
    }
    this.requests.push(asked)
    const answer = this.fault?.(asked) ?? this.#answer(asked)
    response.writeHead(answer.status, { 'Content-Type': 'application/x-amz-json-1.1' })
    response.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body))
  }

  #answer(request: StandInRequest): StandInAnswer {
    switch (request.what) {
      case 'jwks':
        return { status: 200, body: { keys: [this.#publicKey()] } }
      case 'InitiateAuth USER_PASSWORD_AUTH':
        return this.#signIn(request.body)
      case 'InitiateAuth REFRESH_TOKEN_AUTH':
        return this.#refresh(request.body)
      case 'RevokeToken':
        this.#refreshTokens.delete(request.body['Token'] as string)
        return { status: 200, body: {} }
      case 'getMatch':
        return this.#getMatch(request)
      default:
        return { status: 404, body: 'Not here' }
    }
  }

  #signIn(body: Readonly<Record<string, unknown>>): StandInAnswer {
    const { USERNAME: name = '', PASSWORD: password } = body['AuthParameters'] as Record<string, string>
    if (body['ClientId'] !== CLIENT) return cognitoError('ResourceNotFoundException', 'No such client')
    if (this.users.get(name) !== password) {
      return cognitoError('NotAuthorizedException', 'Incorrect username or password.')
    }
    const refreshToken = `refresh-${randomUUID()}`
    this.#refreshTokens.set(refreshToken, name)
    return this.#issue(name, refreshToken)
  }

  #refresh(body: Readonly<Record<string, unknown>>): StandInAnswer {
    const { REFRESH_TOKEN: token = '' } = body['AuthParameters'] as Record<string, string>
    const name = this.#refreshTokens.get(token)
    if (name === undefined) return cognitoError('NotAuthorizedException', 'Refresh Token has been revoked')
    return this.#issue(name)
  }

  #issue(name: string, refreshToken?: string): StandInAnswer {
    const now = Math.floor(Date.now() / 1000)
    const common = {
      sub: `sub-${name}`,
      iss: this.endpoints.issuers[0],
      iat: now,
      exp: now + this.lifeSeconds,
    }
    const access = this.sign({
      ...common,
      token_use: 'access',
      client_id: CLIENT,
      username: name,
      jti: randomUUID(),
      ...this.claims,
    })
    this.#accessTokens.add(access)
    const tokens = {
      AccessToken: access,
      IdToken: this.sign({ ...common, token_use: 'id', aud: CLIENT, 'cognito:username': name }),
      ExpiresIn: this.lifeSeconds,
      TokenType: 'Bearer',
      ...(refreshToken === undefined ? {} : { RefreshToken: refreshToken }),
    }
    return { status: 200, body: { AuthenticationResult: tokens, ChallengeParameters: {} } }
  }

  /** A token of the current key. */
  sign(claims: object, header: object = {}): string {
    const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url')
    const input = `${encode({ alg: 'RS256', kid: this.#keyId, ...header })}.${encode(claims)}`
    return `${input}.${createSign('RSA-SHA256').update(input).sign(this.#pair().privateKey, 'base64url')}`
  }

  #getMatch({ authorization, body }: StandInRequest): StandInAnswer {
    if (!this.#accessTokens.has(authorization?.replace(/^Bearer /, '') ?? '')) {
      const error = { errorType: 'UnauthorizedException', message: 'Token has expired.' }
      return { status: 401, body: { errors: [error] } }
    }
    const { id } = body['variables'] as { id: string }
    return { status: 200, body: { data: { getMatch: this.matches.get(id) ?? null } } }
  }

  #publicKey(): JsonWebKey {
    return { ...this.#pair().publicKey.export({ format: 'jwk' }), kid: this.#keyId, use: 'sig', alg: 'RS256' }
  }

  #pair(): { publicKey: KeyObject; privateKey: KeyObject } {
    const pair = KEYS[this.#key]
    if (pair === undefined) throw new RangeError('no such key')
    return pair
  }
}

/** An error as Cognito sends it. */
export function cognitoError(type: string, message: string, status = 400): StandInAnswer {
  return { status, body: { __type: type, message } }
}

function nameOf(request: IncomingMessage, body: Record<string, unknown>): string {
  if (request.url === `/${POOL}/.well-known/jwks.json`) return 'jwks'
  if (request.url === '/graphql')
    return /\bgetMatch\(id: \$id\)/.test(String(body['query'])) ? 'getMatch' : 'query'
  const action = String(request.headers['x-amz-target']).replace('AWSCognitoIdentityProviderService.', '')
  const { AuthFlow: flow } = body
  return typeof flow === 'string' ? `${action} ${flow}` : action
}
