import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import dynaliteDb from 'dynalite/db/index.js'
import { ApiError, serializationError, unknownOperation } from '../api-error.ts'
import { withPrefix, type Database, type Write } from '../database.ts'
import { isJsonObject, type JsonObject } from '../json-object.ts'
import { createSerialiser } from '../serialiser.ts'
import {
  isItemWrite,
  isRead,
  isTableWrite,
  perform,
  prepare,
  toApiError,
  type Action,
  type ItemWriteAction,
} from './actions.ts'
import {
  idempotentParameterMismatch,
  isConditionalCheckFailed,
  isValidationError,
  transactionCanceled,
  validationError,
  type CancellationReason,
} from './errors.ts'
import { findUnstorable, itemBytes, jsonDepth, MAX_ITEM_BYTES, namesPrototype } from './measure.ts'
import {
  createStore,
  isItemKey,
  itemKey,
  putTable,
  readTables,
  type DynaliteStore,
  type StoreOptions,
  type TableDescription,
} from './store.ts'

/** An item that was stored: its table, its image before (undefined = new) and after, as attribute values. */
export interface Change {
  table: string
  before: JsonObject | undefined
  after: JsonObject
}

/** What else is to be written with changed items, and done once it is. */
export interface Reaction {
  writes: Write[]
  publish: () => void
}

export interface DynamoOptions extends StoreOptions {
  /** Asked about each stored item that is new or differs from what was there. */
  react: (change: Change) => Reaction | undefined
}

const MAX_OPERATIONS = 100
const MAX_TRANSACTION_BYTES = 4 * 1024 * 1024
/** Deeper JSON can't be a legal request, and must not meet recursive code. */
const MAX_JSON_DEPTH = 100
/** DynamoDB remembers client request tokens for ten minutes. */
const TOKEN_MS = 600_000
const TOKENS = 'token~'
const TIMES_TO_LIVE = 'ttl~'

interface TokenRecord {
  hash: string
  /** Wall clock ms. */
  at: number
}

interface Operation {
  kind: 'ConditionCheck' | 'Delete' | 'Put' | 'Update'
  data: JsonObject
  table: TableDescription
  /** Unique among all items of all tables; undefined when the key does not fit the table. */
  key: string | undefined
  /** Why it can't be done, whatever is stored. */
  invalid: Error | undefined
  returnOld: boolean
}

/** The actions of DynamoDB: dynalite's, and transactions. Writes run one after the other, each in one atomic batch. */
export class DynamoService {
  readonly #database: Database
  readonly #options: DynamoOptions
  readonly #alone = createSerialiser()
  #sweeper: NodeJS.Timeout | undefined

  private constructor(database: Database, options: DynamoOptions) {
    this.#database = database
    this.#options = options
  }

  static async load(database: Database, options: DynamoOptions): Promise<DynamoService> {
    const service = new DynamoService(database, options)
    await service.#finishTables()
    await service.#sweepTokens()
    service.#sweeper = setInterval(() => void service.#sweepTokens().catch(() => undefined), 60_000)
    service.#sweeper.unref()
    return service
  }

  /** Answers one request; throws ApiError. */
  async handle(action: string, request: JsonObject): Promise<object> {
    if (jsonDepth(request, MAX_JSON_DEPTH) > MAX_JSON_DEPTH)
      throw serializationError('The request is nested too deeply')
    if (namesPrototype(request)) throw validationError('"__proto__" can\'t be the name of an attribute here')
    if (isRead(action)) return await this.#call(action, request, refuseWrites)
    if (isItemWrite(action)) return await this.#alone(() => this.#writeItems(action, request))
    if (isTableWrite(action)) {
      return await this.#alone(() => this.#call(action, request, (writes) => this.#database.write(writes)))
    }
    switch (action) {
      case 'TransactWriteItems':
        return await this.#alone(() => this.#transactWrite(request))
      case 'TransactGetItems':
        return await this.#alone(() => this.#transactGet(request))
      case 'UpdateTimeToLive':
        return await this.#alone(() => this.#updateTimeToLive(request))
      case 'DescribeTimeToLive':
        return await this.#describeTimeToLive(request)
      default:
        throw unknownOperation(`The action ${action} is not known here`)
    }
  }

