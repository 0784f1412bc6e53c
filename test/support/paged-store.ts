import type { Json } from '../../src/core/json.ts'
import type { WriteOutcome } from '../../src/core/kind.ts'
import { itemBytes } from '../../src/stores/dynamodb/item-checks.ts'
import type { Item, Key, Range, RemoveOutcome, Store } from '../../src/stores/store.ts'

/** DynamoDB ends a page of a query there, by the size of the whole items. */
const PAGE_BYTES = 1024 ** 2

/** One partition: items by their sort keys, ascending. */
interface Partition {
  keys: string[]
  items: Item[]
}

/** A table in memory that holds many items, and counts the requests that DynamoDB would get for them. */
export class PagedStore implements Store {
  /** Single reads, and pages of queries. */
  requests = 0
  /** Items read. */
  items = 0
  readonly #partitions = new Map<string, Partition>()

  async probe(): Promise<void> {}
  close(): void {}

  async get({ ID, Trial }: Key): Promise<Item | undefined> {
    await turn()
    this.requests += 1
    const { keys, items } = this.#partitionOf(ID)
    const index = lowerBound(keys, Trial)
    if (keys[index] !== Trial) return undefined
    this.items += 1
    return items[index]
  }

  async put(items: readonly Item[], onlyIfAbsent: Key): Promise<WriteOutcome> {
    await turn()
    const { keys } = this.#partitionOf(onlyIfAbsent.ID)
    if (keys[lowerBound(keys, onlyIfAbsent.Trial)] === onlyIfAbsent.Trial) return 'exists'
    for (const item of items) this.add(item)
    return 'written'
  }

  async *query(id: string, { from, to, attributes, order, limit }: Range): AsyncGenerator<Item> {
    await turn()
    this.requests += 1
    const { keys, items } = this.#partitionOf(id)
    const found = items.slice(lowerBound(keys, from), lowerBound(keys, `${to}\0`))
    if (order === 'descending') found.reverse()
    let bytes = 0
    for (const item of found.slice(0, limit)) {
      if (bytes > PAGE_BYTES) {
        await turn()
        this.requests += 1
        bytes = 0
      }
      bytes += itemBytes(item)
      this.items += 1
      yield attributes === undefined ? item : pick(item, attributes)
    }
  }

  update(): Promise<WriteOutcome> {
    return Promise.reject(new Error('nothing is ever changed in this table'))
  }

  remove(): Promise<RemoveOutcome> {
    return Promise.reject(new Error('nothing is ever removed from this table'))
  }

  async *scan(): AsyncGenerator<Item> {
    await turn()
    throw new Error('this table is never read as a whole')
  }

  /** Puts an item in as it is. */
  add(item: Item): void {
    const { keys, items } = this.#partitionOf(textOf(item['ID']))
    const key = textOf(item['Trial'])
    const index = lowerBound(keys, key)
    const isThere = keys[index] === key
    keys.splice(index, isThere ? 1 : 0, key)
    items.splice(index, isThere ? 1 : 0, item)
  }

  #partitionOf(id: string): Partition {
    const partition = this.#partitions.get(id) ?? { keys: [], items: [] }
    this.#partitions.set(id, partition)
    return partition
  }
}

/** The first place whose key is not below `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let [low, high] = [0, keys.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((keys[middle] ?? '') < key) low = middle + 1
    else high = middle
  }
  return low
}

/** What any request takes: others get their turn. */
async function turn(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve))
}

function pick(item: Item, attributes: readonly string[]): Item {
  return Object.fromEntries(Object.entries(item).filter(([name]) => attributes.includes(name)))
}

function textOf(value: Json | undefined): string {
  if (typeof value !== 'string') throw new TypeError('a key is text')
  return value
}
