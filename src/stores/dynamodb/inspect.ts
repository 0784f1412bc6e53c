import {
  DescribeTableCommand,
  DynamoDBClient,
  GetItemCommand,
  type TableDescription,
} from '@aws-sdk/client-dynamodb'
import { awsClientOptions, type AwsConnection } from '../../aws/client-options.ts'
import { classifyAwsError } from '../../aws/errors.ts'
import { blameOf, createClockMeter, type Inspection } from '../../aws/inspection.ts'
import { EXIT, OperatorError, RetryableError } from '../../core/errors.ts'
import { toOperatorError, type Table } from './errors.ts'

/** What may be known of a table without reading an item. */
export interface TableReport {
  /** ACTIVE, CREATING …; undefined where the keys may not ask. */
  status: string | undefined
}

const RIGHTS = 'Allow dynamodb:GetItem, dynamodb:Query and dynamodb:PutItem on it.'
const KEYS = 'the partition key ID and the sort key Trial, both strings'

/** Asks about a table, with the rights of a runner at least. Throws only when aborted. */
export async function inspectTable(
  options: AwsConnection & { tableName: string },
  signal: AbortSignal,
): Promise<Inspection<TableReport>> {
  const { tableName, region, endpoint } = options
  const table: Table = { service: 'DynamoDB', tableName, region, ...(endpoint !== undefined && { endpoint }) }
  const meter = createClockMeter()
  const client = new DynamoDBClient(awsClientOptions(options))
  client.middlewareStack.add((next) => meter.middleware(next), { step: 'deserialize', priority: 'low' })
  try {
    // With the rights that runners have anyway: it also tells the wrong keys of a table that may not be described.
    await client.send(new GetItemCommand({ TableName: tableName, Key: PROBE_KEY }), { abortSignal: signal })
    const description = await describe(client, tableName, signal)
    if (description !== undefined) assertKeys(description, tableName)
    return { found: { status: description?.TableStatus }, clockSkewMs: meter.skewMs() }
  } catch (error) {
    signal.throwIfAborted()
    return { problem: problemOf(error, table), blames: blameOf(error), clockSkewMs: meter.skewMs() }
  } finally {
    client.destroy()
  }
}

/** Nothing has this key, since no result's ID begins so. */
const PROBE_KEY = { ID: { S: '#probe' }, Trial: { S: '#probe' } }

async function describe(
  client: DynamoDBClient,
  TableName: string,
  abortSignal: AbortSignal,
): Promise<TableDescription | undefined> {
  try {
    return (await client.send(new DescribeTableCommand({ TableName }), { abortSignal })).Table
  } catch (error) {
    if (classifyAwsError(error) === 'denied') return undefined
    throw error
  }
}

function assertKeys({ KeySchema, AttributeDefinitions }: TableDescription, tableName: string): void {
  const typeOf = (name: string | undefined): string =>
    AttributeDefinitions?.find(({ AttributeName }) => AttributeName === name)?.AttributeType ?? '?'
  const keys = (KeySchema ?? []).map(
    ({ AttributeName, KeyType }) => `${AttributeName ?? '?'} (${KeyType ?? '?'}, ${typeOf(AttributeName)})`,
  )
  if (keys.sort().join() === 'ID (HASH, S),Trial (RANGE, S)') return
  throw wrongKeys(tableName, `its keys are ${keys.join(' and ')}`)
}

function problemOf(error: unknown, table: Table): OperatorError {
  if (error instanceof OperatorError) return error
  if (classifyAwsError(error) === 'invalid' && /schema|key element/i.test(String(error)))
    return wrongKeys(table.tableName, 'it refuses a key of ID and Trial')
  const problem = toOperatorError(error, table, RIGHTS)
  if (!(problem instanceof RetryableError)) return problem
  return new OperatorError(
    `DynamoDB does not answer at ${table.endpoint ?? table.region}`,
    problem.message,
    'Check the network connection and endpoint_url; then try again.',
    EXIT.unavailable,
    { cause: error },
  )
}

function wrongKeys(tableName: string, why: string): OperatorError {
  return new OperatorError(
    `The table ${JSON.stringify(tableName)} has other keys`,
    why,
    `Name another table as table_name, or create one with ${KEYS}: \`aws dynamodb create-table --table-name NAME --billing-mode PAY_PER_REQUEST --attribute-definitions AttributeName=ID,AttributeType=S AttributeName=Trial,AttributeType=S --key-schema AttributeName=ID,KeyType=HASH AttributeName=Trial,KeyType=RANGE\`.`,
  )
}
