import { setTimeout as delay } from 'node:timers/promises'
import { ApiError, unknownOperation } from '../api-error.ts'
import type { Database, Write } from '../database.ts'
import type { JsonObject } from '../json-object.ts'
import { createSerialiser } from '../serialiser.ts'
import { isItemWrite, isRead, isTableWrite, type ItemWriteAction } from './actions.ts'
import { checkItems, collectInto, Engine, refuseWrites, type DynamoOptions } from './engine.ts'
import { isConditionalCheckFailed } from './errors.ts'
import { findUnsafe } from './request-limits.ts'
import { putTable, readTables } from './store.ts'
import { describeTimeToLive, updateTimeToLive } from './time-to-live.ts'
import { sweepTokens, transactGet, transactWrite } from './transactions.ts'

const SWEEP_MS = 60_000

/** The actions of DynamoDB: dynalite's, and transactions. Writes run one after the other, each in one atomic batch. */
export class DynamoService {
  readonly #database: Database
  readonly #engine: Engine
  readonly #alone = createSerialiser()
  #sweeper: NodeJS.Timeout | undefined

  private constructor(database: Database, options: DynamoOptions) {
    this.#database = database
    this.#engine = new Engine(database, options)
  }

  static async load(database: Database, options: DynamoOptions): Promise<DynamoService> {
    const service = new DynamoService(database, options)
    await service.#finishTables()
    await sweepTokens(database)
    service.#sweeper = setInterval(() => void sweepTokens(database).catch(() => undefined), SWEEP_MS)
    service.#sweeper.unref()
    return service
  }

  /** Answers one request; throws ApiError. */
  async handle(action: string, request: JsonObject): Promise<object> {
    const unsafe = findUnsafe(request)
    if (unsafe !== undefined) throw unsafe
    if (isRead(action)) return await this.#engine.call(action, request, refuseWrites)
    if (isItemWrite(action)) return await this.#alone(() => this.#writeItems(action, request))
    if (isTableWrite(action)) {
      return await this.#alone(() =>
        this.#engine.call(action, request, (writes) => this.#database.write(writes)),
      )
    }
    switch (action) {
      case 'TransactWriteItems':
        return await this.#alone(() => transactWrite(this.#engine, request))
      case 'TransactGetItems':
        return await this.#alone(() => transactGet(this.#engine, request))
      case 'UpdateTimeToLive':
        return await this.#alone(() => updateTimeToLive(this.#engine, request))
      case 'DescribeTimeToLive':
        return await describeTimeToLive(this.#engine, request)
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

  async #writeItems(action: ItemWriteAction, request: JsonObject): Promise<JsonObject> {
    const writes: Write[] = []
    const { ReturnValuesOnConditionCheckFailure: returnOld, TableName: table, Key: key, Item: put } = request
    try {
      const result = await this.#engine.call(action, request, collectInto(writes))
      checkItems(writes, action === 'UpdateItem')
      await this.#engine.commit(writes)
      return result
    } catch (error) {
      if (!isConditionalCheckFailed(error) || returnOld !== 'ALL_OLD') throw error
      const item = await this.#engine.storedItem(table, key ?? put)
      throw item === undefined ? error : new ApiError(error.type, error.message, { extra: { Item: item } })
    }
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
}
