import {
  CreateTableCommand,
  DeleteTableCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  GetItemCommand,
  ListTablesCommand,
  PutItemCommand,
  QueryCommand,
  TransactGetItemsCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
  UpdateTimeToLiveCommand,
  type DynamoDBClient,
} from '@aws-sdk/client-dynamodb'
import { expect, test } from 'vitest'
import { failureOf, open } from './support.ts'

const TableName = 'opthub'
const keyOf = (trial: string): { ID: { S: string }; Trial: { S: string } } => ({
  ID: { S: 'a' },
  Trial: { S: trial },
})

async function numberOf(dynamodb: DynamoDBClient, trial: string): Promise<number> {
  const { Item: item } = await dynamodb.send(new GetItemCommand({ TableName, Key: keyOf(trial) }))
  return Number(item?.['n']?.N ?? NaN)
}

const add = (trial: string, by: string): object => ({
  TableName,
  Key: keyOf(trial),
  UpdateExpression: 'ADD n :by',
  ExpressionAttributeValues: { ':by': { N: by } },
})

test('concurrent updates, in transactions and alone, lose nothing', async () => {
  const { dynamodb } = await open()
  const single = Array.from({ length: 40 }, () =>
    dynamodb.send(new UpdateItemCommand(add('x', '1') as never)),
  )
  const both = Array.from({ length: 40 }, () =>
    dynamodb.send(
      new TransactWriteItemsCommand({
        TransactItems: [{ Update: add('x', '1') }, { Update: add('y', '-1') }] as never,
      }),
    ),
  )
  await Promise.all([...single, ...both])
  expect(await numberOf(dynamodb, 'x')).toBe(80)
  expect(await numberOf(dynamodb, 'y')).toBe(-40)
})

test('of many writers of one flag exactly one wins', async () => {
  const { dynamodb } = await open()
  const attempts = Array.from({ length: 20 }, (_, index) =>
    dynamodb.send(
      new TransactWriteItemsCommand({
        TransactItems: [
          { Put: { TableName, Item: { ...keyOf('Success#1'), by: { N: String(index) } } } },
          {
            Put: {
              TableName,
              Item: { ...keyOf('1'), by: { N: String(index) } },
              ConditionExpression: 'attribute_not_exists(ID)',
            },
          },
        ],
      }),
    ),
  )
  const outcomes = await Promise.allSettled(attempts)
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  const read = async (trial: string): Promise<unknown> =>
    (await dynamodb.send(new GetItemCommand({ TableName, Key: keyOf(trial) }))).Item?.['by']
  expect(await read('Success#1')).toEqual(await read('1'))
})

test('a reader of both sides of a transaction never sees one of them alone', async () => {
  const { dynamodb } = await open()
  const init = (trial: string): Promise<unknown> =>
    dynamodb.send(new PutItemCommand({ TableName, Item: { ...keyOf(trial), n: { N: '0' } } }))
  await Promise.all([init('x'), init('y')])
  const writer = (async () => {
    for (let round = 0; round < 40; round += 1) {
      await dynamodb.send(
        new TransactWriteItemsCommand({
          TransactItems: [{ Update: add('x', '1') }, { Update: add('y', '1') }] as never,
        }),
      )
    }
  })()
  for (let sum = 0; sum < 40; sum = await numberOf(dynamodb, 'x')) {
    const { Responses: both } = await dynamodb.send(
      new TransactGetItemsCommand({
        TransactItems: [{ Get: { TableName, Key: keyOf('x') } }, { Get: { TableName, Key: keyOf('y') } }],
      }),
    )
    expect(both?.[0]?.Item?.['n']).toEqual(both?.[1]?.Item?.['n'])
    const { Items: items } = await dynamodb.send(
      new QueryCommand({
        TableName,
        KeyConditionExpression: 'ID = :a',
        ExpressionAttributeValues: { ':a': { S: 'a' } },
      }),
    )
    expect(items?.[0]?.['n']).toEqual(items?.[1]?.['n'])
  }
  await writer
})

