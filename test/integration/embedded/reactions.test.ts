import {
  BatchWriteItemCommand,
  CreateTableCommand,
  DeleteItemCommand,
  PutItemCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
  type AttributeValue,
} from '@aws-sdk/client-dynamodb'
import { ReceiveMessageCommand } from '@aws-sdk/client-sqs'
import { expect, test } from 'vitest'
import { open, type Opened } from './support.ts'

const TableName = 'opthub'
const match = '5a3fcd7d-3b7f-4a07-bcd6-1d7c0e5f3a11'

type Item = Record<string, AttributeValue>

function solution(trial: string, more: Item = {}): Item {
  return {
    ID: { S: `Solutions#Match#${match}#Team#1` },
    Trial: { S: trial },
    TrialNo: { S: trial },
    ResourceType: { S: 'Solution' },
    MatchID: { S: `Match#${match}` },
    ParticipantID: { S: 'Team#1' },
    Variable: { L: [{ N: '1' }] },
    ...more,
  }
}

function evaluation(trial: string, more: Item = {}): Item {
  return {
    ID: { S: `Evaluations#Match#${match}#Team#1` },
    Trial: { S: trial },
    ResourceType: { S: 'Evaluation' },
    MatchID: { S: `Match#${match}` },
    ParticipantID: { S: 'Team#1' },
    IgnoreStream: { BOOL: false },
    ...more,
  }
}

const message = (TrialNo: string): object => ({ MatchID: match, ParticipantID: 'Team#1', TrialNo })

/** All that lies on the two queues, which are emptied by it. */
async function queued({ sqs, embedded }: Opened): Promise<{ evaluator: unknown[]; scorer: unknown[] }> {
  const take = async (QueueUrl: string): Promise<unknown[]> => {
    const answer = await sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }))
    return (answer.Messages ?? []).map(({ Body }) => JSON.parse(Body ?? '') as unknown)
  }
  const { evaluator, scorer } = embedded.info.queues
  return { evaluator: await take(evaluator), scorer: await take(scorer) }
}

test('a stored solution goes to the evaluator, a stored successful evaluation to the scorer', async () => {
  const opened = await open()
  const { dynamodb } = opened
  await dynamodb.send(new PutItemCommand({ TableName, Item: solution('00001') }))
  await dynamodb.send(new PutItemCommand({ TableName, Item: evaluation('Success#00001') }))
  expect(await queued(opened)).toEqual({ evaluator: [message('00001')], scorer: [message('00001')] })
})

test('a bare match id and a participant with hashes go through as they are', async () => {
  const opened = await open()
  const item = solution('00001', {
    MatchID: { S: match },
    ID: { S: `Solutions#Match#${match}#User#a#b` },
    ParticipantID: { S: 'User#a#b' },
  })
  await opened.dynamodb.send(new PutItemCommand({ TableName, Item: item }))
  const { evaluator } = await queued(opened)
  expect(evaluator).toEqual([{ MatchID: match, ParticipantID: 'User#a#b', TrialNo: '00001' }])
})

test.each<[string, Item]>([
  ['a flag', evaluation('00001', { IgnoreStream: { BOOL: true } })],
  ['a failed evaluation', evaluation('Failed#00001')],
  [
    'a score',
    {
      ...evaluation('Success#00001', { ResourceType: { S: 'Score' } }),
      ID: { S: `Scores#Match#${match}#Team#1` },
    },
  ],
  ['a solution that is to be ignored', solution('00001', { IgnoreStream: { BOOL: true } })],
  ['an evaluation that is to be ignored', evaluation('Success#00001', { IgnoreStream: { BOOL: true } })],
  ['anything else', { ID: { S: 'Jobs#code-exec' }, Trial: { S: '1' } }],
])('%s does nothing', async (_what, Item) => {
  const opened = await open()
  await opened.dynamodb.send(new PutItemCommand({ TableName, Item }))
  expect(await queued(opened)).toEqual({ evaluator: [], scorer: [] })
})

test('every way of storing does', async () => {
  const opened = await open()
  const { dynamodb } = opened
  await dynamodb.send(
    new BatchWriteItemCommand({
      RequestItems: {
        [TableName]: [
          { PutRequest: { Item: solution('00001') } },
          { PutRequest: { Item: evaluation('Success#00001') } },
        ],
      },
    }),
  )
  await dynamodb.send(
    new TransactWriteItemsCommand({
      TransactItems: [
        { Put: { TableName, Item: evaluation('Success#00002') } },
        {
          Put: {
            TableName,
            Item: evaluation('00002', { IgnoreStream: { BOOL: true } }),
            ConditionExpression: 'attribute_not_exists(ID)',
          },
        },
      ],
    }),
  )
  const { ID, Trial } = solution('00003')
  if (ID === undefined || Trial === undefined) throw new Error('no key')
  await dynamodb.send(
    new UpdateItemCommand({
      TableName,
      Key: { ID, Trial },
      UpdateExpression: 'SET CreatedAt = :v',
      ExpressionAttributeValues: { ':v': { N: '1' } },
    }),
  )
  expect(await queued(opened)).toEqual({
    evaluator: [message('00001'), message('00003')],
    scorer: [message('00001'), message('00002')],
  })
})

test('what changes nothing, fails or deletes does nothing, as in a stream', async () => {
  const opened = await open()
  const { dynamodb } = opened
  const put = (Item: Item, more: object = {}): Promise<unknown> =>
    dynamodb.send(new PutItemCommand({ TableName, Item, ...more }))
  await put(solution('00001'))
  await queued(opened)
  const { Variable, ...rest } = solution('00001')
  await put({ ...(Variable && { Variable }), ...rest })
  await put(solution('00001', { Variable: { N: '2' } }), {
    ConditionExpression: 'attribute_not_exists(ID)',
  }).catch(() => undefined)
  const cancelled = new TransactWriteItemsCommand({
    TransactItems: [
      { Put: { TableName, Item: solution('00002') } },
      { Put: { TableName, Item: solution('00001'), ConditionExpression: 'attribute_not_exists(ID)' } },
    ],
  })
  await expect(dynamodb.send(cancelled)).rejects.toThrow('ConditionalCheckFailed')
  const { ID, Trial } = rest
  await dynamodb.send(
    new DeleteItemCommand({ TableName, Key: { ...(ID && { ID }), ...(Trial && { Trial }) } }),
  )
  expect(await queued(opened)).toEqual({ evaluator: [], scorer: [] })
  await put(solution('00001'))
  await put(solution('00001', { Variable: { N: '2' } }))
  expect((await queued(opened)).evaluator).toEqual([message('00001'), message('00001')])
})

test('other tables do nothing', async () => {
  const opened = await open()
  const { dynamodb } = opened
  await dynamodb.send(
    new CreateTableCommand({
      TableName: 'other',
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
  await expect
    .poll(() =>
      dynamodb.send(new PutItemCommand({ TableName: 'other', Item: solution('00001') })).then(
        () => 'stored',
        () => 'not yet',
      ),
    )
    .toBe('stored')
  expect(await queued(opened)).toEqual({ evaluator: [], scorer: [] })
})
