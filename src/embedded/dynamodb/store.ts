import { Stream } from 'node:stream'
import { withPrefix, type Database, type KeyRange, type Write } from '../database.ts'
import { MAX_ITEM_BYTES } from './measure.ts'

type Callback<T = unknown> = (error: unknown, value?: T) => void

/** What of a stream dynalite uses: the events data, end and error, and destroy. */
type Flow = Stream & { destroy(): void }

/** One keyed collection, as dynalite's actions use it. */
interface Collection {
  get(key: string, callback: Callback): void
  put(key: string, value: unknown, callback: Callback): void
  del(key: string, callback: Callback): void
  batch(operations: readonly Write[], callback: Callback): void
  createKeyStream(range?: KeyRange): Flow
  createValueStream(range?: KeyRange): Flow
  lock(key: string, run: (release: <T>(done: T) => T) => void): void
}

/** A table's description, as far as it is looked at here. */
export interface TableDescription extends Record<string, unknown> {
  TableName: string
  TableStatus: string
}

/** What dynalite's actions take as their store. */
export interface DynaliteStore {
  readonly options: {
    maxItemSize: number
    createTableMs: number
    updateTableMs: number
    deleteTableMs: number
  }
  readonly tableDb: Collection & { awsAccountId: string; awsRegion: string }
  getItemDb(table: string): Collection
  getTagDb(table: string): Collection
  getIndexDb(type: string, table: string, index: string): Collection
  deleteItemDb(table: string, callback: Callback): void
  deleteTagDb(table: string, callback: Callback): void
  deleteIndexDb(type: string, table: string, index: string, callback: Callback): void
  getTable(name: string, checkStatus: boolean | Callback, callback?: Callback): void
}

export interface StoreOptions {
  region: string
  accountId: string
}

const TABLES = 'table~'

/** Key of an item in the database. */
export function itemKey(table: string, key: string): string {
  return `${itemPrefix(table)}${key}`
}

/** Whether a database key is that of an item (of any table), and not of an index entry or the like. */
export function isItemKey(key: string): boolean {
  return key.startsWith('item-')
}

/**
 * A store for one call of a dynalite action, on our own database; `write` gets what it changes, and `fail` what it
 * throws in a callback. (dynalite's own store writes item by item, ends the process on a disk error, and leaves an
 * iterator open behind each query.) Locks are not needed: whoever writes runs alone.
 */
export function createStore(
  database: Database,
  options: StoreOptions,
  write: (writes: readonly Write[]) => Promise<void>,
  fail: (error: unknown) => void,
): DynaliteStore {
  const tableDb = {
    ...collection(TABLES),
    awsAccountId: options.accountId,
    awsRegion: options.region,
  }
  return {
    options: { maxItemSize: MAX_ITEM_BYTES, createTableMs: 0, updateTableMs: 0, deleteTableMs: 0 },
    tableDb,
    getItemDb: (table) => collection(itemPrefix(table)),
    getTagDb: (table) => collection(tagPrefix(table)),
    getIndexDb: (type, table, index) => collection(indexPrefix(type, table, index)),
    deleteItemDb: (table, callback) => {
      clear(itemPrefix(table), callback)
    },
    deleteTagDb: (table, callback) => {
      clear(tagPrefix(table), callback)
    },
    deleteIndexDb: (type, table, index, callback) => {
      clear(indexPrefix(type, table, index), callback)
    },
    getTable(name, checkStatus, callback) {
      const done = typeof checkStatus === 'function' ? checkStatus : callback
      tableDb.get(name, (error, found) => {
        const table = found as TableDescription | undefined
        const passing = table?.TableStatus === 'CREATING' || table?.TableStatus === 'DELETING'
        if (error === null && (table === undefined || (checkStatus !== false && passing))) {
          done?.(tableNotFound(checkStatus === false ? name : undefined))
        } else {
          done?.(error, table)
        }
      })
    },
  }

  function collection(prefix: string): Collection {
    return {
      get: (key, callback) => {
        settle(database.get(prefix + key), callback)
      },
      put: (key, value, callback) => {
        settle(write([{ type: 'put', key: prefix + key, value }]), callback)
      },
      del: (key, callback) => {
        settle(write([{ type: 'del', key: prefix + key }]), callback)
      },
      batch: (operations, callback) => {
        settle(
          write(operations.map((operation) => ({ ...operation, key: prefix + operation.key }))),
          callback,
        )
      },
      createKeyStream: (range) => flow(keysWithout(prefix, range)),
      createValueStream: (range) => flow(database.values(within(prefix, range))),
      lock: (_key, run) => {
        run((done) => done)
      },
    }
  }

  function settle<T>(promise: Promise<T>, callback: Callback<T>): void {
    promise
      .then(
        (value) => {
          callback(null, value)
        },
        (error: unknown) => {
          callback(error)
        },
      )
      .catch(fail)
  }

  /** Listeners run inside of `pump`, so that what they throw ends the call and not the process. */
  function flow(source: AsyncIterable<unknown>): Flow {
    let destroyed = false
    const emitter = Object.assign(new Stream(), {
      destroy: () => {
        destroyed = true
      },
    })
    setImmediate(() => {
      pump().catch(fail)
    })
    return emitter

    async function pump(): Promise<void> {
      for await (const value of source) {
        if (destroyed) return
        emitter.emit('data', value)
      }
      emitter.emit('end')
    }
  }

  async function* keysWithout(prefix: string, range?: KeyRange): AsyncGenerator<string> {
    for await (const key of database.keys(within(prefix, range))) yield key.slice(prefix.length)
  }

  function clear(prefix: string, callback: Callback): void {
    settle(remove(prefix), callback)
  }

  async function remove(prefix: string): Promise<void> {
    const writes: Write[] = []
    for await (const key of database.keys(withPrefix(prefix))) writes.push({ type: 'del', key })
    await write(writes)
  }
}

/** All tables, whatever their status. */
export async function readTables(database: Database): Promise<TableDescription[]> {
  const tables: TableDescription[] = []
  for await (const value of database.values(withPrefix(TABLES))) tables.push(value as TableDescription)
  return tables
}

/** Writes a table's description. */
export function putTable(table: TableDescription): Write {
  return { type: 'put', key: TABLES + table.TableName, value: table }
}

function itemPrefix(table: string): string {
  return `item-${table}~`
}

function tagPrefix(table: string): string {
  return `tag-${table}~`
}

function indexPrefix(type: string, table: string, index: string): string {
  return `index-${type.toLowerCase()}~${table}~${index}~`
}

function within(prefix: string, range: KeyRange = {}): KeyRange {
  const bounds = withPrefix(prefix)
  const result: KeyRange = { reverse: range.reverse === true, limit: range.limit ?? -1 }
  if (range.gt !== undefined) result.gt = prefix + range.gt
  else result.gte = range.gte === undefined ? prefix : prefix + range.gte
  if (range.lte !== undefined) result.lte = prefix + range.lte
  else result.lt = range.lt === undefined ? (bounds.lt ?? prefix) : prefix + range.lt
  return result
}

/** In the form in which dynalite's own errors come. */
function tableNotFound(name: string | undefined): Error {
  const message = `Requested resource not found${name === undefined ? '' : `: Table: ${name} not found`}`
  const body = { __type: 'com.amazonaws.dynamodb.v20120810#ResourceNotFoundException', message }
  return Object.assign(new Error(message), { statusCode: 400, body })
}
