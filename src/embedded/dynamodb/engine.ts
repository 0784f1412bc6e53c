import dynaliteDb from 'dynalite/db/index.js'
import type { Database, Write } from '../database.ts'
import type { JsonObject } from '../json-object.ts'
import { perform, prepare, type Action } from './actions.ts'
import { validationError } from './errors.ts'
import { findUnstorable, itemBytes, MAX_ITEM_BYTES } from './measure.ts'
import {
  createStore,
  isItemKey,
  itemKey,
  type DynaliteStore,
  type StoreOptions,
  type TableDescription,
} from './store.ts'
import { isEqual } from './values.ts'

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

/** Gets what an action changes. */
export type Sink = (writes: readonly Write[]) => Promise<void>

/** Runs dynalite's actions on our database, and stores what they change. Writers must run one at a time. */
export class Engine {
  readonly database: Database
  readonly #options: DynamoOptions

  constructor(database: Database, options: DynamoOptions) {
    this.database = database
    this.#options = options
  }

  /** Checks and runs an action. */
  async call(action: Action, request: JsonObject, write: Sink): Promise<JsonObject> {
    return await this.run(write, (store) => perform(action, prepare(action, request, store), store))
  }

  /** Runs `task` with a store; ends too when something is thrown in one of the store's callbacks. */
  async run<T>(write: Sink, task: (store: DynaliteStore) => Promise<T>): Promise<T> {
    return await new Promise((resolve, reject) => {
      const store = createStore(this.database, this.#options, write, reject)
      Promise.resolve()
        .then(() => task(store))
        .then(resolve, reject)
    })
  }

  /** Checks a request's parameters and parses its expressions; throws ApiError. */
  prepare(action: Action, request: JsonObject): JsonObject {
    return prepare(
      action,
      request,
      createStore(this.database, this.#options, refuseWrites, () => undefined),
    )
  }

  /** A table's description; throws ApiError when there is no such table. */
  async table(name: unknown): Promise<TableDescription> {
    const { Table: table } = await this.call('DescribeTable', { TableName: name }, refuseWrites)
    return table as TableDescription
  }

  /** What is stored under the key that `keyOrItem` has. */
  async storedItem(tableName: unknown, keyOrItem: unknown): Promise<unknown> {
    const table = await this.table(tableName)
    return await this.database.get(itemKey(table.TableName, dynaliteDb.createKey(keyOrItem, table)))
  }

  /** Stores what a request changes, and what follows from it, in one batch. */
  async commit(writes: readonly Write[]): Promise<void> {
    const reactions: Reaction[] = []
    for (const write of writes) {
      if (!isItemPut(write)) continue
      const [prefix] = write.key.split('~', 1)
      const change = {
        table: prefix?.slice('item-'.length) ?? '',
        before: (await this.database.get(write.key)) as JsonObject | undefined,
        after: write.value as JsonObject,
      }
      const reaction = isEqual({ M: change.before }, { M: change.after })
        ? undefined
        : this.#options.react(change)
      if (reaction !== undefined) reactions.push(reaction)
    }
    await this.database.write([...writes, ...reactions.flatMap((reaction) => reaction.writes)])
    for (const { publish } of reactions) publish()
  }
}

/** Whether a write stores an item, and not an index entry or the like. */
export function isItemPut(write: Write): write is Extract<Write, { type: 'put' }> {
  return write.type === 'put' && isItemKey(write.key)
}

/** Refuses items that DynamoDB could not hold. */
export function checkItems(writes: readonly Write[], update: boolean): void {
  for (const write of writes) {
    if (!isItemPut(write)) continue
    if (itemBytes(write.value) > MAX_ITEM_BYTES) {
      throw validationError(`Item size ${update ? 'to update ' : ''}has exceeded the maximum allowed size`)
    }
    const problem = findUnstorable(write.value)
    if (problem !== undefined) throw validationError(problem)
  }
}

/** A sink that gathers writes, to be stored later. */
export function collectInto(writes: Write[]): Sink {
  return (more) => {
    writes.push(...more)
    return Promise.resolve()
  }
}

/** The sink of actions that only read. */
export function refuseWrites(): Promise<void> {
  return Promise.reject(new Error('this action writes nothing'))
}
