import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GetItemCommand, PutItemCommand, TransactWriteItemsCommand } from '@aws-sdk/client-dynamodb'
import {
  ChangeMessageVisibilityCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
} from '@aws-sdk/client-sqs'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createLogger } from '../../src/core/log.ts'
import { openEmbedded, type Embedded } from '../../src/embedded/index.ts'
import { AwsFront, type AwsFault } from '../support/faults/aws-front.ts'
import { refusal } from '../support/faults/aws-refusals.ts'
import { EngineFront, operationOf, type EngineFault } from '../support/faults/engine-front.ts'
import { ArmedPlan, randomPlan } from '../support/faults/plan.ts'
import { LocalClients } from '../support/local-clients.ts'
import { createSchedule } from './schedule.ts'
import { shrink } from './shrink.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'of-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
})

describe('the front of an engine', () => {
  const faults = new ArmedPlan<EngineFault>()
  /** What the engine was asked for. */
  const asked: string[] = []
  let engine: http.Server
  let front: EngineFront

  beforeAll(async () => {
    engine = http.createServer((request, response) => {
      asked.push(request.url ?? '')
      response.writeHead(201, { 'content-type': 'application/json' }).end('{"Id": "0123456789"}')
    })
    // Says everything in capitals, and good-bye when it was told all.
    engine.on('upgrade', (request, socket, head) => {
      asked.push(request.url ?? '')
      socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n')
      const answer = (data: Buffer): boolean => socket.write(data.toString().toUpperCase())
      if (head.length > 0) answer(head)
      socket.on('data', answer)
      socket.once('end', () => socket.end('BYE'))
      socket.on('error', () => undefined)
    })
    const upstream = join(folder, 'engine')
    engine.listen(upstream)
    await once(engine, 'listening')
    front = await EngineFront.start({ path: join(folder, 'front'), upstream, plan: faults })
  })
  beforeEach(() => {
    asked.length = 0
  })
  afterAll(async () => {
    await front[Symbol.asyncDispose]()
    engine.closeAllConnections()
    engine.close()
  })

  function ask(path: string): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const request = http.request({ socketPath: join(folder, 'front'), path, method: 'POST' })
      request.on('error', reject)
      request.on('response', (response) => {
        let body = ''
        response.on('data', (data: Buffer) => (body += data.toString()))
        response.on('error', reject)
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, body })
        })
      })
      request.end('{}')
    })
  }

  /** Everything that a raw stream says, headers included, until its end. */
  async function talk(...words: string[]): Promise<string> {
    const socket = net.connect({ path: join(folder, 'front'), allowHalfOpen: true })
    const head = 'POST /containers/x/attach?stdout=1 HTTP/1.1\r\nHost: docker\r\nContent-Length: 0'
    socket.write(`${head}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`)
    let heard = ''
    socket.on('data', (data: Buffer) => (heard += data.toString()))
    socket.on('error', () => undefined)
    for (const word of words) socket.write(word)
    socket.end()
    await once(socket, 'close')
    return heard
  }

  const CREATE = '/v1.41/containers/create?name=x'

  test('passes requests and raw streams through, half-close included', async () => {
    expect(await ask(CREATE)).toEqual({ status: 201, body: '{"Id": "0123456789"}' })
    const heard = await talk('a', 'b')
    expect(heard).toMatch(/^HTTP\/1\.1 101 UPGRADED\r\n/)
    expect(heard).toMatch(/\r\n\r\nABBYE$/)
    expect(asked).toEqual([CREATE, '/containers/x/attach?stdout=1'])
  })

  test.each<[EngineFault, boolean, RegExp]>([
    [{ kind: 'delay', ms: 10 }, true, /^201/],
    [{ kind: 'late', ms: 10 }, true, /^201/],
    [{ kind: 'error' }, false, /^500 .*injected/],
    [{ kind: 'error-after' }, true, /^500 .*injected/],
    [{ kind: 'reset-before' }, false, /hang up|ECONNRESET/],
    [{ kind: 'reset-after' }, true, /hang up|ECONNRESET/],
    [{ kind: 'cut' }, true, /aborted/],
    [{ kind: 'hang', ms: 10 }, false, /hang up|ECONNRESET/],
  ])('injects %j', async (fault, happens, outcome) => {
    faults.arm('create', fault)
    const answer = await ask(CREATE).then(
      ({ status, body }) => `${String(status)} ${body}`,
      (error: unknown) => String(error),
    )
    expect(answer).toMatch(outcome)
    expect(asked).toEqual(happens ? [CREATE] : [])
    expect(await ask(CREATE)).toMatchObject({ status: 201 })
  })

  test('refuses connections for a while', async () => {
    // Long enough for a look on a machine that stops now and then.
    faults.arm('create', { kind: 'refuse', ms: 3000 })
    await expect(ask(CREATE)).rejects.toThrow()
    await expect.poll(() => ask('/x').catch((error: unknown) => String(error))).toMatch(/ECONNREFUSED/)
    await expect
      .poll(() => ask('/x').catch(() => undefined), { timeout: 20_000 })
      .toMatchObject({ status: 201 })
  })

  test('cuts a raw stream in its middle', async () => {
    faults.arm('attach', { kind: 'cut' })
    expect(await talk('abcd')).not.toMatch(/BYE/)
    faults.arm('attach', { kind: 'reset-after' })
    expect(await talk('abcd')).toBe('')
  })

  test.each([
    ['POST', '/v1.41/containers/create?name=x', 'create'],
    ['POST', '/containers/ab/start', 'start'],
    ['POST', '/containers/ab/attach?stream=1&stdin=1', 'attach-input'],
    ['POST', '/containers/ab/attach?stream=1&stdin=1&stdout=1', 'attach'],
    ['POST', '/containers/ab/wait?condition=next-exit', 'wait'],
    ['DELETE', '/v1.24/containers/ab?force=1', 'remove'],
    ['GET', '/containers/ab/json', 'inspect'],
    ['GET', '/containers/json?all=1', 'list'],
    ['POST', '/images/create?fromImage=x', 'pull'],
    ['GET', '/events?since=1', 'events'],
    ['GET', '/info', 'other'],
  ])('knows %s %s', (method, url, operation) => {
    expect(operationOf(method, url)).toBe(operation)
  })
})

