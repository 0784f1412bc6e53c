import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AwsConnection } from '../../src/aws/client-options.ts'
import { LeaseLostError } from '../../src/core/errors.ts'
import type { Item, Key, Store } from '../../src/stores/store.ts'
import { createDynamoDbStore } from '../../src/stores/dynamodb/dynamodb-store.ts'
import { createLeaseRecords } from '../../src/stores/dynamodb/lease-records.ts'

/** A server with two tables of our keys. */
export interface LeaseServer {
  connection: AwsConnection
  table: string
  leaseTable: string
}

/** What holds for lease records, and for results that are fenced by them, on every server. */
export function describeLeaseContract(open: () => Promise<LeaseServer>): void {
  let store: Store
  let records: ReturnType<typeof createLeaseRecords>

  beforeAll(async () => {
    const { connection, table, leaseTable } = await open()
    const fence = { tableName: leaseTable, kind: 'evaluator' }
    store = createDynamoDbStore({ ...connection, tableName: table, leaseTable: fence })
    records = createLeaseRecords({ ...connection, ...fence, holdSeconds: 60 })
  })
  afterAll(() => {
    store.close()
    records.close()
  })

  function result(): { items: Item[]; flag: Key } {
    const flag = { ID: randomUUID(), Trial: '00001' }
    return {
      items: [
        { ID: flag.ID, Trial: 'Success#00001' },
        { ...flag, IgnoreStream: true },
      ],
      flag,
    }
  }

  test('the probe finds nothing wrong', async () => {
    await records.probe(AbortSignal.timeout(30_000))
  })

  test('a record is made once, and says what was written', async () => {
    const job = randomUUID()
    expect(await records.read(job)).toBeUndefined()
    expect(await records.create(job, 'a')).toBe(true)
    expect(await records.create(job, 'b')).toBe(false)
    expect(await records.read(job)).toEqual({ token: 'a', beat: 0, guard: 0, holdSeconds: 60 })
  })

  test('only its owner beats, moves the guard, and removes it', async () => {
    const job = randomUUID()
    await records.create(job, 'a')
    expect(await records.beat(job, 'a')).toBe(true)
    expect(await records.beat(job, 'b')).toBe(false)
    expect(await records.setGuard(job, 'a', 2)).toBe(true)
    expect(await records.setGuard(job, 'b', 3)).toBe(false)
    expect(await records.read(job)).toMatchObject({ token: 'a', beat: 1, guard: 2 })
    expect(await records.remove(job, 'b')).toBe(false)
    expect(await records.remove(job, 'a')).toBe(true)
    expect(await records.beat(job, 'a')).toBe(false)
    expect(await records.setGuard(job, 'a', 3)).toBe(false)
    expect(await records.read(job)).toBeUndefined()
  })

  test('it is taken from an owner that gave no sign of life, by one heir, with the guard at 0', async () => {
    const job = randomUUID()
    await records.create(job, 'a')
    await records.setGuard(job, 'a', 2)
    const seen = (await records.read(job)) ?? { token: '', beat: 0, guard: 0, holdSeconds: 0 }
    await records.beat(job, 'a')
    expect(await records.take(job, seen, 'b')).toBe(false)
    const again = (await records.read(job)) ?? seen
    const heirs = await Promise.all(['b', 'c', 'd'].map((token) => records.take(job, again, token)))
    expect(heirs.filter(Boolean)).toHaveLength(1)
    expect(await records.read(job)).toMatchObject({ beat: 2, guard: 0 })
    expect(await records.beat(job, 'a')).toBe(false)
  })

  test('a result under a record takes the record along', async () => {
    const { items, flag } = result()
    await records.create(flag.ID, 'a')
    expect(await store.put(items, flag, { job: flag.ID, token: 'a' })).toBe('written')
    expect(await records.read(flag.ID)).toBeUndefined()
    expect(await store.get(flag)).toBeDefined()
  })

  test('nobody else writes a result while there is a record', async () => {
    const { items, flag } = result()
    await records.create(flag.ID, 'a')
    await expect(store.put(items, flag, { job: flag.ID, token: undefined })).rejects.toThrow(LeaseLostError)
    await expect(store.put(items, flag, { job: flag.ID, token: 'b' })).rejects.toThrow(LeaseLostError)
    expect(await store.get(flag)).toBeUndefined()
    expect(await records.read(flag.ID)).toMatchObject({ token: 'a' })
  })

  test('a lost record keeps its owner from writing, an absent one nobody without', async () => {
    const { items, flag } = result()
    await expect(store.put(items, flag, { job: flag.ID, token: 'a' })).rejects.toThrow(LeaseLostError)
    expect(await store.put(items, flag, { job: flag.ID, token: undefined })).toBe('written')
    // The result is there: that is what counts then.
    expect(await store.put(items, flag, { job: flag.ID, token: 'a' })).toBe('exists')
  })
}
