import { createServer } from 'node:net'
import { once } from 'node:events'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  TransactWriteItemsCommand,
  type DynamoDBClient,
} from '@aws-sdk/client-dynamodb'
import {
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Database } from '../../../src/embedded/database.ts'
import { compileChild } from '../../support/compile-child.ts'
import { startMember } from './child-process.ts'
import { clients, open, temporaryFolder } from './support.ts'

let script: string
let removeScript: () => void
beforeAll(() => {
  ;({ script, remove: removeScript } = compileChild(join(import.meta.dirname, 'child.ts'), [
    'core',
    'embedded',
  ]))
})
afterAll(() => {
  removeScript()
})

async function send(sqs: SQSClient, QueueUrl: string, MessageBody: string): Promise<void> {
  await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody }))
}

async function receive(
  sqs: SQSClient,
  QueueUrl: string,
  more: object = {},
): Promise<{ body: string | undefined; count: string | undefined; handle: string | undefined }[]> {
  const answer = await sqs.send(
    new ReceiveMessageCommand({
      QueueUrl,
      MessageSystemAttributeNames: ['All'],
      WaitTimeSeconds: 5,
      ...more,
    }),
  )
  return (answer.Messages ?? []).map(({ Body: body, Attributes: attributes, ReceiptHandle: handle }) => ({
    body,
    handle,
    count: attributes?.ApproximateReceiveCount,
  }))
}

async function put(dynamodb: DynamoDBClient, trial: string): Promise<void> {
  await dynamodb.send(
    new PutItemCommand({ TableName: 'opthub', Item: { ID: { S: 'a' }, Trial: { S: trial } } }),
  )
}

async function has(dynamodb: DynamoDBClient, trial: string): Promise<boolean> {
  const Key = { ID: { S: 'a' }, Trial: { S: trial } }
  return (await dynamodb.send(new GetItemCommand({ TableName: 'opthub', Key }))).Item !== undefined
}

describe('a data directory', () => {
  test('keeps port, keys, messages and items', async () => {
    const first = await open()
    const { info } = first.embedded
    await send(first.sqs, info.queues.scorer, 'kept')
    await put(first.dynamodb, '1')
    await first.embedded.close()
    const second = await open({}, first.dataDir)
    expect(second.embedded.info).toEqual(info)
    expect(await receive(second.sqs, info.queues.scorer)).toMatchObject([{ body: 'kept', count: '1' }])
    expect(await has(second.dynamodb, '1')).toBe(true)
  })

  test('is closed to others', async () => {
    const { dataDir, sqs, embedded } = await open()
    await send(sqs, embedded.info.queues.scorer, 'x'.repeat(1000))
    expect((await stat(dataDir)).mode & 0o777).toBe(0o700)
    const entries = await readdir(dataDir, { recursive: true, withFileTypes: true })
    for (const entry of entries) {
      const { mode } = await stat(join(entry.parentPath, entry.name))
      expect([entry.name, (mode & 0o777).toString(8)]).toEqual([
        entry.name,
        entry.isDirectory() ? '700' : '600',
      ])
    }
    expect(entries.length).toBeGreaterThan(4)
  })

  test('takes the port that it is told, and another one when a stranger has taken it meanwhile', async () => {
    const stranger = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n')).listen(0, '127.0.0.1')
    await once(stranger, 'listening')
    const address = stranger.address()
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0
    stranger.close()
    await once(stranger, 'close')
    const first = await open({ port })
    expect(first.embedded.info.endpoints.sqs).toBe(`http://127.0.0.1:${String(port)}`)
    await put(first.dynamodb, '1')
    await first.embedded.close()
    stranger.listen(port, '127.0.0.1')
    await once(stranger, 'listening')
    const second = await open({}, first.dataDir)
    expect(second.embedded.info.endpoints.sqs).not.toBe(first.embedded.info.endpoints.sqs)
    expect(second.embedded.info.accessKeyId).toBe(first.embedded.info.accessKeyId)
    expect(await has(second.dynamodb, '1')).toBe(true)
    await second.embedded.close()
    stranger.close()
    const third = await open({}, first.dataDir)
    expect(third.embedded.info).toEqual(second.embedded.info)
  })

  test('survives a state file that can not be read', async () => {
    const first = await open()
    await put(first.dynamodb, '1')
    await first.embedded.close()
    await writeFile(join(first.dataDir, 'embedded.json'), '{"port": 0')
    const second = await open({}, first.dataDir)
    expect(await has(second.dynamodb, '1')).toBe(true)
    expect(second.embedded.info.accessKeyId).not.toBe(first.embedded.info.accessKeyId)
    expect((await stat(join(first.dataDir, 'embedded.json'))).mode & 0o777).toBe(0o600)
  })

  test('of a process that does not answer, or a port that is taken, is told of in words', async () => {
    const stranger = createServer().listen(0, '127.0.0.1')
    await once(stranger, 'listening')
    const address = stranger.address()
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0
    await expect(open({ port })).rejects.toMatchObject({
      name: 'OperatorError',
      hint: expect.stringContaining('Choose another port') as string,
    })
    stranger.close()
    const dataDir = await temporaryFolder()
    const database = await Database.open(join(dataDir, 'database'))
    await expect(open({}, dataDir)).rejects.toMatchObject({
      name: 'OperatorError',
      hint: expect.stringContaining('Another process') as string,
    })
    await database.close()
  })

  test('that can not be made is told of in words', async () => {
    const folder = await temporaryFolder()
    await writeFile(join(folder, 'file'), '')
    await expect(open({}, join(folder, 'file'))).rejects.toMatchObject({ name: 'OperatorError', exitCode: 1 })
  })
})

