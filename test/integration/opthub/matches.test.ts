import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NotYetError, RetryableError } from '../../../src/core/errors.ts'
import type { OptHub } from '../../../src/matches/opthub/opthub.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import type { OptHubStandIn, StandInAnswer } from '../../support/opthub-stand-in.ts'
import { Bench, never, thrownBy } from './support.ts'

const ID = '0b0f7f0c-58b1-4ce5-a5d4-6e5f1f3f6f11'
const NOT_THE_ADMINISTRATOR =
  "Cannot access the Docker image. Please check your permissions. If you're not authenticated using the competition administrator's account, please do so."

let bench: Bench
let standIn: OptHubStandIn

beforeEach(async () => {
  bench = await Bench.create()
  standIn = bench.standIn
})

afterEach(async () => {
  await bench[Symbol.asyncDispose]()
})

/** The API's answer from now on. */
function answer(given: StandInAnswer): void {
  standIn.fault = ({ what }) => (what === 'getMatch' ? given : undefined)
}

function answerErrors(errors: unknown[], match: unknown = null): void {
  answer({ status: 200, body: { data: { getMatch: match }, errors } })
}

describe('a match of OptHub', () => {
  it('has the image of the role, public and private variables, private ones winning', async () => {
    standIn.addMatch(ID, {
      problem: { dockerImage: 'registry.example/problem:1' },
      problemPublicEnvironments: [
        { key: 'SIZE', value: '10' },
        { key: 'MODE', value: 'open' },
        { key: 'EMPTY', value: '' },
        { key: 'NONE', value: null },
      ],
      problemPrivateEnvironments: [
        { key: 'MODE', value: 'hidden' },
        { key: '__proto__', value: 'harmless' },
      ],
    })
    const { source } = await bench.open()
    const match = await source.resolve(ID, never)
    expect(match.id).toBe(ID)
    expect(match.problem?.image).toBe('registry.example/problem:1')
    expect(Object.entries(match.problem?.environment ?? {})).toEqual([
      ['SIZE', '10'],
      ['MODE', 'hidden'],
      ['EMPTY', ''],
      ['__proto__', 'harmless'],
    ])
    expect(match.problem?.secrets).toEqual(['hidden', 'harmless'])
    expect(match.indicator).toBeUndefined()
    expect(standIn.requests.find(({ what }) => what === 'getMatch')?.body['variables']).toEqual({ id: ID })
  })

  it('is asked for by its bare id, with the role of a scorer too', async () => {
    standIn.addMatch(ID, {
      problem: { dockerImage: null },
      problemPrivateEnvironments: [{ key: 'A', value: null }],
    })
    const { source } = await bench.open({ role: 'indicator' })
    expect((await source.resolve(`Match#${ID}`, never)).indicator?.image).toBe('indicator:1')
  })

  it('is asked for once by all who wait, and again when its time is over', async () => {
    const clock = new ManualClock()
    standIn.addMatch(ID)
    const { source } = await bench.open({ clock })
    await Promise.all(Array.from({ length: 20 }, () => source.resolve(ID, never)))
    expect(standIn.count('getMatch')).toBe(1)
    await clock.advance(59_000)
    await source.resolve(ID, never)
    expect(standIn.count('getMatch')).toBe(1)
    standIn.addMatch(ID, { problem: { dockerImage: 'problem:2' } })
    await clock.advance(1000)
    expect((await source.resolve(ID, never)).problem?.image).toBe('problem:2')
  })

  it('is not lost for the others when one who waits gives up', async () => {
    standIn.addMatch(ID)
    const { source } = await bench.open()
    const given = new AbortController()
    const first = thrownBy(source.resolve(ID, given.signal))
    const second = source.resolve(ID, never)
    given.abort(new Error('gave up'))
    expect(await first).toEqual(new Error('gave up'))
    expect((await second).id).toBe(ID)
    expect(standIn.count('getMatch')).toBe(1)
  })
})

describe('a match is parked', () => {
  const WITHOUT_RIGHT: [what: string, given: Record<string, unknown>][] = [
    ['its image is null', { problem: { dockerImage: null } }],
    ['its problem is null', { problem: null }],
    ['a private value is null', { problemPrivateEnvironments: [{ key: 'TOKEN', value: null }] }],
    ['the private list is null', { problemPrivateEnvironments: null }],
  ]
  it.each(WITHOUT_RIGHT)('when %s', async (_, given) => {
    standIn.addMatch(ID, given)
    const { source, probe } = await bench.open({ ttlSeconds: 7 })
    const error = await thrownBy(source.resolve(ID, never))
    expect(error).toBeInstanceOf(NotYetError)
    expect(error).toMatchObject({ message: NOT_THE_ADMINISTRATOR, retryAfterSeconds: 7 })
    await probe(never)
    standIn.addMatch(ID)
    expect((await source.resolve(ID, never)).problem?.image).toBe('problem:1')
  })

  it('when there is none of that name', async () => {
    const { source } = await bench.open()
    const error = await thrownBy(source.resolve(ID, never))
    expect(error).toBeInstanceOf(NotYetError)
    expect(error).toMatchObject({
      message: expect.stringContaining(`${ID} is not known to OptHub`) as string,
    })
  })

  it('when the account may not see a field, after the token was renewed once', async () => {
    const { source } = await bench.open()
    answerErrors([
      { errorType: 'Unauthorized', path: ['getMatch', 'problem', 'dockerImage'], message: 'Not Authorized' },
    ])
    const error = await thrownBy(source.resolve(ID, never))
    expect(error).toMatchObject({ name: 'NotYetError', message: NOT_THE_ADMINISTRATOR })
    expect(standIn.count('InitiateAuth REFRESH_TOKEN_AUTH')).toBe(1)
  })

  it('when a variable could be given to no program', async () => {
    const { source } = await bench.open()
    for (const key of ['', 'A=B', 'A\0']) {
      standIn.addMatch(ID, { problemPublicEnvironments: [{ key, value: 'x' }] })
      expect(await thrownBy(source.resolve(ID, never))).toBeInstanceOf(NotYetError)
    }
  })
})