describe('the front of AWS', () => {
  const faults = new ArmedPlan<AwsFault>()
  let embedded: Embedded
  let front: AwsFront
  let aws: LocalClients
  let QueueUrl: string

  beforeAll(async () => {
    embedded = await openEmbedded({ dataDir: join(folder, 'aws'), log: createLogger(() => undefined) })
    const { endpoints, queues } = embedded.info
    front = await AwsFront.start({ upstream: endpoints.sqs, key: embedded.info, plan: faults })
    const behind = { sqs: front.url, dynamodb: front.url, s3: front.url }
    aws = new LocalClients({ ...embedded.info, endpoints: behind, accessKeyId: 'me', secretAccessKey: 'any' })
    QueueUrl = queues.inference
  })
  beforeEach(() => {
    front.requests.length = 0
  })
  afterAll(async () => {
    aws.close()
    await front[Symbol.asyncDispose]()
    await embedded.close()
  })

  async function receive(): Promise<string[]> {
    const command = new ReceiveMessageCommand({ QueueUrl, VisibilityTimeout: 30, MaxNumberOfMessages: 10 })
    return ((await aws.sqs.send(command)).Messages ?? []).map(({ Body }) => Body ?? '')
  }
  async function send(MessageBody: string): Promise<void> {
    await aws.sqs.send(new SendMessageCommand({ QueueUrl, MessageBody }))
  }
  const item = (id: string) => ({ ID: { S: id }, Trial: { S: '1' } })
  const putOnce = (id: string) =>
    new TransactWriteItemsCommand({
      TransactItems: [
        {
          Put: {
            TableName: 'opthub',
            Item: item(id),
            ConditionExpression: 'attribute_not_exists(ID)',
          },
        },
        { Put: { TableName: 'opthub', Item: item(`${id}-other`) } },
      ],
    })
  async function isThere(id: string): Promise<boolean> {
    return (await aws.get(id, '1')) !== undefined
  }

  test('passes everything on under a key of its own, and tells who asked', async () => {
    await send('plain')
    expect(await receive()).toEqual(['plain'])
    await aws.dynamodb.send(putOnce('plain'))
    expect(await isThere('plain')).toBe(true)
    const log = front.requests.map(({ client, action, status }) => `${client} ${action} ${String(status)}`)
    expect(log).toEqual([
      'me SendMessage 200',
      'me ReceiveMessage 200',
      'me TransactWriteItems 200',
      'me GetItem 200',
    ])
  })

  test.each<[AwsFault, number]>([
    [{ kind: 'delay', ms: 5 }, 1],
    [{ kind: 'late', ms: 5 }, 1],
    [{ kind: 'failure' }, 1],
    [{ kind: 'unavailable' }, 1],
    [{ kind: 'reset-before' }, 1],
    [{ kind: 'reset-middle' }, 2],
    [{ kind: 'lost' }, 2],
    [{ kind: 'hang', ms: 5 }, 1],
  ])('injects %j, and a client that tries again gets through', async (fault, effects) => {
    faults.arm('TransactWriteItems', fault)
    const id = `write-${fault.kind}`
    await aws.dynamodb.send(putOnce(id))
    expect(front.requests.filter(({ status }) => status === 200)).toHaveLength(effects)
    expect(await isThere(id)).toBe(true)
  })

  test('refuses a transaction as DynamoDB does when it is busy', async () => {
    for (const [kind, code] of [
      ['throttled', 'ThrottlingError'],
      ['conflict', 'TransactionConflict'],
    ] as const) {
      faults.arm('TransactWriteItems', { kind })
      await expect(aws.dynamodb.send(putOnce('busy'))).rejects.toMatchObject({
        name: 'TransactionCanceledException',
        CancellationReasons: [{ Code: code }, { Code: 'None' }],
      })
    }
    expect(await isThere('busy')).toBe(false)
  })

  test('knows the words of each protocol', () => {
    expect(refusal('sqs-query', 'SendMessage', 'failure').body.toString()).toContain(
      '<Type>Receiver</Type><Code>InternalFailure</Code>',
    )
    const json = refusal('sqs-json', 'SendMessage', 'throttled')
    expect(json.headers['x-amzn-query-error']).toBe('RequestThrottled;Sender')
    expect(json.body.toString()).toContain('com.amazonaws.sqs#RequestThrottled')
    expect(refusal('dynamodb', 'GetItem', 'throttled').body.toString()).toContain(
      '#ProvisionedThroughputExceededException',
    )
  })

  test('delivers a message to two polls, under a receipt each or under one', async () => {
    await send('again')
    faults.arm('ReceiveMessage', { kind: 'again' })
    expect(await receive()).toEqual(['again'])
    expect(await receive()).toEqual(['again'])
    await send('twin')
    faults.arm('ReceiveMessage', { kind: 'twin' })
    expect(await receive()).toEqual(['twin'])
    expect(await receive()).toEqual(['twin'])
    expect(await receive()).toEqual([])
    const handles = front.requests
      .flatMap(({ answer }) => (answer?.['Messages'] ?? []) as { Body: string; ReceiptHandle: string }[])
      .filter(({ Body }) => Body === 'twin')
      .map(({ ReceiptHandle }) => ReceiptHandle)
    expect(new Set(handles).size).toBe(1)
    // It is held by both.
    const [ReceiptHandle] = handles
    await aws.sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 9 }))
  })

  test('delivers out of order', async () => {
    await send('first')
    faults.arm('ReceiveMessage', { kind: 'hold' })
    expect(await receive()).toEqual([])
    await send('second')
    faults.arm('ReceiveMessage', { kind: 'hold' })
    expect(await receive()).toEqual([])
    expect([...(await receive()), ...(await receive())].sort()).toEqual(['first', 'second'])
  })

  test('answers from the past where a read does not ask for consistency', async () => {
    await aws.dynamodb.send(new PutItemCommand({ TableName: 'opthub', Item: item('stale') }))
    const read = (ConsistentRead: boolean) =>
      aws.dynamodb.send(new GetItemCommand({ TableName: 'opthub', Key: item('stale'), ConsistentRead }))
    faults.arm('GetItem', { kind: 'stale' })
    expect((await read(false)).Item).toBeUndefined()
    faults.arm('GetItem', { kind: 'stale' })
    expect((await read(true)).Item).toBeDefined()
    expect(front.injected.counts()).toMatchObject({ 'GetItem stale': 1, 'GetItem stale-refused': 1 })
  })

  test('is out of reach for a while', async () => {
    front.goDown(300)
    await expect(
      fetch(front.url, { method: 'POST', body: '{}', signal: AbortSignal.timeout(5000) }),
    ).rejects.toThrow()
    await expect.poll(() => isThere('plain').catch(() => false), { timeout: 5000 }).toBe(true)
  })
})

