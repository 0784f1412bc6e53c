import {
  ConditionalCheckFailedException,
  DynamoDBClient,
  GetItemCommand,
  paginateQuery,
  paginateScan,
  TransactWriteItemsCommand,
  UpdateItemCommand,
  type AttributeValue,
  type QueryCommandInput,
  type TransactWriteItemsCommandInput,
  type UpdateItemCommandInput,
} from '@aws-sdk/client-dynamodb'
import { awsClientOptions, type AwsConnection } from '../../aws/client-options.ts'
import { awsErrorName } from '../../aws/errors.ts'
import { describeAwsError } from '../../aws/problems.ts'
import { retryPauseMs } from '../../core/backoff.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { LeaseLostError, type RetryableError } from '../../core/errors.ts'
import type { Item, Key, Range, RemoveOutcome, Store, UpdateCondition } from '../store.ts'
import { fromAttributes, toAttributes } from './attributes.ts'
import { refusalOf, saysUnstorable, toOperatorError, toRunningError, type Table } from './errors.ts'
import { assertKey, assertStorable, unstorable } from './item-checks.ts'
import { fenceAction, type LeaseTable } from './lease-records.ts'

export interface DynamoDbOptions extends AwsConnection {
  tableName: string
  /** Where the lease records of jobs are; without it nobody is fenced. */
  leaseTable?: LeaseTable
  /** Waits between tries of a contended write. */
  clock?: Clock
}

/** Nothing has this key, since no result's ID begins so. */
const PROBE_KEY: Key = { ID: '#probe', Trial: '#probe' }
/** Two runners that write the same trial meet once or twice; throttling may last a little longer. */
const MAX_WRITE_TRIES = 6
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 2_000

/** Called before every try of a request: the SDK makes some by itself, and late. */
const EACH_TRY = { step: 'finalizeRequest', priority: 'low' } as const

const RUNNER_RIGHTS = 'Allow dynamodb:GetItem, dynamodb:Query and dynamodb:PutItem on it.'
const REMOVE_RIGHTS = 'Allow dynamodb:DeleteItem on it.'
const SCAN_RIGHTS = 'Name one participant, or allow dynamodb:Scan on it.'

type TransactItems = NonNullable<TransactWriteItemsCommandInput['TransactItems']>

/**
 * A DynamoDB table with the partition key ID and the sort key Trial. Needs GetItem, Query and PutItem; `scan` needs
 * Scan, `remove` needs DeleteItem, `update` needs UpdateItem.
 */
