import { createHmac } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OperatorError, RetryableError } from '../../../src/core/errors.ts'
import { checkStoredLogin, logIn, logOut } from '../../../src/matches/opthub/opthub.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { cognitoError, type OptHubStandIn, type StandInAnswer } from '../../support/opthub-stand-in.ts'
import { ALICE, Bench, never, thrownBy } from './support.ts'

const ID = '0b0f7f0c-58b1-4ce5-a5d4-6e5f1f3f6f11'
const PASSWORD_FLOW = 'InitiateAuth USER_PASSWORD_AUTH'
const REFRESH_FLOW = 'InitiateAuth REFRESH_TOKEN_AUTH'
const WRONG_PASSWORD = 'Authentication failed. Please verify that your username and password are correct.'
const TOO_MANY = 'Too many requests. Please try again later.'

let bench: Bench
let standIn: OptHubStandIn

beforeEach(async () => {
  bench = await Bench.create()
  standIn = bench.standIn
  standIn.addMatch(ID)
})

afterEach(async () => {
  await bench[Symbol.asyncDispose]()
})

/** An answer to every request of one sort from now on. */
function answer(sort: string, given: StandInAnswer): void {
  standIn.fault = ({ what }) => (what === sort ? given : undefined)
}

async function storeLogin(username = 'alice', password = 'correct horse'): Promise<void> {
  await logIn({ username, password }, bench.place, never)
}

describe('a login by password', () => {
  it('gives a token that the API takes', async () => {
    const opthub = await bench.open()
    expect(opthub.username).toBe('alice')
    expect((await opthub.source.resolve(ID, never)).id).toBe(ID)
    await opthub.probe(never)
  })

  const REFUSED: [what: string, given: StandInAnswer, shown: string, exitCode: number][] = [
    [
      'a user that is unknown',
      cognitoError('UserNotFoundException', 'User does not exist.'),
      WRONG_PASSWORD,
      1,
    ],
    ['too many requests', cognitoError('TooManyRequestsException', 'Too many requests'), TOO_MANY, 1],
    ['a limit', cognitoError('LimitExceededException', 'Attempt limit exceeded'), TOO_MANY, 1],
    [
      'a namespace before the name',
      cognitoError('com.amazonaws.cognito#TooManyRequestsException:http://x/', ''),
      TOO_MANY,
      1,
    ],
    ['the status of throttling', { status: 429, body: '' }, TOO_MANY, 1],
    [
      'a name that is locked',
      cognitoError('NotAuthorizedException', 'Password attempts exceeded'),
      TOO_MANY,
      1,
    ],
    [
      'a first password',
      { status: 200, body: { ChallengeName: 'NEW_PASSWORD_REQUIRED', Session: 'x' } },
      'This account can not log in yet',
      1,
    ],
    [
      'a second factor',
      { status: 200, body: { ChallengeName: 'SOFTWARE_TOKEN_MFA', Session: 'x' } },
      'This account can not log in yet',
      1,
    ],
    [
      'an account to be confirmed',
      cognitoError('UserNotConfirmedException', 'User is not confirmed.'),
      'This account can not log in yet',
      1,
    ],
    [
      'a client with a secret',
      cognitoError(
        'NotAuthorizedException',
        'Client x is configured with secret but SECRET_HASH was not received',
      ),
      'OptHub does not accept this program',
      1,
    ],
    [
      'a flow that is not allowed',
      cognitoError('InvalidParameterException', 'USER_PASSWORD_AUTH flow not enabled for this client'),
      'OptHub does not accept this program',
      1,
    ],
    ['a wall', { status: 403, body: '<html>' }, 'OptHub does not accept this program', 1],
    [
      'a server out of order',
      cognitoError('InternalErrorException', 'oops', 500),
      'OptHub can not be reached',
      69,
    ],
    ['an answer without tokens', { status: 200, body: {} }, 'OptHub can not be reached', 69],
  ]
  it.each(REFUSED)('tells of %s', async (_, given, what, exitCode) => {
    answer(PASSWORD_FLOW, given)
    const error = await thrownBy(bench.open())
    expect(error).toBeInstanceOf(OperatorError)
    expect(error).toMatchObject({ what, exitCode })
  })

  it('tells of a wrong password, and asks once only', async () => {
    const error = await thrownBy(bench.open({ account: { ...ALICE, password: 'wrong horse' } }))
    expect(error).toMatchObject({ what: WRONG_PASSWORD, why: 'Incorrect username or password.', exitCode: 1 })
    expect(standIn.count(PASSWORD_FLOW)).toBe(1)
  })

  it('tells when nobody is there', async () => {
    const gone = await Bench.create()
    const { endpoints } = gone.standIn
    await gone[Symbol.asyncDispose]()
    const error = await thrownBy(logIn(ALICE, { endpoints, dataDir: bench.dataDir }, never))
    expect(error).toMatchObject({ what: 'OptHub can not be reached', exitCode: 69 })
  })

  it('survives a short fault', async () => {
    let faults = 0
    standIn.fault = () => ((faults += 1) <= 2 ? { status: 503, body: '' } : undefined)
    await bench.open()
  })
})