describe('openers of one data directory', () => {
  test('in one process share it, and the second takes over from the first', async () => {
    const first = await open()
    const second = await open({}, first.dataDir)
    expect([first.embedded.serving(), second.embedded.serving()]).toEqual([true, false])
    expect(second.embedded.info).toEqual(first.embedded.info)
    await put(second.dynamodb, '1')
    await first.embedded.close()
    await put(second.dynamodb, '2')
    expect(second.embedded.serving()).toBe(true)
    expect(await has(second.dynamodb, '1')).toBe(true)
  })

  test('can be ten at once: one serves, and one of the others after its death, and so on', async () => {
    const dataDir = await temporaryFolder()
    const members = await Promise.all(Array.from({ length: 10 }, () => startMember(script, dataDir)))
    const [info] = members.map((member) => member.info)
    if (info === undefined) throw new Error('no member')
    for (const member of members) expect(member.info).toEqual(info)
    const { sqs, dynamodb } = clients(info, { maxAttempts: 12 })
    for (let round = 0; round < 3; round += 1) {
      const serving = await Promise.all(members.map((member) => member.serving()))
      expect(serving.filter(Boolean)).toHaveLength(1)
      const [server] = members.splice(serving.indexOf(true), 1)
      await put(dynamodb, String(round))
      await send(sqs, info.queues.evaluator, String(round))
      await server?.kill()
      expect(await has(dynamodb, String(round))).toBe(true)
      expect(await receive(sqs, info.queues.evaluator)).toMatchObject([{ body: String(round), count: '1' }])
    }
    await Promise.all(members.map((member) => member.close()))
    expect(JSON.parse(await readFile(join(dataDir, 'embedded.json'), 'utf8'))).toMatchObject({
      accessKeyId: info.accessKeyId,
    })
  })

  test('leave at once when told to, whoever serves', async () => {
    const dataDir = await temporaryFolder()
    const server = await startMember(script, dataDir)
    const joined = await open({}, dataDir)
    server.freeze()
    await joined.embedded.close()
    server.thaw()
    const again = await open({}, dataDir)
    expect(again.embedded.serving()).toBe(false)
    await server.close()
    await put(again.dynamodb, '1')
    expect(again.embedded.serving()).toBe(true)
  })
})