test('an index follows its table', async () => {
  const { dynamodb } = await open()
  await dynamodb.send(
    new CreateTableCommand({
      TableName: 'indexed',
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [
        { AttributeName: 'ID', AttributeType: 'S' },
        { AttributeName: 'mark', AttributeType: 'S' },
      ],
      KeySchema: [{ AttributeName: 'ID', KeyType: 'HASH' }],
      GlobalSecondaryIndexes: [
        {
          IndexName: 'by-mark',
          KeySchema: [{ AttributeName: 'mark', KeyType: 'HASH' }],
          Projection: { ProjectionType: 'ALL' },
        },
      ],
    }),
  )
  await expect
    .poll(
      async () =>
        (await dynamodb.send(new DescribeTableCommand({ TableName: 'indexed' }))).Table?.TableStatus,
    )
    .toBe('ACTIVE')
  const marked = async (mark: string): Promise<number | undefined> =>
    (
      await dynamodb.send(
        new QueryCommand({
          TableName: 'indexed',
          IndexName: 'by-mark',
          KeyConditionExpression: 'mark = :m',
          ExpressionAttributeValues: { ':m': { S: mark } },
        }),
      )
    ).Count
  const put = (mark: string): object => ({
    Put: { TableName: 'indexed', Item: { ID: { S: '1' }, mark: { S: mark } } },
  })
  await dynamodb.send(new TransactWriteItemsCommand({ TransactItems: [put('a')] as never }))
  expect(await marked('a')).toBe(1)
  await dynamodb.send(new TransactWriteItemsCommand({ TransactItems: [put('b')] as never }))
  expect([await marked('a'), await marked('b')]).toEqual([0, 1])
  await dynamodb.send(new DeleteTableCommand({ TableName: 'indexed' }))
  await expect
    .poll(async () => (await dynamodb.send(new ListTablesCommand({}))).TableNames)
    .toEqual(['opthub', 'opthub-leases'])
})

test('a time to live is kept and told', async () => {
  const { dynamodb } = await open()
  const describe = async (): Promise<unknown> =>
    (await dynamodb.send(new DescribeTimeToLiveCommand({ TableName }))).TimeToLiveDescription
  expect(await describe()).toEqual({ TimeToLiveStatus: 'DISABLED' })
  const set = (Enabled: boolean): Promise<unknown> =>
    dynamodb.send(
      new UpdateTimeToLiveCommand({
        TableName,
        TimeToLiveSpecification: { AttributeName: 'ExpiresAt', Enabled },
      }),
    )
  await set(true)
  expect(await describe()).toEqual({ TimeToLiveStatus: 'ENABLED', AttributeName: 'ExpiresAt' })
  expect(await failureOf(set(true))).toMatchObject({ name: 'ValidationException' })
  await set(false)
  expect(await describe()).toEqual({ TimeToLiveStatus: 'DISABLED' })
})

test('hostile requests are refused, and the server lives on', async () => {
  const { dynamodb } = await open()
  const put = (Item: object): Promise<unknown> =>
    dynamodb.send(new PutItemCommand({ TableName, Item: Item as never }))
  const deep = (levels: number): object => (levels === 0 ? { S: 'x' } : { L: [deep(levels - 1)] })
  expect(await failureOf(put({ ...keyOf('1'), a: deep(1000) }))).toMatchObject({
    name: 'SerializationException',
  })
  const proto = Object.fromEntries([['__proto__', { S: 'x' }]])
  expect(await failureOf(put({ ...keyOf('1'), a: { M: proto } }))).toMatchObject({
    name: 'ValidationException',
  })
  const expression = `${'('.repeat(2000)}a${')'.repeat(2000)}`
  const update = { TableName, Key: keyOf('1'), UpdateExpression: `SET a = ${expression}` }
  expect(await failureOf(dynamodb.send(new UpdateItemCommand(update)))).toMatchObject({
    name: 'ValidationException',
  })
  await put({ ...keyOf('1'), constructor: { S: 'x' }, toString: { S: 'y' } })
  const { Item: item } = await dynamodb.send(new GetItemCommand({ TableName, Key: keyOf('1') }))
  expect(item).toEqual({ ...keyOf('1'), constructor: { S: 'x' }, toString: { S: 'y' } })
})