describe('a token is trusted only', () => {
  const past = Math.floor(Date.now() / 1000) - 10
  const WRONG: [what: string, claims: Record<string, unknown>, why: RegExp][] = [
    ['for this client', { client_id: 'another' }, /another client/],
    ['for access', { token_use: 'id' }, /no access token/],
    ['from this pool', { iss: 'https://evil.example/pool' }, /[Ii]ssuer/],
    ['before its end', { exp: past }, /expired.*clock/],
    ['with an end', { exp: undefined }, /no end/],
  ]
  it.each(WRONG)('%s', async (_, claims, why) => {
    standIn.claims = claims
    const error = await thrownBy(bench.open())
    expect(error).toMatchObject({
      what: 'The token that came from OptHub can not be trusted',
      why: expect.stringMatching(why) as string,
      exitCode: 1,
    })
  })

  it('with a signature of the pool', async () => {
    const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url')
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      iss: standIn.endpoints.issuers[0],
      exp: now + 600,
      iat: now,
      token_use: 'access',
      client_id: standIn.endpoints.clientId,
      username: 'alice',
    }
    const good = standIn.sign(claims)
    const [header = '', payload = '', signature = ''] = good.split('.')
    const forged = [
      `${header}.${encode({ ...claims, username: 'mallory' })}.${signature}`,
      `${encode({ alg: 'none', kid: 'key-1' })}.${payload}.x`,
      `${encode({ alg: 'HS256', kid: 'key-1' })}.${payload}.${createHmac('sha256', 'key').update(`${header}.${payload}`).digest('base64url')}`,
      standIn.sign(claims, { kid: 'another' }),
      `${header}.${payload}`,
      'no token',
    ]
    for (const token of forged) {
      answer(PASSWORD_FLOW, {
        status: 200,
        body: { AuthenticationResult: { AccessToken: token, RefreshToken: 'r' } },
      })
      expect(await thrownBy(bench.open())).toMatchObject({
        what: 'The token that came from OptHub can not be trusted',
      })
    }
    answer(PASSWORD_FLOW, {
      status: 200,
      body: { AuthenticationResult: { AccessToken: good, RefreshToken: 'r' } },
    })
    await bench.open()
  })

  it('when the keys can be had', async () => {
    for (const body of ['nonsense', {}, { keys: [{}] }]) {
      answer('jwks', { status: 200, body })
      expect(await thrownBy(bench.open())).toMatchObject({ what: 'OptHub can not be reached', exitCode: 69 })
    }
  })
})

