import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateTableCommand, DynamoDBClient, waitUntilTableExists } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLogger } from '../../src/core/log.ts'
import { openEmbedded, type Embedded } from '../../src/embedded/index.ts'
import { hasJava, startDynamoDbLocal, type DynamoDbLocal } from '../support/dynamodb-local.ts'
import { cases } from './dynamodb-cases.ts'
import { KNOWN_DIFFERENCES } from './dynamodb-differences.ts'

const runnable = hasJava()
if (!runnable) {
  const why = "NOT RUN: the comparison with Amazon's DynamoDB Local needs Java 17 or newer on the PATH"
  if (process.env['CI'] === 'true') throw new Error(why)
  process.stderr.write(`\n*** ${why} ***\n\n`)
}

describe.skipIf(!runnable)("the embedded DynamoDB answers as Amazon's DynamoDB Local does", () => {
  let local: DynamoDbLocal
  let embedded: Embedded
  let dataDir: string
  let amazon: DynamoDBClient
  let ours: DynamoDBClient

  beforeAll(async () => {
    local = await startDynamoDbLocal()
    amazon = new DynamoDBClient({
      endpoint: local.endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
      maxAttempts: 1,
    })
    await amazon.send(
      new CreateTableCommand({
        TableName: 'opthub',
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [
          { AttributeName: 'ID', AttributeType: 'S' },
          { AttributeName: 'Trial', AttributeType: 'S' },
        ],
        KeySchema: [
          { AttributeName: 'ID', KeyType: 'HASH' },
          { AttributeName: 'Trial', KeyType: 'RANGE' },
        ],
      }),
    )
    await waitUntilTableExists({ client: amazon, maxWaitTime: 20, minDelay: 1 }, { TableName: 'opthub' })
    dataDir = await mkdtemp(join(tmpdir(), 'contract-'))
    embedded = await openEmbedded({ dataDir, log: createLogger(() => undefined) })
    const { accessKeyId, secretAccessKey, endpoints, region } = embedded.info
    ours = new DynamoDBClient({
      endpoint: endpoints.dynamodb,
      region,
      credentials: { accessKeyId, secretAccessKey },
      maxAttempts: 1,
    })
  })

  afterAll(async () => {
    amazon.destroy()
    ours.destroy()
    await embedded.close()
    await local.stop()
    await rm(dataDir, { recursive: true, force: true })
  })

  test.concurrent.each(Object.entries(cases))('%s', async (name, run) => {
    const id = `case ${name}`
    const [theirs, own] = await Promise.all([
      outcomeOf(run({ client: amazon, id })),
      outcomeOf(run({ client: ours, id })),
    ])
    const difference = KNOWN_DIFFERENCES[name]
    if (difference === undefined) expect(own).toEqual(theirs)
    else expect(own, 'a difference that is gone does not belong on the list').not.toEqual(theirs)
    if (difference !== undefined) expect(own).toMatchObject(difference.own)
  })

  test('the list of differences names cases only', () => {
    for (const name of Object.keys(KNOWN_DIFFERENCES)) expect(Object.keys(cases)).toContain(name)
  })
})

/** Errors of which callers read the text too; of all others the name counts. */
const COMPARED_TEXTS = ['ConditionalCheckFailedException', 'TransactionCanceledException']

/** What came of a case, without what can't be equal: request ids, the order of sets, how a complaint is worded. */
async function outcomeOf(run: Promise<unknown>): Promise<unknown> {
  try {
    return { answer: plain(await run) }
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const { CancellationReasons: reasons, Item: item } = error as {
      CancellationReasons?: { Code?: string; Item?: unknown }[]
      Item?: unknown
    }
    return plain({
      name: error.name,
      message: COMPARED_TEXTS.includes(error.name) ? error.message : undefined,
      reasons: reasons?.map(({ Code, Item }) => ({ Code, Item })),
      item,
    })
  }
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `base64 ${Buffer.from(value).toString('base64')}`
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).filter(
    ([name, member]) => name !== '$metadata' && member !== undefined,
  )
  return Object.fromEntries(
    members.map(([name, member]) => [
      name,
      ['SS', 'NS', 'BS'].includes(name) && Array.isArray(member) ? member.map(plain).sort() : plain(member),
    ]),
  )
}
