import { createHash } from 'node:crypto'
import dynaliteDb from 'dynalite/db/index.js'
import { withPrefix, type Database, type Write } from '../database.ts'
import { isJsonObject, type JsonObject } from '../json-object.ts'
import { perform, toApiError } from './actions.ts'
import { checkItems, collectInto, isItemPut, refuseWrites, type Engine } from './engine.ts'
import {
  idempotentParameterMismatch,
  isConditionalCheckFailed,
  isValidationError,
  transactionCanceled,
  validationError,
  type CancellationReason,
} from './errors.ts'
import { itemBytes } from './measure.ts'
import { itemKey } from './store.ts'

const MAX_OPERATIONS = 100
const MAX_TRANSACTION_BYTES = 4 * 1024 * 1024
/** DynamoDB remembers client request tokens for ten minutes. */
const TOKEN_MS = 600_000
const TOKENS = 'token~'

interface TokenRecord {
  hash: string
  /** Wall clock ms. */
  at: number
}

interface Operation {
  kind: 'ConditionCheck' | 'Delete' | 'Put' | 'Update'
  data: JsonObject
  /** Unique among all items of all tables; undefined when the key does not fit the table. */
  key: string | undefined
  /** Why it can't be done, whatever is stored. */
  invalid: Error | undefined
  returnOld: boolean
}

/** TransactWriteItems: all or nothing. Other writers must wait meanwhile. */
export async function transactWrite(engine: Engine, request: JsonObject): Promise<object> {
  const items = transactItems(request)
  const token = readToken(request)
  const writes: Write[] = []
  if (token !== undefined) {
    const hash = createHash('sha256').update(JSON.stringify(items)).digest('hex')
    const earlier = (await engine.database.get(TOKENS + token)) as TokenRecord | undefined
    if (earlier !== undefined && earlier.at + TOKEN_MS > Date.now()) {
      if (earlier.hash !== hash) throw idempotentParameterMismatch()
      return {}
    }
    writes.push({ type: 'put', key: TOKENS + token, value: { hash, at: Date.now() } satisfies TokenRecord })
  }
  const operations: Operation[] = []
  for (const item of items) operations.push(await prepareOperation(engine, item))
  refuseDoubles(operations.flatMap(({ key }) => key ?? []))
  const reasons: CancellationReason[] = []
  for (const operation of operations) reasons.push(await tryOperation(engine, operation, writes))
  if (reasons.some(({ Code }) => Code !== 'None')) throw transactionCanceled(reasons)
  const bytes = writes.reduce((sum, write) => sum + (isItemPut(write) ? itemBytes(write.value) : 0), 0)
  if (bytes > MAX_TRANSACTION_BYTES)
    throw validationError('Transaction request cannot be more than 4 MB in size')
  await engine.commit(writes)
  return {}
}

async function prepareOperation(engine: Engine, item: JsonObject): Promise<Operation> {
  const entries = Object.entries(item)
  const [kind, parameters] = entries[0] ?? []
  if (entries.length !== 1 || !isKind(kind) || !isJsonObject(parameters)) {
    throw validationError(
      'TransactItems can only contain one of ConditionCheck, Put, Update or Delete in each of its entries',
    )
  }
  const { ReturnValuesOnConditionCheckFailure: returnOld, ...request } = parameters
  if (kind === 'ConditionCheck' && request['ConditionExpression'] === undefined) {
    throw validationError('ConditionExpression must be given in a ConditionCheck')
  }
  const action = `${kind === 'ConditionCheck' ? 'Delete' : kind}Item` as const
  const data = engine.prepare(action, request)
  const table = await engine.table(data['TableName'])
  const invalid = kind === 'Put' ? undefined : (dynaliteDb.validateKey(data['Key'], table) ?? undefined)
  let key: string | undefined
  try {
    key =
      invalid === undefined
        ? itemKey(table.TableName, dynaliteDb.createKey(data['Key'] ?? data['Item'], table))
        : undefined
  } catch {
    // A Put without its key attributes; the action itself says so.
  }
  return { kind, data, key, invalid, returnOld: returnOld === 'ALL_OLD' }
}

