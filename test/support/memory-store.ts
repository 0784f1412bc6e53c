import { formatJson, type Json } from '../../src/core/json.ts'
import { LeaseLostError } from '../../src/core/errors.ts'
import type { WriteOutcome } from '../../src/core/kind.ts'
import { assertStorable } from '../../src/stores/dynamodb/item-checks.ts'
import type { Item, Key, Range, RemoveOutcome, Store, UpdateCondition } from '../../src/stores/store.ts'

/** A table in memory that counts what is read; passed in where the wire doesn't matter. */
export class MemoryStore implements Store {
  readonly items = new Map<string, Item>()
  /** Keys of all single reads, `ID|Trial`. */
  readonly gets: string[] = []
  /** Items that queries handed out. */
  itemsRead = 0
  queries = 0
  puts = 0
  /** Called before each call; throws what the table is to fail with, or changes it between two reads. */
  before: (call: 'get' | 'put' | 'update' | 'query' | 'remove', key: string) => void | Promise<void> = () =>
    undefined

  async probe(): Promise<void> {}
  close(): void {}

  async get(key: Key, signal?: AbortSignal): Promise<Item | undefined> {
    this.gets.push(nameOf(key))
    await this.before('get', nameOf(key))
    await Promise.resolve()
    signal?.throwIfAborted()
    return this.items.get(nameOf(key))
  }

  async put(items: readonly Item[], onlyIfAbsent: Key): Promise<WriteOutcome> {
    this.puts += 1
    for (const item of items) assertStorable(item)
    await this.before('put', nameOf(onlyIfAbsent))
    if (this.items.has(nameOf(onlyIfAbsent))) return 'exists'
    for (const item of items) this.add(item)
    return 'written'
  }

  async update(
    item: Item,
    { unlessStatus, token, keep = [] }: UpdateCondition,
    assertHeld: () => void = () => undefined,
  ): Promise<WriteOutcome> {
    const name = nameOf(item)
    assertStorable(item)
    assertHeld()
    await this.before('update', name)
    const stored = this.items.get(name)
    const status = stored?.['Status']
    const isOwn = item['Token'] !== undefined && stored?.['Token'] === item['Token']
    if (isOwn && status !== undefined && status === item['Status']) return 'written'
    if (typeof status === 'string' && unlessStatus.includes(status)) return 'exists'
    if (token !== undefined && stored?.['Token'] !== token)
      throw new LeaseLostError('another runner has the job')
    const kept = Object.fromEntries(
      keep.flatMap((each) => (stored?.[each] === undefined ? [] : [[each, stored[each]]])),
    )
    this.items.set(name, { ...stored, ...item, ...kept })
    return 'written'
  }

  async remove(items: readonly Item[], absent: readonly Key[]): Promise<RemoveOutcome> {
    for (const item of [...items, ...absent]) await this.before('remove', nameOf(item))
    const isAsGiven = (item: Item): boolean => {
      const stored = this.items.get(nameOf(item))
      return stored !== undefined && Object.keys(item).every((name) => isSame(stored[name], item[name]))
    }
    if (!items.every(isAsGiven) || absent.some((key) => this.items.has(nameOf(key)))) return 'changed'
    for (const item of items) this.items.delete(nameOf(item))
    return 'removed'
  }

  async *query(id: string, range: Range, signal?: AbortSignal): AsyncGenerator<Item> {
    this.queries += 1
    await this.before('query', `${id}|${range.from}`)
    const found = this.partition(id).filter((item) => {
      const key = textOf(item['Trial'])
      return key >= range.from && key <= range.to
    })
    if (range.order === 'descending') found.reverse()
    for (const item of found.slice(0, range.limit)) {
      await Promise.resolve()
      signal?.throwIfAborted()
      this.itemsRead += 1
      yield range.attributes === undefined ? item : pick(item, range.attributes)
    }
  }

  async *scan(idPrefix: string, signal?: AbortSignal): AsyncGenerator<Item> {
    await this.before('query', idPrefix)
    for (const item of [...this.items.values()]) {
      signal?.throwIfAborted()
      if (textOf(item['ID']).startsWith(idPrefix)) yield item
    }
  }

  /** Puts an item in as it is. */
  add(item: Item): void {
    this.items.set(nameOf(item), item)
  }

  /** Takes an item out, whatever it is. */
  drop(key: Key): void {
    this.items.delete(nameOf(key))
  }

  /** All items of a partition, ascending. */
  partition(id: string): Item[] {
    return [...this.items.values()]
      .filter((item) => item['ID'] === id)
      .sort((a, b) => (textOf(a['Trial']) < textOf(b['Trial']) ? -1 : 1))
  }
}

function nameOf(key: Readonly<Record<string, Json>> | Key): string {
  return `${textOf(key.ID)}|${textOf(key.Trial)}`
}

function textOf(value: Json | undefined): string {
  if (typeof value !== 'string') throw new TypeError('a key is text')
  return value
}

function isSame(a: Json | undefined, b: Json | undefined): boolean {
  return a !== undefined && b !== undefined && formatJson(a) === formatJson(b)
}

function pick(item: Item, attributes: readonly string[]): Item {
  return Object.fromEntries(Object.entries(item).filter(([name]) => attributes.includes(name)))
}