it('what is wrong with the other role does not matter', async () => {
  standIn.addMatch(ID, { indicator: null, indicatorPrivateEnvironments: null })
  const { source } = await bench.open()
  answerErrors(
    [
      {
        errorType: 'Unauthorized',
        path: ['getMatch', 'indicatorPrivateEnvironments'],
        message: 'Not Authorized',
      },
    ],
    standIn.matches.get(ID),
  )
  expect((await source.resolve(ID, never)).problem?.image).toBe('problem:1')
  expect(standIn.count('InitiateAuth REFRESH_TOKEN_AUTH')).toBe(0)
})

describe('a token that the API refuses', () => {
  it('is renewed, and the question asked again', async () => {
    standIn.addMatch(ID)
    const { source } = await bench.open()
    standIn.endAccessTokens()
    expect((await source.resolve(ID, never)).id).toBe(ID)
    expect(standIn.count('InitiateAuth REFRESH_TOKEN_AUTH')).toBe(1)
    expect(standIn.count('getMatch')).toBe(2)
  })

  it('is renewed once for many matches', async () => {
    const ids = Array.from({ length: 8 }, (_, n) => ID.replace(/.$/, String(n)))
    for (const id of ids) standIn.addMatch(id)
    const { source } = await bench.open()
    standIn.endAccessTokens()
    await Promise.all(ids.map((id) => source.resolve(id, never)))
    expect(standIn.count('InitiateAuth REFRESH_TOKEN_AUTH')).toBe(1)
  })

  it('and whose successor is refused too, is a matter of credentials', async () => {
    const { source, probe } = await bench.open()
    const error = { errorType: 'UnauthorizedException', message: 'You are not authorized to make this call.' }
    answer({ status: 401, body: { errors: [error] } })
    const thrown = await thrownBy(source.resolve(ID, never))
    expect(thrown).toBeInstanceOf(RetryableError)
    expect(thrown).toMatchObject({
      surrounding: 'credentials',
      message: expect.stringContaining('not authorized') as string,
    })
    expect(standIn.count('getMatch')).toBe(2)
    expect(await thrownBy(probe(never))).toMatchObject({ surrounding: 'credentials' })
    standIn.fault = undefined
    await probe(never)
  })
})

describe('the API is at fault', () => {
  const GARBAGE: [what: string, given: StandInAnswer][] = [
    [
      'an error of its own',
      {
        status: 200,
        body: { data: { getMatch: null }, errors: [{ errorType: 'Lambda:Unhandled', message: 'boom' }] },
      },
    ],
    [
      'a mistake in the question',
      { status: 400, body: { errors: [{ message: 'Validation error of type FieldUndefined' }] } },
    ],
    ['no JSON', { status: 200, body: '<html>' }],
    ['an empty answer', { status: 200, body: '' }],
    ['null', { status: 200, body: 'null' }],
    ['a list', { status: 200, body: [] }],
    ['no data', { status: 200, body: { data: null } }],
    [
      'another match',
      {
        status: 200,
        body: {
          data: {
            getMatch: {
              id: ID.replace('0b', '0c'),
              problem: { dockerImage: 'x' },
              problemPublicEnvironments: [],
              problemPrivateEnvironments: [],
            },
          },
        },
      },
    ],
    [
      'an image that is no text',
      { status: 200, body: { data: { getMatch: { id: ID, problem: { dockerImage: 1 } } } } },
    ],
    [
      'no private variables',
      { status: 200, body: { data: { getMatch: { id: ID, problem: { dockerImage: 'x' } } } } },
    ],
    ['a page that is not there', { status: 404, body: 'Not here' }],
    ['a wall', { status: 403, body: { message: 'Forbidden' } }],
    ['far too much', { status: 200, body: { data: { getMatch: null }, padding: 'x'.repeat(5 * 1024 ** 2) } }],
  ]
  it.each(GARBAGE)('with %s: the job is tried again', async (_, given) => {
    standIn.addMatch(ID)
    const { source } = await bench.open()
    answer(given)
    const error = await thrownBy(source.resolve(ID, never))
    expect(error).toBeInstanceOf(RetryableError)
    expect(error).toMatchObject({ surrounding: 'matches' })
    standIn.fault = undefined
    expect((await source.resolve(ID, never)).id).toBe(ID)
  })

  it('for a moment: nobody notices', async () => {
    standIn.addMatch(ID)
    const { source } = await bench.open()
    let faults = 0
    standIn.fault = ({ what }) => {
      if (what !== 'getMatch' || faults === 2) return undefined
      faults += 1
      return { status: faults === 1 ? 503 : 429, body: { message: 'later' } }
    }
    expect((await source.resolve(ID, never)).id).toBe(ID)
  })

  it('for a minute: the probe fails until it is over', async () => {
    standIn.addMatch(ID)
    const { source, probe }: OptHub = await bench.open()
    answer({ status: 502, body: 'Bad gateway' })
    const error = await thrownBy(source.resolve(ID, never))
    expect(error).toMatchObject({
      surrounding: 'matches',
      message: expect.stringContaining('answered 502') as string,
    })
    expect(await thrownBy(probe(never))).toMatchObject({ surrounding: 'matches' })
    standIn.fault = undefined
    await probe(never)
    expect((await source.resolve(ID, never)).id).toBe(ID)
  })
})