/** Does one operation of a transaction, adding to `writes`, or says why it can't be done. */
async function tryOperation(
  engine: Engine,
  { kind, data, key, invalid, returnOld }: Operation,
  writes: Write[],
): Promise<CancellationReason> {
  const own: Write[] = []
  try {
    if (invalid !== undefined) throw toApiError(invalid)
    if (kind === 'ConditionCheck') {
      const failure = dynaliteDb.checkConditional(
        data,
        key === undefined ? undefined : await engine.database.get(key),
      )
      if (failure) throw toApiError(failure)
    } else {
      await engine.run(collectInto(own), (store) => perform(`${kind}Item`, data, store))
    }
    checkItems(own, kind === 'Update')
    writes.push(...own)
    return { Code: 'None' }
  } catch (error) {
    if (isValidationError(error)) return { Code: 'ValidationError', Message: error.message }
    if (!isConditionalCheckFailed(error)) throw error
    const item = returnOld && key !== undefined ? await engine.database.get(key) : undefined
    return {
      Code: 'ConditionalCheckFailed',
      Message: error.message,
      ...(item !== undefined && { Item: item }),
    }
  }
}

/** TransactGetItems: one moment of all items. Writers must wait meanwhile. */
export async function transactGet(engine: Engine, request: JsonObject): Promise<object> {
  const responses: object[] = []
  const gets = transactItems(request).map(({ Get: get }) => {
    if (!isJsonObject(get)) throw validationError('TransactItems can only contain Get in TransactGetItems')
    return get
  })
  const keys: string[] = []
  for (const { TableName: name, Key: key } of gets) {
    const table = await engine.table(name)
    if (isJsonObject(key) && !dynaliteDb.validateKey(key, table)) {
      keys.push(itemKey(table.TableName, dynaliteDb.createKey(key, table)))
    }
  }
  refuseDoubles(keys)
  for (const get of gets) {
    const { Item: found } = await engine.call('GetItem', get, refuseWrites)
    responses.push(found === undefined ? {} : { Item: found })
  }
  return { Responses: responses }
}

/** Forgets the tokens that are too old to count. */
export async function sweepTokens(database: Database): Promise<void> {
  const outdated: Write[] = []
  for await (const [key, value] of database.entries(withPrefix(TOKENS))) {
    if ((value as TokenRecord).at + TOKEN_MS <= Date.now()) outdated.push({ type: 'del', key })
  }
  if (outdated.length > 0) await database.write(outdated)
}

function transactItems(request: JsonObject): JsonObject[] {
  const { TransactItems: items } = request
  if (!Array.isArray(items) || !items.every(isJsonObject)) {
    throw validationError(
      "1 validation error detected: Value null at 'transactItems' failed to satisfy constraint: Member must not be null",
    )
  }
  if (items.length < 1 || items.length > MAX_OPERATIONS) {
    const bound = items.length < 1 ? 'greater than or equal to 1' : `less than or equal to ${MAX_OPERATIONS}`
    throw validationError(
      `1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length ${bound}`,
    )
  }
  return items
}

function readToken(request: JsonObject): string | undefined {
  const token = request['ClientRequestToken'] ?? undefined
  if (token === undefined || (typeof token === 'string' && token.length >= 1 && token.length <= 36))
    return token
  throw validationError(
    "1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint: Member must have length less than or equal to 36",
  )
}

function refuseDoubles(keys: readonly string[]): void {
  if (new Set(keys).size < keys.length) {
    throw validationError('Transaction request cannot include multiple operations on one item')
  }
}

function isKind(name: string | undefined): name is Operation['kind'] {
  return name === 'ConditionCheck' || name === 'Delete' || name === 'Put' || name === 'Update'
}