describe('what is random', () => {
  test('follows from the seed', () => {
    const draw = (seed: string, ...operations: string[]): (string | undefined)[] => {
      const plan = randomPlan(
        seed,
        () => 0.5,
        (random) => String(random.integer(1, 1000)),
      )
      return operations.map((operation) => plan.next(operation))
    }
    const first = draw('s', 'a', 'a', 'a', 'a', 'b', 'b', 'b', 'b')
    expect(draw('s', 'a', 'a', 'a', 'a', 'b', 'b', 'b', 'b')).toEqual(first)
    expect(draw('t', 'a', 'a', 'a', 'a', 'b', 'b', 'b', 'b')).not.toEqual(first)
    // However the operations mix.
    expect(draw('s', 'b', 'a', 'b', 'a')).toEqual([first[4], first[0], first[5], first[1]])
    const options = { durationMs: 60_000, runners: 4, visibilityMs: 8000 }
    const schedule = createSchedule({ seed: 's', ...options })
    expect(createSchedule({ seed: 's', ...options })).toEqual(schedule)
    expect(new Set(schedule.map(({ what }) => what)).size).toBeGreaterThan(6)
  })

  test('shrinks to what it takes', async () => {
    const items = Array.from({ length: 40 }, (_, index) => index)
    const tried: number[] = []
    const needs =
      (...wanted: number[]) =>
      (some: readonly number[]): Promise<boolean> => {
        tried.push(some.length)
        return Promise.resolve(wanted.every((each) => some.includes(each)))
      }
    expect(await shrink(items, needs(17), 100)).toEqual([17])
    expect(await shrink(items, needs(3, 31), 200)).toEqual([3, 31])
    tried.length = 0
    expect((await shrink(items, needs(3, 31), 5)).length).toBeLessThan(40)
    expect(tried).toHaveLength(5)
  })
})