  /** Creates a table with string keys unless there is one of that name; resolves when it can be used. */
  async ensureTable(name: string, hashKey: string, rangeKey: string): Promise<void> {
    const key = (AttributeName: string, KeyType: string): object => ({ AttributeName, KeyType })
    const attribute = (AttributeName: string): object => ({ AttributeName, AttributeType: 'S' })
    for (;;) {
      const table = (await readTables(this.#database)).find(({ TableName }) => TableName === name)
      if (table?.TableStatus === 'ACTIVE') return
      if (table === undefined) {
        await this.handle('CreateTable', {
          TableName: name,
          BillingMode: 'PAY_PER_REQUEST',
          AttributeDefinitions: [attribute(hashKey), attribute(rangeKey)],
          KeySchema: [key(hashKey, 'HASH'), key(rangeKey, 'RANGE')],
        })
      }
      await delay(2)
    }
  }

  stop(): void {
    clearInterval(this.#sweeper)
  }

  async #call(
    action: Action,
    request: JsonObject,
    write: (writes: readonly Write[]) => Promise<void>,
  ): Promise<JsonObject> {
    return await this.#within(write, (store) => perform(action, prepare(action, request, store), store))
  }

  /** Runs `task` with a store; ends too when something is thrown in one of the store's callbacks. */
  async #within<T>(
    write: (writes: readonly Write[]) => Promise<void>,
    task: (store: DynaliteStore) => Promise<T>,
  ): Promise<T> {
    return await new Promise((resolve, reject) => {
      const store = createStore(this.#database, this.#options, write, reject)
      Promise.resolve()
        .then(() => task(store))
        .then(resolve, reject)
    })
  }

  async #writeItems(action: ItemWriteAction, request: JsonObject): Promise<JsonObject> {
    const writes: Write[] = []
    const { ReturnValuesOnConditionCheckFailure: returnOld, TableName: table, Key: key, Item: put } = request
    try {
      const result = await this.#call(action, request, collectInto(writes))
      checkItems(writes, action === 'UpdateItem')
      await this.#commit(writes)
      return result
    } catch (error) {
      if (!isConditionalCheckFailed(error) || returnOld !== 'ALL_OLD') throw error
      const item = await this.#storedItem(table, key ?? put)
      throw item === undefined ? error : new ApiError(error.type, error.message, { extra: { Item: item } })
    }
  }

  /** What is stored under the key that `keyOrItem` has. */
  async #storedItem(tableName: unknown, keyOrItem: unknown): Promise<unknown> {
    const table = await this.#table(tableName)
    return await this.#database.get(itemKey(table.TableName, dynaliteDb.createKey(keyOrItem, table)))
  }

  async #transactWrite(request: JsonObject): Promise<object> {
    const items = transactItems(request)
    const token = readToken(request)
    const writes: Write[] = []
    if (token !== undefined) {
      const hash = createHash('sha256').update(JSON.stringify(items)).digest('hex')
      const earlier = (await this.#database.get(TOKENS + token)) as TokenRecord | undefined
      if (earlier !== undefined && earlier.at + TOKEN_MS > Date.now()) {
        if (earlier.hash !== hash) throw idempotentParameterMismatch()
        return {}
      }
      writes.push({ type: 'put', key: TOKENS + token, value: { hash, at: Date.now() } satisfies TokenRecord })
    }
    const operations: Operation[] = []
    for (const item of items) operations.push(await this.#prepareOperation(item))
    refuseDoubles(operations.flatMap(({ key }) => key ?? []))
    const reasons: CancellationReason[] = []
    for (const operation of operations) reasons.push(await this.#tryOperation(operation, writes))
    if (reasons.some(({ Code }) => Code !== 'None')) throw transactionCanceled(reasons)
    const bytes = writes.reduce((sum, write) => sum + (isItemPut(write) ? itemBytes(write.value) : 0), 0)
    if (bytes > MAX_TRANSACTION_BYTES)
      throw validationError('Transaction request cannot be more than 4 MB in size')
    await this.#commit(writes)
    return {}
  }

  async #prepareOperation(item: JsonObject): Promise<Operation> {
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
    const data = prepare(
      action,
      request,
      createStore(this.#database, this.#options, refuseWrites, () => undefined),
    )
    const table = await this.#table(data['TableName'])
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
    return { kind, data, table, key, invalid, returnOld: returnOld === 'ALL_OLD' }
  }

  /** Does one operation of a transaction, adding to `writes`, or says why it can't be done. */
  async #tryOperation(
    { kind, data, key, invalid, returnOld }: Operation,
    writes: Write[],
  ): Promise<CancellationReason> {
    const own: Write[] = []
    try {
      if (invalid !== undefined) throw toApiError(invalid)
      if (kind === 'ConditionCheck') {
        const failure = dynaliteDb.checkConditional(
          data,
          key === undefined ? undefined : await this.#database.get(key),
        )
        if (failure) throw toApiError(failure)
      } else {
        await this.#within(collectInto(own), (store) => perform(`${kind}Item`, data, store))
      }
      checkItems(own, kind === 'Update')
      writes.push(...own)
      return { Code: 'None' }
    } catch (error) {
      if (isValidationError(error)) return { Code: 'ValidationError', Message: error.message }
      if (!isConditionalCheckFailed(error)) throw error
      const item = returnOld && key !== undefined ? await this.#database.get(key) : undefined
      return {
        Code: 'ConditionalCheckFailed',
        Message: error.message,
        ...(item !== undefined && { Item: item }),
      }
    }
  }

  async #transactGet(request: JsonObject): Promise<object> {
    const responses: object[] = []
    const gets = transactItems(request).map(({ Get: get }) => {
      if (!isJsonObject(get)) throw validationError('TransactItems can only contain Get in TransactGetItems')
      return get
    })
    const keys: string[] = []
    for (const { TableName: name, Key: key } of gets) {
      const table = await this.#table(name)
      if (isJsonObject(key) && !dynaliteDb.validateKey(key, table)) {
        keys.push(itemKey(table.TableName, dynaliteDb.createKey(key, table)))
      }
    }
    refuseDoubles(keys)
    for (const get of gets) {
      const { Item: found } = await this.#call('GetItem', get, refuseWrites)
      responses.push(found === undefined ? {} : { Item: found })
    }
    return { Responses: responses }
  }

