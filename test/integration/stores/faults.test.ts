import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { systemClock, type Clock } from '../../../src/core/clock.ts'
import { JobError, LeaseLostError, OperatorError, RetryableError } from '../../../src/core/errors.ts'
import { createDynamoDbStore } from '../../../src/stores/dynamodb/dynamodb-store.ts'
import type { Store } from '../../../src/stores/store.ts'

/** What the scripted server does with a request: an answer, or the socket is cut. */
type Step = { status: number; body: string; type?: string } | 'cut'

interface Request {
  target: string
  body: Record<string, unknown>
}

let server: Server | undefined
let store: Store | undefined

afterEach(async () => {
  store?.close()
  server?.closeAllConnections()
  if (server?.listening === true) {
    server.close()
    await once(server, 'close')
  }
})

/** A store on a server that plays `steps` and repeats the last one; time between tries is only noted. */
async function open(
  ...steps: [Step, ...Step[]]
): Promise<{ store: Store; requests: Request[]; pauses: number[] }> {
  const requests: Request[] = []
  const pauses: number[] = []
  server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const target = String(request.headers['x-amz-target']).replace('DynamoDB_20120810.', '')
      requests.push({ target, body: JSON.parse(Buffer.concat(parts).toString()) as Record<string, unknown> })
      const step = steps[Math.min(requests.length, steps.length) - 1] ?? steps[0]
      if (step === 'cut') {
        request.socket.destroy()
        return
      }
      response
        .writeHead(step.status, { 'content-type': step.type ?? 'application/x-amz-json-1.0' })
        .end(step.body)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const clock: Clock = {
    ...systemClock,
    sleep: async (ms) => {
      pauses.push(ms)
      await Promise.resolve()
    },
  }
  store = connect(`http://127.0.0.1:${String(port)}`, clock)
  return { store, requests, pauses }
}

function connect(endpoint: string, clock: Clock = systemClock): Store {
  return createDynamoDbStore({
    tableName: 'opthub',
    leaseTable: { tableName: 'leases', kind: 'evaluator' },
    region: 'us-east-1',
    endpoint,
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'verysecret' },
    clock,
  })
}

