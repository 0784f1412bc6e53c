import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { JobError, LeaseLostError, PoisonError } from '../../src/core/errors.ts'
import { formatJson, fromPlain, parseJson, type Json } from '../../src/core/json.ts'
import type { Item, Key, Store } from '../../src/stores/store.ts'

/** What holds for every Store on every server; `open` gives a store on a table that may hold foreign items. */
export function describeStoreContract(open: () => Promise<Store>): void {
  let store: Store

  beforeAll(async () => {
    store = await open()
  })
  afterAll(() => {
    store.close()
  })

  /** A result and its flag, as the kinds write them. */
  function resultAndFlag(
    values: Readonly<Record<string, Json>> = {},
    id: string = randomUUID(),
  ): { items: Item[]; flag: Key } {
    const flag = { ID: id, Trial: '00001' }
    return {
      items: [
        { ID: id, Trial: 'Success#00001', IgnoreStream: false, ...values },
        { ...flag, IgnoreStream: true },
      ],
      flag,
    }
  }

  async function roundTrip(value: Json): Promise<Json> {
    const { items, flag } = resultAndFlag({ Value: value })
    expect(await store.put(items, flag)).toBe('written')
    const item = await store.get({ ID: flag.ID, Trial: 'Success#00001' })
    return item?.['Value'] ?? null
  }

  async function fill(id: string, count: number, values: Readonly<Record<string, Json>> = {}): Promise<void> {
    const trials = Array.from({ length: count }, (_, n) => String(n + 1).padStart(5, '0'))
    await Promise.all(trials.map((Trial) => store.put([{ ID: id, Trial, ...values }], { ID: id, Trial })))
  }

  test('the probe finds nothing wrong and leaves nothing behind', async () => {
    await store.probe(AbortSignal.timeout(30_000))
  })

  test('what is not there is undefined', async () => {
    expect(await store.get({ ID: randomUUID(), Trial: '00001' })).toBeUndefined()
  })

  test('a result and its flag are written once, together', async () => {
    const { items, flag } = resultAndFlag({ Value: 'first' })
    expect(await store.put(items, flag)).toBe('written')
    const second = resultAndFlag({ Value: 'second' }, flag.ID)
    expect(await store.put(second.items, second.flag)).toBe('exists')
    expect(await store.get({ ID: flag.ID, Trial: 'Success#00001' })).toEqual(items[0])
    expect(await store.get(flag)).toEqual(items[1])
    // A result of another status is refused as well, and leaves nothing.
    const failed = { ID: flag.ID, Trial: 'Failed#00001' }
    expect(await store.put([failed, { ...flag }], flag)).toBe('exists')
    expect(await store.get(failed)).toBeUndefined()
  })

  test('of many writers at once exactly one writes', async () => {
    const id = randomUUID()
    const outcomes = await Promise.all(
      Array.from({ length: 12 }, async (_, n) => {
        const { items, flag } = resultAndFlag({ Value: `writer ${String(n)}` }, id)
        return { n, outcome: await store.put(items, flag) }
      }),
    )
    const winners = outcomes.filter(({ outcome }) => outcome === 'written')
    expect(winners).toHaveLength(1)
    const stored = await store.get({ ID: id, Trial: 'Success#00001' })
    expect(stored?.['Value']).toBe(`writer ${String(winners[0]?.n)}`)
  })

  test('values come back as they are', async () => {
    const value = parseJson(
      '{"a": [null, true, false, "", "é😀\\u0000", [], {}], "constructor": 2, "2": 3, "1": 4}',
    )
    // A table's maps have no order.
    expect(sorted(await roundTrip(value))).toBe(sorted(value))
  })

  test.each([
    ['1e22', '10000000000000000000000'],
    ['0.1', '0.1'],
    ['12345678901234567890', '12345678901234567890'],
    ['0.12345678901234567890123456789012345678', '0.12345678901234567890123456789012345678'],
    ['-9007199254740993', '-9007199254740993'],
    ['1e-130', `0.${'0'.repeat(129)}1`],
    ['-1.5e-300', '0'],
    ['-0.0', '0'],
    ['NaN', 'null'],
    ['Infinity', `${'9'.repeat(38)}${'0'.repeat(88)}`],
    ['-Infinity', `-${'9'.repeat(38)}${'0'.repeat(88)}`],
    ['1e126', `${'9'.repeat(38)}${'0'.repeat(88)}`],
    ['0.123456789012345678901234567890123456785', '0.12345678901234567890123456789012345678'],
  ])('the number %s comes back as %s', async (literal, expected) => {
    const value = await roundTrip(parseJson(literal))
    const wanted = parseJson(expected)
    expect(value !== null && typeof value === 'object' && 'equals' in value ? value.text : value).toBe(
      wanted !== null && typeof wanted === 'object' && 'equals' in wanted ? wanted.text : wanted,
    )
  })

  test('what no table holds is refused before anything is written', async () => {
    const tooLarge = resultAndFlag({ Value: 'x'.repeat(409_600) })
    const tooDeep = resultAndFlag({ Value: parseJson(`${'['.repeat(40)}${']'.repeat(40)}`) })
    const emptyKey = resultAndFlag({ Value: parseJson('{"a": {"": 1}}') })
    for (const { items, flag } of [tooLarge, tooDeep, emptyKey]) {
      const error: unknown = await store.put(items, flag).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(JobError)
      expect(error).toMatchObject({ code: 'unstorable_result' })
      expect(await store.get(flag)).toBeUndefined()
    }
    await expect(store.get({ ID: 'x'.repeat(5000), Trial: '1' })).rejects.toBeInstanceOf(PoisonError)
    await expect(store.put([{ ID: 'a', Trial: 'b' }], { ID: 'a', Trial: 'c' })).rejects.toBeInstanceOf(
      TypeError,
    )
  })

  test('the largest item that fits is stored', async () => {
    const { items, flag } = resultAndFlag()
    const [result = {}] = items
    // ID 2 + 36, Trial 5 + 13, IgnoreStream 12 + 1, Value 5.
    const Value = 'x'.repeat(409_600 - 38 - 18 - 13 - 5)
    expect(await store.put([{ ...result, Value }, { ...flag }], flag)).toBe('written')
  })

  test('a query reads a range in order', async () => {
    const id = randomUUID()
    await fill(id, 12)
    const trials = async (range: Parameters<Store['query']>[1]) => {
      const found: Json[] = []
      for await (const { Trial } of store.query(id, range)) found.push(Trial ?? null)
      return formatJson(found).replaceAll(/[["\]]/g, '')
    }
    expect(await trials({ from: '00003', to: '00005' })).toBe('00003,00004,00005')
    expect(await trials({ from: '00003', to: '00005', order: 'descending' })).toBe('00005,00004,00003')
    expect(await trials({ from: '00003', to: '99999', limit: 2 })).toBe('00003,00004')
    expect(await trials({ from: '', to: '99999', order: 'descending', limit: 1 })).toBe('00012')
    expect(await trials({ from: '00011', to: '\u{10ffff}' })).toBe('00011,00012')
    expect(await trials({ from: '00005', to: '00003' })).toBe('')
    expect(await trials({ from: '00001', to: '00012', limit: 0 })).toBe('')
    expect(await trials({ from: '1', to: '2' })).toBe('')
  })

  test('a query reads only the attributes that are asked for, reserved words too', async () => {
    const id = randomUUID()
    await fill(id, 1, { Name: 'n1', Half: fromPlain(0.5) })
    const items: Item[] = []
    for await (const item of store.query(id, { from: '0', to: '9', attributes: ['Name', 'Missing'] }))
      items.push(item)
    expect(items).toEqual([{ Name: 'n1' }])
  })

  test('a query goes on over pages, and ends when its reader does', async () => {
    const id = randomUUID()
    await fill(id, 7, { Value: 'x'.repeat(350_000) })
    let count = 0
    for await (const item of store.query(id, { from: '0', to: '9' })) {
      expect(item['Value']).toHaveLength(350_000)
      count += 1
    }
    expect(count).toBe(7)
    for await (const item of store.query(id, { from: '0', to: '9', limit: 5 })) {
      count += 1
      if (item['Trial'] === '00002') break
    }
    expect(count).toBe(9)
  })

  test('an item of its own is changed where its status allows it, and keeps what is not named', async () => {
    const key = { ID: randomUUID(), Trial: 'Job' }
    const open = { unlessStatus: ['success', 'rejected'] }
    expect(await store.update({ ...key, CancelRequested: true }, open)).toBe('written')
    expect(
      await store.update({ ...key, Status: 'running', Token: 'a', Value: fromPlain([1, null]) }, open),
    ).toBe('written')
    expect(await store.get(key)).toEqual({
      ...key,
      CancelRequested: true,
      Status: 'running',
      Token: 'a',
      Value: fromPlain([1, null]),
    })
    // Another attempt takes it over; the first one writes nothing any more.
    expect(await store.update({ ...key, Status: 'running', Token: 'b' }, open)).toBe('written')
    const late: unknown = await store
      .update({ ...key, Status: 'success', Token: 'a', Value: 'late' }, { ...open, token: 'a' })
      .catch((reason: unknown) => reason)
    expect(late).toBeInstanceOf(LeaseLostError)
    expect(await store.get(key)).toMatchObject({ Status: 'running', Token: 'b', Value: fromPlain([1, null]) })
    expect(await store.update({ ...key, Status: 'success', Token: 'b' }, { ...open, token: 'b' })).toBe(
      'written',
    )
    for (const condition of [open, { ...open, token: 'b' }, { ...open, token: 'c' }]) {
      const other = { ...key, Status: 'rejected', Token: 'c' }
      expect(await store.update(other, condition)).toBe('exists')
    }
    // One who asks again what he has written himself has written it.
    expect(await store.update({ ...key, Status: 'success', Token: 'b' }, { ...open, token: 'b' })).toBe(
      'written',
    )
    expect(await store.get(key)).toMatchObject({ Status: 'success', Token: 'b', CancelRequested: true })
  })

  test('what is to be kept is set only where there is none', async () => {
    const key = { ID: randomUUID(), Trial: 'Job' }
    const condition = { unlessStatus: [], keep: ['CreatedAt'] }
    await store.update({ ...key, CreatedAt: 'first', Value: '1' }, condition)
    await store.update({ ...key, CreatedAt: 'second', Value: '2' }, condition)
    expect(await store.get(key)).toEqual({ ...key, CreatedAt: 'first', Value: '2' })
  })

  test('an item that is not there belongs to nobody', async () => {
    const key = { ID: randomUUID(), Trial: 'Job' }
    const write = store.update(
      { ...key, Status: 'success', Token: 'a' },
      { unlessStatus: ['success'], token: 'a' },
    )
    await expect(write).rejects.toBeInstanceOf(LeaseLostError)
    expect(await store.get(key)).toBeUndefined()
    expect(await store.update({ ...key, Value: '1' }, { unlessStatus: [] })).toBe('written')
    const large = { ...key, Value: 'x'.repeat(409_600) }
    await expect(store.update(large, { unlessStatus: [] })).rejects.toBeInstanceOf(JobError)
    const lost = new LeaseLostError('lost')
    const assertHeld = (): void => {
      throw lost
    }
    await expect(store.update({ ...key, Value: '2' }, { unlessStatus: [] }, assertHeld)).rejects.toBe(lost)
    expect(await store.get(key)).toMatchObject({ Value: '1' })
  })

  test('of many who end a job at once exactly one does', async () => {
    const key = { ID: randomUUID(), Trial: 'Job' }
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        store.update({ ...key, Status: 'success', Token: `t${String(n)}` }, { unlessStatus: ['success'] }),
      ),
    )
    expect(outcomes.filter((outcome) => outcome === 'written')).toHaveLength(1)
  })

  test('items are deleted together, each only as it is known', async () => {
    const { items, flag } = resultAndFlag({ Value: 'first', Half: fromPlain(0.5) })
    const [result = {}] = items
    const { ID = '', Trial = '' } = result
    const failed = { ID: flag.ID, Trial: 'Failed#00001' }
    expect(await store.put(items, flag)).toBe('written')
    for (const [present, absent] of [
      [[{ ID, Trial, Value: 'other' }, { ...flag }], []],
      [[{ ID, Trial, Half: fromPlain(0.25) }, { ...flag }], []],
      [[{ ID, Trial, Missing: '' }, { ...flag }], []],
      [[{ ID, Trial }, { ...flag }, failed], []],
      [[{ ID, Trial }], [failed, flag]],
    ] as [Item[], Key[]][]) {
      expect(await store.remove(present, absent)).toBe('changed')
      expect(await store.get({ ID: flag.ID, Trial: 'Success#00001' })).toEqual(result)
      expect(await store.get(flag)).toBeDefined()
    }
    const known = { ID, Trial, Value: 'first', Half: fromPlain(0.5) }
    expect(await store.remove([known, { ...flag }], [failed])).toBe('removed')
    expect(await store.get({ ID: flag.ID, Trial: 'Success#00001' })).toBeUndefined()
    expect(await store.get(flag)).toBeUndefined()
    expect(await store.remove([known], [])).toBe('changed')
    expect(await store.remove([], [flag])).toBe('removed')
    expect(await store.remove([], [])).toBe('removed')
    expect(await store.put(items, flag)).toBe('written')
  })

  test('of many who delete at once exactly one does', async () => {
    const { items, flag } = resultAndFlag()
    await store.put(items, flag)
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, () =>
        store.remove([{ ID: flag.ID, Trial: 'Success#00001' }, { ...flag }], []),
      ),
    )
    expect(outcomes.filter((outcome) => outcome === 'removed')).toHaveLength(1)
  })

  test('a scan finds a prefix in all partitions', async () => {
    const prefix = randomUUID()
    await fill(`${prefix}#a`, 2)
    await fill(`${prefix}#b`, 1)
    const found: Json[] = []
    for await (const { ID, Trial } of store.scan(`${prefix}#`)) found.push([ID ?? null, Trial ?? null])
    expect(found.map(formatJson).sort()).toEqual([
      `["${prefix}#a","00001"]`,
      `["${prefix}#a","00002"]`,
      `["${prefix}#b","00001"]`,
    ])
  })

  test('reads end with the reason that they are aborted for', async () => {
    const reason = new Error('stop')
    const signal = AbortSignal.abort(reason)
    await expect(store.get({ ID: 'a', Trial: 'b' }, signal)).rejects.toBe(reason)
    await expect(store.probe(signal)).rejects.toBe(reason)
    await expect(
      store.query('a', { from: '0', to: '9' }, signal)[Symbol.asyncIterator]().next(),
    ).rejects.toBe(reason)
  })
}

/** As text with the keys of all maps in order. */
function sorted(value: Json): string {
  return JSON.stringify(JSON.parse(formatJson(value)), (_, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1))
      : member,
  )
}