  async #updateTimeToLive(request: JsonObject): Promise<object> {
    const { TableName } = await this.#table(request['TableName'])
    const { TimeToLiveSpecification: wanted } = request
    const { AttributeName, Enabled } = isJsonObject(wanted) ? wanted : {}
    if (typeof AttributeName !== 'string' || AttributeName === '' || typeof Enabled !== 'boolean') {
      throw validationError('TimeToLiveSpecification must have an AttributeName and Enabled')
    }
    const current = await this.#database.get(TIMES_TO_LIVE + TableName)
    if (Enabled && current !== undefined) throw validationError('TimeToLive is already enabled')
    if (!Enabled && current === undefined) throw validationError('TimeToLive is already disabled')
    const key = TIMES_TO_LIVE + TableName
    await this.#database.write([Enabled ? { type: 'put', key, value: AttributeName } : { type: 'del', key }])
    return { TimeToLiveSpecification: { AttributeName, Enabled } }
  }

  async #describeTimeToLive(request: JsonObject): Promise<object> {
    const { TableName } = await this.#table(request['TableName'])
    const attribute = await this.#database.get(TIMES_TO_LIVE + TableName)
    const status =
      attribute === undefined
        ? { TimeToLiveStatus: 'DISABLED' }
        : { TimeToLiveStatus: 'ENABLED', AttributeName: attribute }
    return { TimeToLiveDescription: status }
  }

  async #table(name: unknown): Promise<TableDescription> {
    const { Table: table } = await this.#call('DescribeTable', { TableName: name }, refuseWrites)
    return table as TableDescription
  }

  /** Stores what a request changes, and what follows from it, in one batch. */
  async #commit(writes: readonly Write[]): Promise<void> {
    const reactions: Reaction[] = []
    for (const write of writes) {
      if (!isItemPut(write)) continue
      const [prefix] = write.key.split('~', 1)
      const change = {
        table: prefix?.slice('item-'.length) ?? '',
        before: (await this.#database.get(write.key)) as JsonObject | undefined,
        after: write.value as JsonObject,
      }
      const reaction = isSame(change.before, change.after) ? undefined : this.#options.react(change)
      if (reaction !== undefined) reactions.push(reaction)
    }
    await this.#database.write([...writes, ...reactions.flatMap((reaction) => reaction.writes)])
    for (const { publish } of reactions) publish()
  }

  /** Ends what a killed process left half done: tables become ready or go. */
  async #finishTables(): Promise<void> {
    for (const table of await readTables(this.#database)) {
      if (table.TableStatus === 'ACTIVE') continue
      const deleted = table.TableStatus === 'DELETING'
      await this.#database.write([putTable({ ...table, TableStatus: 'ACTIVE' })])
      if (deleted) await this.handle('DeleteTable', { TableName: table.TableName })
    }
  }

  async #sweepTokens(): Promise<void> {
    const outdated: Write[] = []
    for await (const [key, value] of this.#database.entries(withPrefix(TOKENS))) {
      if ((value as TokenRecord).at + TOKEN_MS <= Date.now()) outdated.push({ type: 'del', key })
    }
    if (outdated.length > 0) await this.#database.write(outdated)
  }
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

function isItemPut(write: Write): write is Extract<Write, { type: 'put' }> {
  return write.type === 'put' && isItemKey(write.key)
}

/** Refuses items that DynamoDB could not hold. */
function checkItems(writes: readonly Write[], update: boolean): void {
  for (const write of writes) {
    if (!isItemPut(write)) continue
    if (itemBytes(write.value) > MAX_ITEM_BYTES) {
      throw validationError(`Item size ${update ? 'to update ' : ''}has exceeded the maximum allowed size`)
    }
    const problem = findUnstorable(write.value)
    if (problem !== undefined) throw validationError(problem)
  }
}

function collectInto(writes: Write[]): (more: readonly Write[]) => Promise<void> {
  return (more) => {
    writes.push(...more)
    return Promise.resolve()
  }
}

function refuseWrites(): Promise<void> {
  return Promise.reject(new Error('this action writes nothing'))
}

/** Whether two values are the same JSON, in whatever order their members come. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((entry, index) => isSame(entry, b[index]))
  }
  if (!isJsonObject(a) || !isJsonObject(b)) return false
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && isSame(a[name], b[name]))
  )
}