describe('a server that is killed', () => {
  test('has lost nothing: messages in flight, their counts, receipts and deadlines', async () => {
    const dataDir = await temporaryFolder()
    const server = await startMember(script, dataDir)
    const { info } = server
    const { sqs } = clients(info, { maxAttempts: 12 })
    const url = info.queues.evaluator
    for (const body of ['a', 'b', 'c']) await send(sqs, url, body)
    const [a] = await receive(sqs, url, { VisibilityTimeout: 600 })
    const [b] = await receive(sqs, url, { VisibilityTimeout: 6 })
    expect([a?.body, b?.body]).toEqual(['a', 'b'])
    await server.kill()
    const second = await open({}, dataDir)
    expect(second.embedded.info).toEqual(info)
    expect(await receive(sqs, url)).toMatchObject([{ body: 'c', count: '1' }])
    // b comes back by its deadline of before, a does not, and can be deleted by its receipt of before.
    expect(await receive(sqs, url, { WaitTimeSeconds: 20 })).toMatchObject([{ body: 'b', count: '2' }])
    await sqs.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: a?.handle }))
    const { Attributes: attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['All'] }),
    )
    expect(attributes).toMatchObject({
      ApproximateNumberOfMessages: '0',
      ApproximateNumberOfMessagesNotVisible: '2',
    })
  })

  test('has done each transaction whole or not at all, and every message that it confirmed is there', async () => {
    const dataDir = await temporaryFolder()
    const acknowledged = { trials: new Set<string>(), bodies: new Set<string>() }
    let next = 0
    for (let round = 0; round < 4; round += 1) {
      const server = await startMember(script, dataDir)
      const { sqs, dynamodb } = clients(server.info, { maxAttempts: 1 })
      let killed = false
      const writers = Array.from({ length: 4 }, async () => {
        while (!killed) {
          const trial = String(next).padStart(5, '0')
          next += 1
          const item = (ID: string, Trial: string): object => ({
            TableName: 'opthub',
            Item: { ID: { S: ID }, Trial: { S: Trial } },
          })
          const transaction = new TransactWriteItemsCommand({
            TransactItems: [
              { Put: item('whole', `Success#${trial}`) },
              { Put: { ...item('whole', trial), ConditionExpression: 'attribute_not_exists(ID)' } },
              { Put: item('Solutions#Match#m#User#1', trial) },
            ] as never,
          })
          await dynamodb.send(transaction).then(
            () => acknowledged.trials.add(trial),
            () => undefined,
          )
          await send(sqs, server.info.queues.scorer, trial).then(
            () => acknowledged.bodies.add(trial),
            () => undefined,
          )
        }
      })
      await delay(600)
      await server.kill()
      killed = true
      await Promise.all(writers)
    }
    const { embedded, sqs, dynamodb } = await open({}, dataDir)
    const trials: string[] = []
    let start: Record<string, { S: string }> | undefined
    do {
      const page = await dynamodb.send(
        new QueryCommand({
          TableName: 'opthub',
          KeyConditionExpression: 'ID = :id',
          ExpressionAttributeValues: { ':id': { S: 'whole' } },
          ...(start && { ExclusiveStartKey: start }),
        }),
      )
      trials.push(...(page.Items ?? []).map(({ Trial }) => Trial?.S ?? ''))
      start = page.LastEvaluatedKey as typeof start
    } while (start !== undefined)
    const flags = new Set(trials.filter((trial) => !trial.startsWith('Success#')))
    const results = new Set(trials.flatMap((trial) => (trial.startsWith('Success#') ? [trial.slice(8)] : [])))
    expect(results).toEqual(flags)
    for (const trial of acknowledged.trials) expect(results).toContain(trial)
    expect(acknowledged.trials.size).toBeGreaterThan(0)
    expect(await bodiesOf(sqs, embedded.info.queues.scorer)).toEqual(
      expect.arrayContaining([...acknowledged.bodies]),
    )
    const reacted = (await bodiesOf(sqs, embedded.info.queues.evaluator)).map(
      (body) => (JSON.parse(body) as { TrialNo: string }).TrialNo,
    )
    expect(reacted.sort()).toEqual([...results].sort())
  })

  async function bodiesOf(sqs: SQSClient, url: string): Promise<string[]> {
    const bodies: string[] = []
    for (;;) {
      const more = await receive(sqs, url, {
        MaxNumberOfMessages: 10,
        VisibilityTimeout: 600,
        WaitTimeSeconds: 0,
      })
      if (more.length === 0) return bodies
      bodies.push(...more.map(({ body }) => body ?? ''))
    }
  }

  test('remembers the token of a transaction whose answer was lost', async () => {
    const dataDir = await temporaryFolder()
    const server = await startMember(script, dataDir)
    const { dynamodb } = clients(server.info, { maxAttempts: 12 })
    const command = (): TransactWriteItemsCommand =>
      new TransactWriteItemsCommand({
        ClientRequestToken: 'the-same',
        TransactItems: [
          {
            Put: {
              TableName: 'opthub',
              Item: { ID: { S: 'a' }, Trial: { S: '1' } },
              ConditionExpression: 'attribute_not_exists(ID)',
            },
          },
        ],
      })
    await dynamodb.send(command())
    await server.kill()
    await open({}, dataDir)
    await dynamodb.send(command())
  })
})
