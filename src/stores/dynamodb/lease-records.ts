import {
  ConditionalCheckFailedException,
  DeleteItemCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  UpdateItemCommand,
  type AttributeValue,
  type UpdateItemCommandInput,
} from '@aws-sdk/client-dynamodb'
import { awsClientOptions, type AwsConnection } from '../../aws/client-options.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import type { Fence, LeaseRecord, LeaseRecords } from '../../core/lease-record.ts'
import { toOperatorError, toRunningError, type Table } from './errors.ts'

/** The table of lease records, and whose. */
export interface LeaseTable {
  tableName: string
  /** The kind of the jobs; jobs of two kinds may have the same id. */
  kind: string
}

export interface LeaseRecordsOptions extends AwsConnection, LeaseTable {
  /** Written into new records: for how long a beat of theirs is trusted. */
  holdSeconds: number
  clock?: Clock
}

/** What nobody has touched for so long is nobody's; DynamoDB removes it by the attribute ExpiresAt where that is set. */
const KEPT_SECONDS = 15 * 24 * 3600
/** A beat that nobody answers must leave time for others before the record counts as given up. */
const BEAT_MS = 10_000
const RIGHTS =
  'Allow dynamodb:GetItem, PutItem, UpdateItem, DeleteItem and ConditionCheckItem on it, or leave lease_table out.'

/** Lease records in a DynamoDB table with the partition key ID and the sort key Trial. `close` ends the connections. */
export function createLeaseRecords(
  options: LeaseRecordsOptions,
): LeaseRecords & { probe(signal: AbortSignal): Promise<void>; close(): void } {
  const { tableName: TableName, region, endpoint, holdSeconds, clock = systemClock } = options
  const table: Table = {
    service: 'DynamoDB',
    tableName: TableName,
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
  }
  const client = new DynamoDBClient(awsClientOptions(options))

  async function ask<T>(send: () => Promise<T>): Promise<T> {
    try {
      return await send()
    } catch (error) {
      throw toRunningError(error, table)
    }
  }

  /** False = the condition did not hold. */
  async function write(send: () => Promise<unknown>): Promise<boolean> {
    try {
      await send()
      return true
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return false
      throw toRunningError(error, table)
    }
  }

  function expiry(): AttributeValue {
    return { N: String(Math.floor(clock.date().getTime() / 1000) + KEPT_SECONDS) }
  }

  async function update(
    job: string,
    token: string,
    changes: Pick<UpdateItemCommandInput, 'UpdateExpression' | 'ConditionExpression'>,
    values: Record<string, AttributeValue>,
    send: { abortSignal?: AbortSignal } = {},
  ): Promise<boolean> {
    const command = new UpdateItemCommand({
      TableName,
      Key: leaseKey(options.kind, job),
      ExpressionAttributeNames: namesIn(
        `${changes.UpdateExpression ?? ''} ${changes.ConditionExpression ?? ''}`,
      ),
      ExpressionAttributeValues: { ':token': { S: token }, ':expires': expiry(), ...values },
      ...changes,
    })
    return await write(() => client.send(command, send))
  }

  async function readRecord(job: string, signal?: AbortSignal): Promise<LeaseRecord | undefined> {
    const command = new GetItemCommand({ TableName, Key: leaseKey(options.kind, job), ConsistentRead: true })
    const { Item } = await client.send(command, signal === undefined ? {} : { abortSignal: signal })
    return Item === undefined ? undefined : toRecord(Item)
  }

  return {
    async probe(signal) {
      try {
        await readRecord('#probe', signal)
      } catch (error) {
        signal.throwIfAborted()
        throw toOperatorError(error, table, RIGHTS)
      }
    },
    read: (job) => ask(() => readRecord(job)),
    create: (job, token) =>
      write(() =>
        client.send(
          new PutItemCommand({
            TableName,
            Item: {
              ...leaseKey(options.kind, job),
              Token: { S: token },
              Beat: { N: '0' },
              Guard: { N: '0' },
              HoldSeconds: { N: String(holdSeconds) },
              ExpiresAt: expiry(),
              // A stream behind the table has nothing to do with it.
              IgnoreStream: { BOOL: true },
            },
            ConditionExpression: 'attribute_not_exists(ID)',
          }),
        ),
      ),
    beat: (job, token) =>
      update(
        job,
        token,
        {
          UpdateExpression: 'SET #expires = :expires ADD #beat :one',
          ConditionExpression: '#token = :token',
        },
        { ':one': { N: '1' } },
        { abortSignal: AbortSignal.timeout(BEAT_MS) },
      ),
    setGuard: (job, token, guard) =>
      update(
        job,
        token,
        {
          UpdateExpression: 'SET #guard = :guard, #expires = :expires',
          ConditionExpression: '#token = :token',
        },
        { ':guard': { N: String(guard) } },
      ),
    take: (job, seen, token) =>
      update(
        job,
        token,
        {
          UpdateExpression:
            'SET #token = :token, #guard = :zero, #hold = :hold, #expires = :expires ADD #beat :one',
          ConditionExpression: '#token = :seen AND #beat = :beat',
        },
        {
          ':zero': { N: '0' },
          ':one': { N: '1' },
          ':hold': { N: String(holdSeconds) },
          ':seen': { S: seen.token },
          ':beat': { N: String(seen.beat) },
        },
      ),
    remove: (job, token) =>
      write(() =>
        client.send(
          new DeleteItemCommand({
            TableName,
            Key: leaseKey(options.kind, job),
            ...ifTokenIs(token),
          }),
        ),
      ),
    close: () => {
      client.destroy()
    },
  }
}

const NAMES = {
  '#token': 'Token',
  '#beat': 'Beat',
  '#guard': 'Guard',
  '#hold': 'HoldSeconds',
  '#expires': 'ExpiresAt',
}

/** DynamoDB refuses names that are not used. */
function namesIn(expressions: string): Record<string, string> {
  return Object.fromEntries(Object.entries(NAMES).filter(([name]) => expressions.includes(name)))
}

/** What a result's transaction does with the record: nobody else's may be there, and ours goes. */
export function fenceAction({ tableName: TableName, kind }: LeaseTable, { job, token }: Fence) {
  const Key = leaseKey(kind, job)
  return token === undefined
    ? { ConditionCheck: { TableName, Key, ConditionExpression: 'attribute_not_exists(ID)' } }
    : { Delete: { TableName, Key, ...ifTokenIs(token) } }
}

function ifTokenIs(token: string) {
  return {
    ConditionExpression: '#token = :token',
    ExpressionAttributeNames: { '#token': 'Token' },
    ExpressionAttributeValues: { ':token': { S: token } },
  }
}

function leaseKey(kind: string, job: string): Record<'ID' | 'Trial', AttributeValue> {
  return { ID: { S: `Leases#${kind}#${job}` }, Trial: { S: 'Lease' } }
}

/** What is not readable is somebody's all the same: nobody's beat, and a guard that makes no message stale. */
function toRecord({ Token, Beat, Guard, HoldSeconds }: Record<string, AttributeValue>): LeaseRecord {
  const number = (value: AttributeValue | undefined): number | undefined => {
    const read = Number(value?.N)
    return Number.isFinite(read) ? read : undefined
  }
  return {
    token: Token?.S ?? '',
    beat: number(Beat) ?? 0,
    guard: number(Guard) ?? 0,
    holdSeconds: number(HoldSeconds),
  }
}