export function createDynamoDbStore(options: DynamoDbOptions): Store {
  const { tableName, region, endpoint, clock = systemClock } = options
  const table: Table = {
    service: 'DynamoDB',
    tableName,
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
  }
  const client = connect(options, table)

  async function read(key: Key, signal: AbortSignal | undefined): Promise<Item | undefined> {
    const command = new GetItemCommand({
      TableName: tableName,
      Key: toAttributes({ ...key }),
      ConsistentRead: true,
    })
    const { Item: attributes } = await client.send(command, sendOptions(signal))
    return attributes === undefined ? undefined : fromAttributes(attributes)
  }

  /** What made a write be refused. */
  async function readBack(key: Key): Promise<Item | undefined> {
    try {
      return await read(key, undefined)
    } catch (error) {
      throw toRunningError(error, table)
    }
  }

  /** One try; a refusal that may pass is 'retry', with the error that said so. */
  async function tryToWrite(
    send: () => Promise<unknown>,
    translate: (error: unknown) => Error,
  ): Promise<'done' | 'refused' | { retry: unknown }> {
    try {
      await send()
      return 'done'
    } catch (error) {
      if (error instanceof LeaseLostError) throw error
      if (error instanceof ConditionalCheckFailedException) return 'refused'
      const refusal = refusalOf(error)
      if (refusal === 'exists') return 'refused'
      if (refusal === 'invalid' || saysUnstorable(error))
        throw unstorable(describeAwsError(error), { cause: error })
      if (refusal === 'retry' || awsErrorName(error) === 'TransactionConflictException')
        return { retry: error }
      throw translate(error)
    }
  }

  /** One transaction; 'refused' = a condition of it did not hold, and it had no effect. */
  async function write(
    TransactItems: TransactItems,
    translate: (error: unknown) => Error,
    assertHeld?: () => void,
  ): Promise<'done' | 'refused'> {
    return await patiently(translate, async () => {
      // A new command and thus a new idempotency token each time: a refused transaction had no effect.
      const command = new TransactWriteItemsCommand({ TransactItems })
      command.middlewareStack.add(asking(assertHeld), EACH_TRY)
      await client.send(command)
    })
  }

  /** Tries a write as often as it is worth while. */
  async function patiently(
    translate: (error: unknown) => Error,
    send: () => Promise<unknown>,
  ): Promise<'done' | 'refused'> {
    for (let tries = 1; ; tries += 1) {
      const outcome = await tryToWrite(send, translate)
      if (typeof outcome === 'string') return outcome
      if (tries >= MAX_WRITE_TRIES) throw translate(outcome.retry)
      await clock.sleep(retryPauseMs(tries - 1, FIRST_PAUSE_MS, LONGEST_PAUSE_MS))
    }
  }

  return {
    async probe(signal) {
      try {
        await read(PROBE_KEY, signal)
      } catch (error) {
        signal.throwIfAborted()
        throw toOperatorError(error, table, RUNNER_RIGHTS)
      }
    },

    async get(key, signal) {
      assertKey(key)
      try {
        return await read(key, signal)
      } catch (error) {
        signal?.throwIfAborted()
        throw toRunningError(error, table)
      }
    },

    async put(items, onlyIfAbsent, fence, assertHeld?: () => void) {
      const puts = items.map((item) => ({ Put: toPut(tableName, item, onlyIfAbsent) }))
      if (!puts.some(({ Put }) => 'ConditionExpression' in Put)) {
        throw new TypeError('onlyIfAbsent is the key of none of the items')
      }
      const { leaseTable } = options
      const fenced = fence === undefined || leaseTable === undefined ? [] : [fenceAction(leaseTable, fence)]
      const translate = (error: unknown): RetryableError => toRunningError(error, table)
      const outcome = await write([...puts, ...fenced], translate, assertHeld)
      if (outcome === 'done') return 'written'
      // One of the two conditions did not hold; a result that is there settles the job, whoever has the record.
      if (fenced.length === 0 || (await readBack(onlyIfAbsent)) !== undefined) return 'exists'
      throw new LeaseLostError('another runner has the lease record of the job')
    },

    async update(item, condition, assertHeld?: () => void) {
      const translate = (error: unknown): RetryableError => toRunningError(error, table)
      const input = toUpdate(tableName, item, condition)
      const outcome = await patiently(translate, async () => {
        const command = new UpdateItemCommand(input)
        command.middlewareStack.add(asking(assertHeld), EACH_TRY)
        await client.send(command)
      })
      if (outcome === 'done') return 'written'
      const stored = await readBack(keyOf(item))
      // An earlier try had its effect, though nobody heard of it.
      if (isOwn(stored, item, condition)) return 'written'
      const status = stored?.['Status']
      if (typeof status === 'string' && condition.unlessStatus.includes(status)) return 'exists'
      throw new LeaseLostError('another runner has the job')
    },

    async remove(items, absent): Promise<RemoveOutcome> {
      const deletes = [
        ...items.map((item) => toDelete(tableName, keyOf(item), conditionsOf(item))),
        // A delete of what is not there has no effect, and needs no more rights than the others.
        ...absent.map((key) => toDelete(tableName, key, 'absent')),
      ]
      if (deletes.length === 0) return 'removed'
      const outcome = await write(
        deletes.map((Delete) => ({ Delete })),
        (error) => toOperatorError(error, table, REMOVE_RIGHTS),
      )
      return outcome === 'done' ? 'removed' : 'changed'
    },

    async *query(id, range, signal) {
      const input = toQuery(tableName, id, range)
      if (input === undefined) return
      let left = range.limit ?? Number.POSITIVE_INFINITY
      try {
        for await (const page of paginateQuery({ client }, input, sendOptions(signal))) {
          for (const attributes of page.Items ?? []) {
            yield fromAttributes(attributes)
            left -= 1
            if (left <= 0) return
          }
        }
      } catch (error) {
        signal?.throwIfAborted()
        throw toRunningError(error, table)
      }
    },

    async *scan(idPrefix, signal) {
      const filter = {
        FilterExpression: 'begins_with(ID, :prefix)',
        ExpressionAttributeValues: { ':prefix': { S: idPrefix } },
      }
      const input = { TableName: tableName, ConsistentRead: true, ...(idPrefix === '' ? {} : filter) }
      try {
        for await (const page of paginateScan({ client }, input, sendOptions(signal))) {
          for (const attributes of page.Items ?? []) yield fromAttributes(attributes)
        }
      } catch (error) {
        signal?.throwIfAborted()
        throw toOperatorError(error, table, SCAN_RIGHTS)
      }
    },

    close() {
      client.destroy()
    },
  }
}

/** Connects nothing yet; what the SDK refuses at once (an empty region) is the operator's to mend. */
function connect(options: AwsConnection, table: Table): DynamoDBClient {
  try {
    return new DynamoDBClient(awsClientOptions(options))
  } catch (error) {
    throw toOperatorError(error, table, RUNNER_RIGHTS)
  }
}

/** Middleware that asks before each try of a command whether it may still be made. */
function asking(assertHeld: () => void = () => undefined) {
  return <A, R>(next: (args: A) => Promise<R>) =>
    async (args: A): Promise<R> => {
      assertHeld()
      return await next(args)
    }
}

function sendOptions(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal }
}

