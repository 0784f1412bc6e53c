import type { Json } from '../core/json.ts'
import type { WriteOutcome } from '../core/kind.ts'
import type { Fence } from '../core/lease-record.ts'

/** An item's address in the table (partition key ID, sort key Trial). */
export interface Key {
  ID: string
  Trial: string
}

/** An item: attribute name → value. Numbers are exact (core/json.ts). */
export type Item = Readonly<Record<string, Json>>

/** What a query reads of one partition; both ends are included. */
export interface Range {
  /** Smallest sort key. */
  from: string
  /** Largest sort key. */
  to: string
  /** Attributes to read; all when left out. */
  attributes?: readonly string[]
  /** 'descending' = largest sort key first. */
  order?: 'ascending' | 'descending'
  /** At most so many items. */
  limit?: number
}

/** When an item of its own kind may be changed: by its attributes Status and Token. */
export interface UpdateCondition {
  /** Not where its Status is one of these. */
  unlessStatus: readonly string[]
  /** Only where its Token is this one. */
  token?: string
  /** Attributes that are set only where the item has none of that name yet. */
  keep?: readonly string[]
}

/** What came of a conditional delete. */
export type RemoveOutcome = 'removed' | 'changed'

/**
 * A table. Reads are strongly consistent. Vendor errors become RetryableError('store' | 'credentials'),
 * JobError('unstorable_result') for an item that the table can't hold, PoisonError for a key that no table can hold, OperatorError for a missing table or wrong keys.
 */
export interface Store {
  /** Cheap, reads no item that could cost anything; throws what is wrong. */
  probe(signal: AbortSignal): Promise<void>
  get(key: Key, signal?: AbortSignal): Promise<Item | undefined>
  /**
   * Writes all items in one transaction, under the condition that `onlyIfAbsent` (one of them by key) does not exist.
   * 'exists' = it did, and nothing was written. With a fence the job's lease record must be as it says, and goes in the
   * same transaction; LeaseLostError when it is another's. Takes no signal: a write is never cut in the middle; but
   * `assertHeld` is asked before each of its tries, and what it throws ends them.
   */
  put(
    items: readonly Item[],
    onlyIfAbsent: Key,
    fence?: Fence,
    assertHeld?: () => void,
  ): Promise<WriteOutcome>
  /**
   * Sets attributes of one item, which is made where it is not there; its other attributes stay. 'exists' = its Status is
   * one of those, and nothing was written; LeaseLostError when its Token is another's. Takes no signal, and needs the
   * right UpdateItem; `assertHeld` as for `put`. A write whose answer was lost counts, as its Token and Status show.
   */
  update(item: Item, condition: UpdateCondition, assertHeld?: () => void): Promise<WriteOutcome>
  /**
   * Deletes items in one transaction, under the condition that each still has the attributes that are given with its
   * key, and that none of `absent` exists. 'changed' = one of these did not hold, and nothing was deleted. Takes no
   * signal, and needs a right that runners do without (DeleteItem).
   */
  remove(items: readonly Item[], absent: readonly Key[]): Promise<RemoveOutcome>
  /** Items of one partition in sort key order, page by page as they are consumed. */
  query(id: string, range: Range, signal?: AbortSignal): AsyncIterable<Item>
  /**
   * Items of all partitions whose ID begins with `idPrefix`, in no order. Reads the whole table, and needs a right that
   * runners do without: for people's questions only.
   */
  scan(idPrefix: string, signal?: AbortSignal): AsyncIterable<Item>
  close(): void
}