describe('a token is renewed', () => {
  it('ahead of its end, although nobody asks for it, and the keys are kept', async () => {
    const clock = new ManualClock()
    const { source } = await bench.open({ clock })
    await clock.advance(54 * 60_000)
    expect(standIn.count(REFRESH_FLOW)).toBe(0)
    await advanceUntil(clock, 60_000, () => standIn.count(REFRESH_FLOW) === 1)
    await advanceUntil(clock, 60_000, () => standIn.count(REFRESH_FLOW) === 2)
    await source.resolve(ID, never)
    expect(standIn.count(PASSWORD_FLOW)).toBe(1)
    expect(standIn.count('jwks')).toBe(1)
  })

  it('when a tenth of a short life is left', async () => {
    standIn.lifeSeconds = 300
    const clock = new ManualClock()
    await bench.open({ clock })
    await clock.advance(269_000)
    expect(standIn.count(REFRESH_FLOW)).toBe(0)
    await advanceUntil(clock, 1000, () => standIn.count(REFRESH_FLOW) === 1)
  })

  it('after the machine has slept through its end', async () => {
    const clock = new ManualClock()
    const { source } = await bench.open({ clock })
    clock.freeze(2 * 3600_000)
    await source.resolve(ID, never)
    expect(standIn.count(REFRESH_FLOW)).toBe(1)
  })

  it.each([false, true])('with other keys of the pool (same name: %s)', async (sameName) => {
    const { source } = await bench.open()
    standIn.rotateKeys({ sameName })
    standIn.endAccessTokens()
    await source.resolve(ID, never)
    expect(standIn.count('jwks')).toBe(2)
  })

  it('again and again while Cognito is out of order, the old one being used meanwhile', async () => {
    const clock = new ManualClock()
    const { source, probe } = await bench.open({ clock, ttlSeconds: 1 })
    answer(REFRESH_FLOW, { status: 500, body: '' })
    await clock.advance(55 * 60_000)
    await advanceUntil(clock, 1000, () => bench.logged('ERROR').length === 1)
    expect(bench.logged('ERROR')).toEqual(['The OptHub login can not be renewed'])
    await source.resolve(ID, never)
    await probe(never)
    standIn.fault = undefined
    await advanceUntil(clock, 1000, () => bench.logged('INFO').includes('The OptHub login works again'))
  })

  it('or the fault is one of the way to OptHub, not of the login', async () => {
    const { source } = await bench.open()
    standIn.endAccessTokens()
    answer(REFRESH_FLOW, cognitoError('TooManyRequestsException', 'slow down'))
    expect(await thrownBy(source.resolve(ID, never))).toMatchObject({ surrounding: 'matches' })
    answer(REFRESH_FLOW, { status: 500, body: '' })
    expect(await thrownBy(source.resolve(ID, never))).toMatchObject({ surrounding: 'matches' })
    standIn.fault = undefined
    await source.resolve(ID, never)
  })
})

describe('a refresh token that has ended', () => {
  /** As when an administrator ends all sessions. */
  function endLogin(): void {
    standIn.endAccessTokens()
    standIn.endRefreshTokens()
  }

  it('is followed by a login with the password that was given for it', async () => {
    const { source } = await bench.open({ account: { ...ALICE, remember: true } })
    endLogin()
    await source.resolve(ID, never)
    expect(standIn.count(PASSWORD_FLOW)).toBe(2)
    expect(bench.logged('INFO')).toEqual(['Logged in to OptHub again: the old login had ended'])
  })

  it('pauses when the password is none any more, which is tried once', async () => {
    const { source, probe } = await bench.open({ account: { ...ALICE, remember: true } })
    standIn.users.set('alice', 'another one')
    endLogin()
    for (let n = 0; n < 3; n += 1)
      expect(await thrownBy(source.resolve(ID, never))).toBeInstanceOf(RetryableError)
    expect(await thrownBy(probe(never))).toMatchObject({ surrounding: 'credentials' })
    expect(standIn.count(PASSWORD_FLOW)).toBe(2)
    expect(standIn.count(REFRESH_FLOW)).toBe(1)
  })

  it('pauses until somebody has logged in', async () => {
    const clock = new ManualClock()
    const { source, probe } = await bench.open({ clock, ttlSeconds: 1 })
    endLogin()
    const error = await thrownBy(source.resolve(ID, never))
    expect(error).toBeInstanceOf(RetryableError)
    expect(error).toMatchObject({
      surrounding: 'credentials',
      message: expect.stringMatching(
        /logged out of OptHub as alice .*revoked.*opthub-runner login/,
      ) as string,
    })
    expect(await thrownBy(probe(never))).toMatchObject({ surrounding: 'credentials' })
    await advanceUntil(clock, 1000, () => bench.logged('ERROR').length > 0)

    standIn.users.set('bob', 'battery staple')
    await storeLogin('bob', 'battery staple')
    expect(await thrownBy(probe(never))).toMatchObject({ surrounding: 'credentials' })

    await storeLogin()
    await probe(never)
    expect((await source.resolve(ID, never)).id).toBe(ID)
    expect(bench.logged('INFO')).toContain('Logged in to OptHub again')
  })

  it('pauses a runner without jobs, once its last access token is spent', async () => {
    const clock = new ManualClock()
    const { assertLogin } = await bench.open({ clock })
    endLogin()
    const requests = standIn.requests.length
    await assertLogin(never)
    expect(standIn.requests).toHaveLength(requests)
    clock.freeze(3600_000)
    expect(await thrownBy(assertLogin(never))).toMatchObject({ surrounding: 'credentials' })
    await storeLogin()
    await assertLogin(never)
  })

  it('pauses a runner of the stored login when that is logged out', async () => {
    await storeLogin()
    const { source } = await bench.open({ account: 'stored' })
    await source.resolve(ID, never)
    expect(await logOut(bench.place, never)).toEqual({
      username: 'alice',
      ended: true,
    })
    standIn.endAccessTokens()
    const other = ID.replace('0b', '0c')
    expect(await thrownBy(source.resolve(other, never))).toMatchObject({ surrounding: 'credentials' })
  })
})