function refuse(type: string, more: object = {}, status = 400): Step {
  return {
    status,
    body: JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${type}`, message: 'because', ...more }),
  }
}

function cancel(...codes: string[]): Step {
  return refuse('TransactionCanceledException', { CancellationReasons: codes.map((Code) => ({ Code })) })
}

const OK: Step = { status: 200, body: '{}' }
const FLAG = { ID: 'i', Trial: '1' }
const ITEMS = [{ ID: 'i', Trial: 'Success#1', Value: 'v' }, FLAG]
const signal = new AbortController().signal

async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
}

describe('a write', () => {
  test('is one request, and an answer that was lost is asked for again under the same token', async () => {
    const { store, requests } = await open('cut', OK)
    expect(await store.put(ITEMS, FLAG)).toBe('written')
    expect(requests.map(({ target }) => target)).toEqual(['TransactWriteItems', 'TransactWriteItems'])
    expect(requests[0]?.body['ClientRequestToken']).toMatch(/.{20}/)
    expect(requests[1]?.body['ClientRequestToken']).toBe(requests[0]?.body['ClientRequestToken'])
  })

  test('that meets another one is tried again, and finds what that one wrote', async () => {
    const { store, requests, pauses } = await open(
      cancel('None', 'TransactionConflict'),
      cancel('ThrottlingError', 'None'),
      cancel('None', 'ConditionalCheckFailed'),
    )
    expect(await store.put(ITEMS, FLAG)).toBe('exists')
    expect(requests).toHaveLength(3)
    expect(new Set(requests.map(({ body }) => body['ClientRequestToken'])).size).toBe(3)
    expect(pauses).toHaveLength(2)
  })

  test('that was refused, and whose table then answers no read, is tried again later', async () => {
    const { store } = await open(
      cancel('None', 'None', 'ConditionalCheckFailed'),
      refuse('ExpiredTokenException'),
    )
    const error = await errorOf(store.put(ITEMS, FLAG, { job: 'j', token: 't' }))
    expect(error).toBeInstanceOf(RetryableError)
    expect(error).toMatchObject({ surrounding: 'credentials' })
  })

  test('gives up after a while', async () => {
    const { store, requests, pauses } = await open(cancel('TransactionConflict', 'None'))
    const error = await errorOf(store.put(ITEMS, FLAG))
    expect(error).toBeInstanceOf(RetryableError)
    expect(error).toMatchObject({ surrounding: 'store' })
    expect(requests.length).toBe(6)
    expect(Math.max(...pauses)).toBeLessThan(3000)
  })

  test.each([
    refuse('ValidationException', { message: 'Item size has exceeded the maximum allowed size' }),
    cancel('ValidationError', 'None'),
  ])("that can't be stored fails the job", async (step) => {
    const { store, requests } = await open(step)
    const error = await errorOf(store.put(ITEMS, FLAG))
    expect(error).toBeInstanceOf(JobError)
    expect(error).toMatchObject({ code: 'unstorable_result' })
    expect(String(error)).toContain('result cannot be stored: ')
    expect(requests).toHaveLength(1)
  })

  test('on a server without transactions does not fail the job', async () => {
    const { store } = await open(refuse('UnknownOperationException'))
    expect(await errorOf(store.put(ITEMS, FLAG))).toBeInstanceOf(RetryableError)
  })
})

describe('a change of one item', () => {
  const CHANGE = { ID: 'i', Trial: 'Job', Status: 'success', Token: 't' }
  const CONDITION = { unlessStatus: ['success', 'rejected'], token: 't' }
  const REFUSED = refuse('ConditionalCheckFailedException')

  function stored(Status: string, Token: string): Step {
    return { status: 200, body: JSON.stringify({ Item: { Status: { S: Status }, Token: { S: Token } } }) }
  }

  test('is one request with its condition', async () => {
    const { store, requests } = await open(OK)
    expect(await store.update(CHANGE, CONDITION)).toBe('written')
    expect(requests.map(({ target }) => target)).toEqual(['UpdateItem'])
    expect(requests[0]?.body).toMatchObject({
      UpdateExpression: 'SET #a0 = :a0, #a1 = :a1',
      ConditionExpression: '(attribute_not_exists(#s) OR NOT #s IN (:s0, :s1)) AND #t = :t',
    })
  })

  test('of which nobody heard that it was made counts', async () => {
    const { store, requests } = await open('cut', REFUSED, stored('success', 't'))
    expect(await store.update(CHANGE, CONDITION)).toBe('written')
    expect(requests.map(({ target }) => target)).toEqual(['UpdateItem', 'UpdateItem', 'GetItem'])
  })

  test.each<[string, string, unknown]>([
    ['success', 'other', 'exists'],
    ['rejected', 't', 'exists'],
  ])('that comes after the end changes nothing: %s by %s', async (status, token, outcome) => {
    const { store } = await open(REFUSED, stored(status, token))
    expect(await store.update(CHANGE, CONDITION)).toBe(outcome)
  })

  test.each<[string, Step]>([
    ['running', stored('running', 'other')],
    ['gone', { status: 200, body: '{}' }],
  ])("of another's job is refused: %s", async (_, step) => {
    const { store } = await open(REFUSED, step)
    expect(await errorOf(store.update(CHANGE, CONDITION))).toBeInstanceOf(LeaseLostError)
  })

  test('that meets another one is tried again, and gives up after a while', async () => {
    const conflict = refuse('TransactionConflictException')
    const { store, requests } = await open(conflict, conflict, OK)
    expect(await store.update(CHANGE, CONDITION)).toBe('written')
    expect(requests.length).toBeGreaterThanOrEqual(3)
    const endless = await open(conflict)
    expect(await errorOf(endless.store.update(CHANGE, CONDITION))).toBeInstanceOf(RetryableError)
  })

  test('whose effect can not be learnt is tried again later', async () => {
    const { store } = await open(REFUSED, refuse('InternalServerError', {}, 500))
    expect(await errorOf(store.update(CHANGE, CONDITION))).toBeInstanceOf(RetryableError)
  })
})

describe('trouble while jobs run', () => {
  test.each([
    ['ProvisionedThroughputExceededException', 400, 'store'],
    ['ThrottlingException', 400, 'store'],
    ['InternalServerError', 500, 'store'],
    ['ResourceNotFoundException', 400, 'store'],
    ['UnrecognizedClientException', 400, 'credentials'],
    ['InvalidSignatureException', 400, 'credentials'],
    ['ExpiredTokenException', 400, 'credentials'],
    ['AccessDeniedException', 400, 'credentials'],
  ])("%s is the surroundings' fault", async (type, status, surrounding) => {
    const { store } = await open(refuse(type, {}, status))
    const errors = await Promise.all(
      [
        store.get(FLAG),
        store.put(ITEMS, FLAG),
        store.query('i', { from: '0', to: '9' })[Symbol.asyncIterator]().next(),
      ].map(errorOf),
    )
    for (const error of errors) {
      expect(error).toBeInstanceOf(RetryableError)
      expect(error).toMatchObject({ surrounding })
      expect(String(error)).toContain(`DynamoDB: ${type}`)
      expect(String(error)).not.toContain('verysecret')
    }
  })

  test.each<[string, Step]>([
    ['cuts the connection', 'cut'],
    ['answers with a page', { status: 200, type: 'text/html', body: '<html>log in first</html>' }],
    ['answers with an error page', { status: 502, type: 'text/html', body: '<html>bad gateway</html>' }],
    ['answers with half of it', { status: 200, body: '{"Item": {"ID"' }],
  ])("a server that %s is the surroundings' fault", async (_, step) => {
    const { store } = await open(step)
    expect(await errorOf(store.get(FLAG))).toMatchObject({ name: 'RetryableError', surrounding: 'store' })
    expect(await errorOf(store.probe(signal))).toBeInstanceOf(RetryableError)
  })

  test('nobody at the port', async () => {
    store = connect('http://127.0.0.1:9')
    expect(await errorOf(store.get(FLAG))).toMatchObject({ name: 'RetryableError', surrounding: 'store' })
    expect(await errorOf(store.probe(signal))).toBeInstanceOf(RetryableError)
  })

  test('an abort in the middle of a read', async () => {
    const controller = new AbortController()
    const reason = new Error('lease lost')
    const { store } = await open({ status: 200, body: '{}' })
    server?.removeAllListeners('request').on('request', () => {
      controller.abort(reason)
    })
    expect(await errorOf(store.get(FLAG, controller.signal))).toBe(reason)
  })
})

describe('the probe', () => {
  test('asks for one item that is not there, by GetItem', async () => {
    const { store, requests } = await open(OK)
    await store.probe(signal)
    expect(requests).toMatchObject([
      { target: 'GetItem', body: { TableName: 'opthub', ConsistentRead: true } },
    ])
  })

  test.each([
    ['UnrecognizedClientException', /access_key_id/],
    ['InvalidSignatureException', /secret_access_key/],
    ['ResourceNotFoundException', /table_name/],
    ['AccessDeniedException', /dynamodb:GetItem, dynamodb:Query and dynamodb:PutItem/],
    ['ValidationException', /partition key ID/],
  ])('says what to do about %s', async (type, hint) => {
    const { store } = await open(refuse(type))
    const error = await errorOf(store.probe(signal))
    expect(error).toBeInstanceOf(OperatorError)
    expect(error instanceof OperatorError && error.hint).toMatch(hint)
    expect(error instanceof OperatorError && error.why).toBe(`${type}: because`)
  })

  test('says what to do about an endpoint or a region that is none', async () => {
    store = connect('nonsense')
    const error = await errorOf(store.probe(signal))
    expect(error instanceof OperatorError && error.hint).toMatch(/endpoint_url/)
    expect(() => createDynamoDbStore({ tableName: 'opthub', region: '' })).toThrow(OperatorError)
  })

  test('a scan that is not allowed says how to do without', async () => {
    const { store } = await open(refuse('AccessDeniedException'))
    const error = await errorOf(store.scan('Scores#')[Symbol.asyncIterator]().next())
    expect(error instanceof OperatorError && error.hint).toMatch(/dynamodb:Scan/)
  })
})