function toPut(TableName: string, item: Item, onlyIfAbsent: Key) {
  assertKey(keyOf(item))
  assertStorable(item)
  const put = { TableName, Item: toAttributes(item) }
  const isGuarded = item['ID'] === onlyIfAbsent.ID && item['Trial'] === onlyIfAbsent.Trial
  return isGuarded ? { ...put, ConditionExpression: 'attribute_not_exists(ID)' } : put
}

/** An update that sets all attributes of an item but its key. */
function toUpdate(
  TableName: string,
  item: Item,
  { unlessStatus, token, keep = [] }: UpdateCondition,
): UpdateItemCommandInput {
  const key = keyOf(item)
  assertKey(key)
  assertStorable(item)
  const values = Object.entries(conditionsOf(item))
  const conditions = [
    ...(unlessStatus.length === 0
      ? []
      : [
          `(attribute_not_exists(#s) OR NOT #s IN (${unlessStatus.map((_, index) => `:s${index}`).join(', ')}))`,
        ]),
    ...(token === undefined ? [] : ['#t = :t']),
  ]
  const condition = conditions.join(' AND ')
  const assignments = values.map(([name], index) => {
    const value = keep.includes(name) ? `if_not_exists(#a${index}, :a${index})` : `:a${index}`
    return `#a${index} = ${value}`
  })
  return {
    TableName,
    Key: toAttributes({ ...key }),
    UpdateExpression: `SET ${assignments.join(', ')}`,
    ...(condition === '' ? {} : { ConditionExpression: condition }),
    ExpressionAttributeNames: {
      ...Object.fromEntries(values.map(([name], index) => [`#a${index}`, name])),
      ...(unlessStatus.length === 0 ? {} : { '#s': 'Status' }),
      ...(token === undefined ? {} : { '#t': 'Token' }),
    },
    ExpressionAttributeValues: toAttributes(
      Object.fromEntries([
        ...values.map(([, value], index) => [`:a${index}`, value] as const),
        ...unlessStatus.map((status, index) => [`:s${index}`, status] as const),
        ...(token === undefined ? [] : [[':t', token] as const]),
      ]),
    ),
  }
}

/** Whether a stored item is what a writer with a token of its own has written. */
function isOwn(stored: Item | undefined, { Token, Status }: Item, { token }: UpdateCondition): boolean {
  const own = Token ?? token
  return own !== undefined && Status !== undefined && stored?.['Token'] === own && stored['Status'] === Status
}

/** A delete of one item, under the condition that it is absent, or that it exists with these attributes. */
function toDelete(TableName: string, key: Key, expected: 'absent' | Item) {
  assertKey(key)
  const Key = toAttributes({ ...key })
  if (expected === 'absent') return { TableName, Key, ConditionExpression: 'attribute_not_exists(ID)' }
  const names = Object.keys(expected)
  if (names.length === 0) return { TableName, Key, ConditionExpression: 'attribute_exists(ID)' }
  return {
    TableName,
    Key,
    ConditionExpression: names.map((_, index) => `#a${index} = :a${index}`).join(' AND '),
    ExpressionAttributeNames: Object.fromEntries(names.map((name, index) => [`#a${index}`, name])),
    ExpressionAttributeValues: toAttributes(
      Object.fromEntries(Object.values(expected).map((value, index) => [`:a${index}`, value])),
    ),
  }
}

/** What an item is known by besides its key. */
function conditionsOf(item: Item): Item {
  return Object.fromEntries(Object.entries(item).filter(([name]) => name !== 'ID' && name !== 'Trial'))
}

function keyOf({ ID, Trial }: Item): Key {
  if (typeof ID !== 'string' || typeof Trial !== 'string') throw new TypeError('an item needs ID and Trial')
  return { ID, Trial }
}

/** Undefined when nothing can be in the range, which DynamoDB would call an error. */
function toQuery(TableName: string, id: string, range: Range): QueryCommandInput | undefined {
  const { from, to, attributes, order, limit } = range
  if (to === '' || Buffer.compare(Buffer.from(from), Buffer.from(to)) > 0 || (limit ?? 1) <= 0)
    return undefined
  // An empty text can't be compared with a key; it is below all of them.
  const hasFrom = from !== ''
  assertKey({ ID: id, Trial: to })
  if (hasFrom) assertKey({ ID: id, Trial: from })
  const values: Record<string, AttributeValue> = { ':id': { S: id }, ':to': { S: to } }
  if (hasFrom) values[':from'] = { S: from }
  const names = new Map((attributes ?? []).map((name, index) => [`#a${index}`, name]))
  return {
    TableName,
    KeyConditionExpression: `ID = :id AND Trial ${hasFrom ? 'BETWEEN :from AND' : '<='} :to`,
    ExpressionAttributeValues: values,
    ConsistentRead: true,
    ScanIndexForward: order !== 'descending',
    ...(limit === undefined ? {} : { Limit: limit }),
    ...(names.size === 0
      ? {}
      : {
          ProjectionExpression: [...names.keys()].join(', '),
          ExpressionAttributeNames: Object.fromEntries(names),
        }),
  }
}