describe('a stored login', () => {
  it('is used by runners and checked by whoami', async () => {
    await storeLogin()
    expect(await checkStoredLogin(bench.place, never)).toBe('alice')
    expect((await bench.open({ account: 'stored' })).username).toBe('alice')
    expect(standIn.count(PASSWORD_FLOW)).toBe(1)
  })

  it('that has ended, or was never made, is told of', async () => {
    const none = { what: 'Nobody is logged in to OptHub', exitCode: 1 }
    expect(await thrownBy(bench.open({ account: 'stored' }))).toMatchObject(none)
    expect(await thrownBy(checkStoredLogin(bench.place, never))).toMatchObject(none)
    await storeLogin()
    standIn.endRefreshTokens()
    const ended = { what: 'The login of alice has ended', exitCode: 1 }
    expect(await thrownBy(bench.open({ account: 'stored' }))).toMatchObject(ended)
    expect(await thrownBy(checkStoredLogin(bench.place, never))).toMatchObject(ended)
  })

  it('is removed and ended by logout, also when OptHub is away', async () => {
    expect(await logOut(bench.place, never)).toBeUndefined()
    await storeLogin()
    standIn.fault = () => ({ status: 503, body: '' })
    expect(await logOut(bench.place, never)).toEqual({ username: 'alice', ended: false })
    expect(await bench.store.peek()).toBeUndefined()
  })

  it('is not left behind by a login that failed', async () => {
    expect(await thrownBy(storeLogin('alice', 'wrong'))).toBeInstanceOf(OperatorError)
    standIn.claims = { client_id: 'another' }
    expect(await thrownBy(storeLogin())).toBeInstanceOf(OperatorError)
    expect(await bench.store.peek()).toBeUndefined()
  })
})

it('no log and no error holds a password or a token', async () => {
  const seen: unknown[] = []
  const account = { ...ALICE, remember: true }
  const { source, probe } = await bench.open({ account })
  await source.resolve(ID, never)
  standIn.rotateKeys()
  standIn.endAccessTokens()
  standIn.endRefreshTokens()
  standIn.users.set('alice', 'another one')
  seen.push(await thrownBy(source.resolve(ID.replace('0b', '0c'), never)), await thrownBy(probe(never)))
  seen.push(await thrownBy(bench.open({ account })))
  const secret = 'eyJhbGciOi.secret-token'
  standIn.fault = () => ({ status: 200, body: `{"AuthenticationResult": {"AccessToken": "${secret}"` })
  seen.push(await thrownBy(bench.open({ account })))
  standIn.fault = () => ({ status: 200, body: { AuthenticationResult: { AccessToken: secret } } })
  seen.push(await thrownBy(bench.open({ account })))

  const texts = [...bench.records.map((record) => JSON.stringify(record)), ...seen.map(everythingOf)].join(
    '\n',
  )
  const secrets = standIn.requests.flatMap(({ body, authorization }) => {
    const { REFRESH_TOKEN, PASSWORD } = (body['AuthParameters'] ?? {}) as Record<string, string>
    return [REFRESH_TOKEN, PASSWORD, authorization?.replace('Bearer ', ''), secret]
  })
  expect(texts).toContain('credentials')
  for (const each of secrets) if (each !== undefined) expect(texts).not.toContain(each)
})

function everythingOf(error: unknown): string {
  if (!(error instanceof Error)) return JSON.stringify(error)
  return [
    error.stack,
    JSON.stringify(error),
    error.cause === undefined ? '' : everythingOf(error.cause),
  ].join('\n')
}

/** Moves time on in steps, with real pauses for the sockets, until something holds. */
async function advanceUntil(clock: ManualClock, stepMs: number, holds: () => boolean): Promise<void> {
  for (let n = 0; n < 400; n += 1) {
    if (holds()) return
    await clock.advance(stepMs)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('it never came true')
}
