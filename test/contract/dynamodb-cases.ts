import {
  BatchGetItemCommand,
  BatchWriteItemCommand,
  DeleteItemCommand,
  DescribeTableCommand,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  ScanCommand,
  TransactGetItemsCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
  type AttributeValue,
  type DynamoDBClient,
  type TransactWriteItem,
} from '@aws-sdk/client-dynamodb'

type Item = Record<string, AttributeValue>

/** What a case works with: a partition of its own in the table `opthub`. */
export interface Bench {
  client: DynamoDBClient
  /** The case's own partition. */
  id: string
}

/** Does something; what it resolves to or rejects with is compared. */
export type Case = (bench: Bench) => Promise<unknown>

const TableName = 'opthub'

function item(bench: Bench, trial: string, attributes: Item = {}): Item {
  return { ID: { S: bench.id }, Trial: { S: trial }, ...attributes }
}

function key(bench: Bench, trial: string): Item {
  return item(bench, trial)
}

async function put(bench: Bench, trial: string, attributes: Item = {}, more: object = {}): Promise<unknown> {
  return await bench.client.send(
    new PutItemCommand({ TableName, Item: item(bench, trial, attributes), ...more }),
  )
}

async function get(bench: Bench, trial: string, more: object = {}): Promise<Item | undefined> {
  const command = new GetItemCommand({ TableName, Key: key(bench, trial), ConsistentRead: true, ...more })
  return (await bench.client.send(command)).Item
}

async function update(bench: Bench, trial: string, more: object): Promise<unknown> {
  return await bench.client.send(new UpdateItemCommand({ TableName, Key: key(bench, trial), ...more }))
}

async function remove(bench: Bench, trial: string, more: object = {}): Promise<unknown> {
  return await bench.client.send(new DeleteItemCommand({ TableName, Key: key(bench, trial), ...more }))
}

async function query(bench: Bench, more: object = {}): Promise<unknown> {
  const { ExpressionAttributeValues: values = {}, ...others } = more as { ExpressionAttributeValues?: Item }
  return await bench.client.send(
    new QueryCommand({
      TableName,
      KeyConditionExpression: 'ID = :id',
      ExpressionAttributeValues: { ':id': { S: bench.id }, ...values },
      ConsistentRead: true,
      ...others,
    }),
  )
}

async function all(bench: Bench): Promise<unknown> {
  return ((await query(bench)) as { Items?: unknown }).Items
}

async function transact(bench: Bench, items: TransactWriteItem[], more: object = {}): Promise<unknown> {
  return await bench.client.send(new TransactWriteItemsCommand({ TransactItems: items, ...more }))
}

/** Stores one attribute and reads it again. */
function roundTrip(value: AttributeValue): Case {
  return async (bench) => {
    await put(bench, '1', { value })
    return await get(bench, '1')
  }
}

/** Tries a condition against a stored item. */
function condition(expression: string, values?: Item, names?: Record<string, string>): Case {
  const stored: Item = {
    n: { N: '5' },
    s: { S: 'text' },
    b: { BOOL: true },
    nil: { NULL: true },
    map: { M: { part: { S: 'deep' }, list: { L: [{ N: '1' }, { N: '2' }] } } },
    set: { SS: ['a', 'b'] },
    list: { L: [{ S: 'x' }, { N: '3' }] },
    bin: { B: Uint8Array.of(1, 2, 3) },
  }
  return conditionOn(stored, expression, values, names)
}

function conditionOn(stored: Item, expression: string, values?: Item, names?: Record<string, string>): Case {
  return async (bench) => {
    await put(bench, '1', stored)
    await put(
      bench,
      '1',
      { done: { BOOL: true } },
      {
        ConditionExpression: expression,
        ...(values && { ExpressionAttributeValues: values }),
        ...(names && { ExpressionAttributeNames: names }),
      },
    )
    return await get(bench, '1')
  }
}

/** Tries an update of a stored item, and shows what it returns and what is there then. */
function updating(expression: string, values?: Item, names?: Record<string, string>): Case {
  const stored: Item = {
    n: { N: '5' },
    s: { S: 'text' },
    map: { M: { part: { S: 'deep' } } },
    list: { L: [{ N: '1' }, { N: '2' }, { N: '3' }] },
    set: { SS: ['a', 'b'] },
    ns: { NS: ['1', '2'] },
  }
  return updatingOf(stored, expression, values, names)
}

/** Without a stored item where `stored` is undefined. */
function updatingOf(
  stored: Item | undefined,
  expression: string,
  values?: Item,
  names?: Record<string, string>,
): Case {
  return async (bench) => {
    if (stored !== undefined) await put(bench, '1', stored)
    const result = await update(bench, '1', {
      UpdateExpression: expression,
      ReturnValues: 'ALL_NEW',
      ...(values && { ExpressionAttributeValues: values }),
      ...(names && { ExpressionAttributeNames: names }),
    })
    return [result, await get(bench, '1')]
  }
}

function nested(levels: number): AttributeValue {
  let value: AttributeValue = { S: 'core' }
  for (let level = 0; level < levels; level += 1)
    value = level % 2 === 0 ? { L: [value] } : { M: { a: value } }
  return value
}

const ninesTo125 = `9.${'9'.repeat(37)}E+125`

const numbers: Record<string, string> = {
  zero: '0',
  'minus zero': '-0',
  'minus zero point zero': '-0.0',
  one: '1',
  'one point zero': '1.0',
  'leading zeros': '0007',
  'trailing zeros': '1.5000',
  'plus sign': '+5',
  'no leading digit': '.5',
  'no trailing digit': '5.',
  '1e22': '1e22',
  '1E+22': '1E+22',
  'a double': '0.1',
  'a long double': '0.1000000000000000055511151231257827',
  '2^53 + 1': '9007199254740993',
  '-1e-130': '-1e-130',
  '1e-130': '1e-130',
  '1e-131': '1e-131',
  '9.99e125': '9.99e125',
  '1e126': '1e126',
  '-1e126': '-1e126',
  largest: ninesTo125,
  smallest: `-${ninesTo125}`,
  '38 digits': '12345678901234567890123456789012345678',
  '39 digits': '123456789012345678901234567890123456789',
  '39 digits, last one zero': '123456789012345678901234567890123456780',
  '38 digits after the point': '0.12345678901234567890123456789012345678',
  '39 digits after the point': '0.123456789012345678901234567890123456789',
  '38 digits at -130': '1.2345678901234567890123456789012345678e-93',
  'digits below -130': '1.2345678901234567890123456789012345678e-130',
  empty: '',
  'white space': ' 1',
  NaN: 'NaN',
  Infinity: 'Infinity',
  hexadecimal: '0x10',
  text: 'abc',
  'two points': '1.2.3',
  'huge exponent': '1e999999999',
  'zero with a huge exponent': '0e999',
}

export const cases: Record<string, Case> = {
  ...Object.fromEntries(Object.entries(numbers).map(([name, N]) => [`number: ${name}`, roundTrip({ N })])),

  'value: string': roundTrip({ S: 'text' }),
  'value: empty string': roundTrip({ S: '' }),
  'value: string with all kinds of characters': roundTrip({ S: 'é漢😀\u0000\u001f"\\/' }),
  'value: bool': roundTrip({ BOOL: false }),
  'value: null': roundTrip({ NULL: true }),
  'value: null false': roundTrip({ NULL: false as unknown as true }),
  'value: binary': roundTrip({ B: Uint8Array.of(0, 255, 128) }),
  'value: empty binary': roundTrip({ B: new Uint8Array() }),
  'value: empty list and map': roundTrip({ L: [{ L: [] }, { M: {} }] }),
  'value: string set': roundTrip({ SS: ['b', 'a'] }),
  'value: number set': roundTrip({ NS: ['2', '1.0'] }),
  'value: empty set': roundTrip({ SS: [] }),
  'value: set with doubles': roundTrip({ SS: ['a', 'a'] }),
  'value: number set with equal numbers': roundTrip({ NS: ['1', '1.0'] }),
  'value: two types': roundTrip({ S: 'a', N: '1' } as unknown as AttributeValue),
  'value: none': roundTrip({} as unknown as AttributeValue),
  'value: nested 31 levels': roundTrip(nested(31)),
  'value: nested 32 levels': roundTrip(nested(32)),
  'value: nested 33 levels': roundTrip(nested(33)),
  'value: empty key in a map': roundTrip({ M: { '': { S: 'x' } } }),
  'value: number inside of a map': roundTrip({ M: { n: { N: '1e22' }, l: { L: [{ N: '-0' }] } } }),

  'put: returns nothing by default': (bench) => put(bench, '1'),
  'put: ALL_OLD of none': (bench) => put(bench, '1', {}, { ReturnValues: 'ALL_OLD' }),
  'put: ALL_OLD': async (bench) => {
    await put(bench, '1', { a: { N: '1' } })
    return await put(bench, '1', { a: { N: '2' } }, { ReturnValues: 'ALL_OLD' })
  },
  'put: ALL_NEW is refused': (bench) => put(bench, '1', {}, { ReturnValues: 'ALL_NEW' }),
  'put: consumed capacity': (bench) => put(bench, '1', {}, { ReturnConsumedCapacity: 'TOTAL' }),
  'put: no sort key': (bench) =>
    bench.client.send(new PutItemCommand({ TableName, Item: { ID: { S: bench.id } } })),
  'put: key of the wrong type': (bench) => put(bench, '1', { Trial: { N: '1' } }),
  'put: empty key': (bench) => put(bench, ''),
  'put: no such table': (bench) =>
    bench.client.send(new PutItemCommand({ TableName: 'missing', Item: item(bench, '1') })),
  'put: 400 KB': async (bench) => {
    await put(bench, '1', { a: { S: 'x'.repeat(409_600 - 2 - bench.id.length - 5 - 1 - 1) } })
    return (await get(bench, '1', { ProjectionExpression: 'ID' })) ?? 'none'
  },
  'put: more than 400 KB': (bench) => put(bench, '1', { a: { S: 'x'.repeat(409_600) } }),
  'put: more than 400 KB in UTF-8': (bench) => put(bench, '1', { a: { S: '漢'.repeat(140_000) } }),
  'put: empty attribute name': (bench) => put(bench, '1', { '': { S: 'x' } }),
  'put: old Expected': async (bench) => {
    await put(bench, '1')
    return await put(bench, '1', {}, { Expected: { ID: { Exists: false } } })
  },

  'get: nothing there': (bench) => get(bench, '1'),
  'get: projection': async (bench) => {
    await put(bench, '1', {
      a: { N: '1' },
      m: { M: { x: { S: 'y' }, z: { N: '1' } } },
      l: { L: [{ S: '0' }, { S: '1' }] },
    })
    return await get(bench, '1', { ProjectionExpression: 'a, m.x, l[1]' })
  },
  'get: projection of a reserved word': (bench) => get(bench, '1', { ProjectionExpression: 'Status' }),
  'get: key with too many attributes': (bench) =>
    bench.client.send(new GetItemCommand({ TableName, Key: item(bench, '1', { a: { S: 'x' } }) })),
  'get: key of the wrong type': (bench) =>
    bench.client.send(new GetItemCommand({ TableName, Key: { ID: { S: bench.id }, Trial: { N: '1' } } })),
  'get: no such table': (bench) =>
    bench.client.send(new GetItemCommand({ TableName: 'missing', Key: key(bench, '1') })),

  'delete: nothing there': (bench) => remove(bench, '1', { ReturnValues: 'ALL_OLD' }),
  'delete: ALL_OLD': async (bench) => {
    await put(bench, '1', { a: { N: '1' } })
    return [await remove(bench, '1', { ReturnValues: 'ALL_OLD' }), await get(bench, '1')]
  },
  'delete: condition fails': async (bench) => {
    await put(bench, '1', { a: { N: '1' } })
    return await remove(bench, '1', { ConditionExpression: 'attribute_not_exists(ID)' })
  },
  'delete: condition on nothing': (bench) =>
    remove(bench, '1', { ConditionExpression: 'attribute_exists(ID)' }),

  'condition: attribute_not_exists fails': condition('attribute_not_exists(ID)'),
  'condition: attribute_exists': condition('attribute_exists(ID)'),
  'condition: on nothing': (bench) =>
    put(bench, '1', {}, { ConditionExpression: 'attribute_not_exists(ID)' }),
  'condition: equal number, other spelling': condition('n = :v', { ':v': { N: '5.0' } }),
  'condition: number and string': condition('n = :v', { ':v': { S: '5' } }),
  'condition: equal string': condition('s = :v', { ':v': { S: 'text' } }),
  'condition: equal bool': condition('b = :v', { ':v': { BOOL: true } }),
  'condition: equal null': condition('nil = :v', { ':v': { NULL: true } }),
  'condition: equal binary': condition('bin = :v', { ':v': { B: Uint8Array.of(1, 2, 3) } }),
  'condition: equal set in other order': condition('#s = :v', { ':v': { SS: ['b', 'a'] } }, { '#s': 'set' }),
  'condition: equal list': condition('#l = :v', { ':v': { L: [{ S: 'x' }, { N: '3' }] } }, { '#l': 'list' }),
  'condition: equal map': condition(
    '#m.#l = :v',
    { ':v': { L: [{ N: '1' }, { N: '2' }] } },
    { '#m': 'map', '#l': 'list' },
  ),
  'condition: unequal map': condition('#m <> :v', { ':v': { M: {} } }, { '#m': 'map' }),
  'condition: less': condition('n < :v', { ':v': { N: '10' } }),
  'condition: not less': condition('n < :v', { ':v': { N: '5' } }),
  'condition: between': condition('n BETWEEN :a AND :b', { ':a': { N: '1' }, ':b': { N: '5' } }),
  'condition: between, bounds swapped': condition('n BETWEEN :a AND :b', {
    ':a': { N: '5' },
    ':b': { N: '1' },
  }),
  'condition: in': condition('n IN (:a, :b)', { ':a': { N: '1' }, ':b': { N: '5' } }),
  'condition: and or not': condition('NOT (n = :a OR s = :b) AND attribute_exists(b)', {
    ':a': { N: '1' },
    ':b': { S: 'no' },
  }),
  'condition: begins_with': condition('begins_with(s, :v)', { ':v': { S: 'te' } }),
  'condition: contains in text': condition('contains(s, :v)', { ':v': { S: 'ex' } }),
  'condition: contains in set': condition('contains(#s, :v)', { ':v': { S: 'a' } }, { '#s': 'set' }),
  'condition: contains in list': condition('contains(#l, :v)', { ':v': { N: '3' } }, { '#l': 'list' }),
  'condition: size': condition('size(s) = :v', { ':v': { N: '4' } }),
  'condition: size of a list': condition('size(#l) > :v', { ':v': { N: '1' } }, { '#l': 'list' }),
  'condition: attribute_type': condition('attribute_type(n, :v)', { ':v': { S: 'N' } }),
  'condition: attribute_type of no type': condition('attribute_type(n, :v)', { ':v': { S: 'X' } }),
  'condition: nested path': condition('#m.part = :v', { ':v': { S: 'deep' } }, { '#m': 'map' }),
  'condition: list index': condition('#l[1] = :v', { ':v': { N: '3' } }, { '#l': 'list' }),
  'condition: list index out of range': condition('attribute_not_exists(#l[7])', undefined, { '#l': 'list' }),
  'condition: missing attribute equal': condition('nowhere = :v', { ':v': { N: '1' } }),
  'condition: missing attribute unequal': condition('nowhere <> :v', { ':v': { N: '1' } }),
  'condition: reserved word': condition('Status = :v', { ':v': { S: 'x' } }),
  'condition: syntax error': condition('n = = :v', { ':v': { N: '1' } }),
  'condition: empty': condition(''),
  'condition: undefined value': condition('n = :v'),
  'condition: unused value': condition('n = :v', { ':v': { N: '5' }, ':w': { N: '1' } }),
  'condition: unused name': condition('attribute_exists(n)', undefined, { '#x': 'x' }),
  'condition: unknown function': condition('exists(n)'),
  'condition: value with a bad number': condition('n = :v', { ':v': { N: 'abc' } }),
  'condition: names of the language': condition('attribute_not_exists(#c)', undefined, {
    '#c': 'constructor',
  }),
  'condition: old item on failure': async (bench) => {
    await put(bench, '1', { a: { N: '1' } })
    await put(
      bench,
      '1',
      {},
      { ConditionExpression: 'attribute_not_exists(ID)', ReturnValuesOnConditionCheckFailure: 'ALL_OLD' },
    )
  },
  'condition: old item on failure of an update': async (bench) => {
    await put(bench, '1', { a: { N: '1' } })
    await update(bench, '1', {
      UpdateExpression: 'SET a = :v',
      ConditionExpression: 'a > :v',
      ExpressionAttributeValues: { ':v': { N: '3' } },
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    })
  },
  'condition: no old item on failure': (bench) =>
    remove(bench, '1', {
      ConditionExpression: 'attribute_exists(ID)',
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    }),

  'update: SET': updating('SET a = :v', { ':v': { S: 'new' } }),
  'update: SET several': updating('SET a = :v, s = :w REMOVE n', { ':v': { S: 'new' }, ':w': { N: '1' } }),
  'update: SET nested': updating('SET #m.x = :v', { ':v': { N: '1e22' } }, { '#m': 'map' }),
  'update: SET below a missing map': updating('SET nowhere.x = :v', { ':v': { N: '1' } }),
  'update: SET list element': updating('SET #l[1] = :v', { ':v': { S: 'x' } }, { '#l': 'list' }),
  'update: SET list element beyond the end': updating(
    'SET #l[9] = :v',
    { ':v': { S: 'x' } },
    { '#l': 'list' },
  ),
  'update: plus and minus': updating('SET n = n + :v, m = n - :v', { ':v': { N: '2' } }),
  'update: plus on text': updating('SET s = s + :v', { ':v': { N: '2' } }),
  'update: plus to overflow': updating('SET n = :big + :big', { ':big': { N: '9E125' } }),
  'update: plus beyond 38 digits': updating('SET n = n + :v', {
    ':v': { N: '0.12345678901234567890123456789012345678' },
  }),
  'update: minus to underflow': updating('SET n = :a - :b', {
    ':a': { N: '1.1E-130' },
    ':b': { N: '1E-130' },
  }),
  'update: ADD to overflow': updating('ADD n :v', { ':v': { N: '-9.99E125' } }),
  'update: plus with 38 digits': updating('SET n = n + :v', {
    ':v': { N: '0.1234567890123456789012345678901234567' },
  }),
  'update: if_not_exists': updating('SET a = if_not_exists(a, :v), n = if_not_exists(n, :v)', {
    ':v': { N: '9' },
  }),
  'update: list_append': updating(
    'SET #l = list_append(#l, :v)',
    { ':v': { L: [{ S: 'end' }] } },
    { '#l': 'list' },
  ),
  'update: copy of an attribute': updating('SET twin = #m', undefined, { '#m': 'map' }),
  'update: copy of a missing attribute': updating('SET twin = nowhere'),
  'update: REMOVE list element': updating('REMOVE #l[0]', undefined, { '#l': 'list' }),
  'update: REMOVE missing': updating('REMOVE nowhere'),
  'update: ADD number': updating('ADD n :v', { ':v': { N: '-7.5' } }),
  'update: ADD to nothing': updating('ADD fresh :v', { ':v': { N: '3' } }),
  'update: ADD to text': updating('ADD s :v', { ':v': { N: '3' } }),
  'update: ADD to a set': updating('ADD #s :v', { ':v': { SS: ['b', 'c'] } }, { '#s': 'set' }),
  'update: ADD to a number set': updating('ADD ns :v', { ':v': { NS: ['2.0', '3'] } }),
  'update: DELETE from a set': updating('DELETE #s :v', { ':v': { SS: ['a'] } }, { '#s': 'set' }),
  'update: DELETE all of a set': updating('DELETE #s :v', { ':v': { SS: ['a', 'b'] } }, { '#s': 'set' }),
  'update: of the key': updating('SET Trial = :v', { ':v': { S: '2' } }),
  'update: overlapping paths': updating('SET #m = :v, #m.x = :v', { ':v': { N: '1' } }, { '#m': 'map' }),
  'update: syntax error': updating('SET a', { ':v': { N: '1' } }),
  'update: creates the item': async (bench) => {
    const result = await update(bench, '1', {
      UpdateExpression: 'SET a = :v',
      ExpressionAttributeValues: { ':v': { N: '1' } },
    })
    return [result, await get(bench, '1')]
  },
  'update: nothing but the key': async (bench) => [await update(bench, '1', {}), await get(bench, '1')],
  'update: condition fails on nothing': async (bench) => {
    await update(bench, '1', {
      UpdateExpression: 'SET a = :v',
      ConditionExpression: 'attribute_exists(ID)',
      ExpressionAttributeValues: { ':v': { N: '1' } },
    })
  },
  'update: UPDATED_NEW': async (bench) => {
    await put(bench, '1', { a: { N: '1' }, b: { N: '2' } })
    const values = { ':v': { N: '5' } }
    return await update(bench, '1', {
      UpdateExpression: 'SET a = :v',
      ExpressionAttributeValues: values,
      ReturnValues: 'UPDATED_NEW',
    })
  },
  'update: UPDATED_OLD': async (bench) => {
    await put(bench, '1', { a: { N: '1' }, b: { N: '2' } })
    const values = { ':v': { N: '5' } }
    return await update(bench, '1', {
      UpdateExpression: 'SET a = :v',
      ExpressionAttributeValues: values,
      ReturnValues: 'UPDATED_OLD',
    })
  },
  'update: old AttributeUpdates': async (bench) => {
    await update(bench, '1', {
      AttributeUpdates: { a: { Action: 'PUT', Value: { N: '1' } }, b: { Action: 'ADD', Value: { N: '2' } } },
    })
    return await get(bench, '1')
  },
  'update: grows beyond 400 KB': async (bench) => {
    await put(bench, '1', { a: { S: 'x'.repeat(300_000) } })
    await update(bench, '1', {
      UpdateExpression: 'SET b = :v',
      ExpressionAttributeValues: { ':v': { S: 'x'.repeat(200_000) } },
    })
  },

  ...copies(),
  ...listElements(),
  ...equalities(),
  ...orders(),
  ...namesOfTheLanguage(),
  ...queries(),
  ...batches(),
  ...transactions(),

  'table: description': async (bench) => {
    const { Table: table } = await bench.client.send(new DescribeTableCommand({ TableName }))
    return {
      status: table?.TableStatus,
      keys: table?.KeySchema,
      attributes: table?.AttributeDefinitions,
      billing: table?.BillingModeSummary?.BillingMode,
    }
  },
  'table: no such table': (bench) => bench.client.send(new DescribeTableCommand({ TableName: 'missing' })),
  'table: impossible name': (bench) => bench.client.send(new DescribeTableCommand({ TableName: 'a b' })),
}

/** Operands are values from before the update, whatever else the update changes. */
function copies(): Record<string, Case> {
  const one: Item = { ':v': { N: '1' } }
  const list = { L: [{ N: '0' }, { N: '1' }, { N: '2' }] }
  return {
    'update: copy and ADD': updatingOf({ b: { N: '1' } }, 'SET a = b ADD b :v', one),
    'update: copy and ADD to a set': updatingOf({ b: { SS: ['a'] } }, 'SET a = b ADD b :v', {
      ':v': { SS: ['b'] },
    }),
    'update: copy and DELETE': updatingOf({ b: { SS: ['a', 'b'] } }, 'SET a = b DELETE b :v', {
      ':v': { SS: ['a'] },
    }),
    'update: copy and REMOVE of an element': updatingOf({ l: list }, 'SET k = l REMOVE l[0]'),
    'update: copy and SET of an element': updatingOf({ l: list }, 'SET k = l, l[0] = :v', one),
    'update: copy and SET of a member': updatingOf(
      { m: { M: { a: { N: '0' } } } },
      'SET k = m, m.a = :v',
      one,
    ),
    'update: copy of a member and SET of the map': updatingOf(
      { m: { M: { a: { M: { b: { N: '0' } } } } } },
      'SET k = m.a, m.a.b = :v',
      one,
    ),
    'update: if_not_exists with a path and ADD': updatingOf(
      { b: { N: '1' } },
      'SET a = if_not_exists(z, b) ADD b :v',
      one,
    ),
    'update: list_append and SET of an element': updatingOf(
      { l: { L: [{ M: { a: { N: '0' } } }] } },
      'SET k = list_append(l, l), l[0].a = :v',
      one,
    ),
    'update: one value for several attributes': updatingOf(
      { b: { N: '1' } },
      'SET a = :v, c = :v ADD b :v, d :v',
      one,
    ),
    'update: swap': updatingOf({ a: { N: '1' }, b: { N: '2' } }, 'SET a = b, b = a'),
    'update: swap of elements': updatingOf({ l: list }, 'SET l[0] = l[1], l[1] = l[0]'),
    'update: REMOVE of what is copied': updatingOf({ a: { N: '1' } }, 'SET b = a REMOVE a'),
    'update: in a transaction, copy and ADD': async (bench) => {
      await put(bench, '1', { b: { N: '1' } })
      await transact(bench, [
        {
          Update: {
            TableName,
            Key: key(bench, '1'),
            UpdateExpression: 'SET a = b ADD b :v',
            ExpressionAttributeValues: one,
          },
        },
      ])
      return await get(bench, '1')
    },
    'update: of a new item, with its key': updatingOf(undefined, 'SET a = Trial'),
    'update: does not fit, and its condition fails': (bench) =>
      update(bench, '1', {
        UpdateExpression: 'SET a = nowhere',
        ConditionExpression: 'attribute_exists(ID)',
      }),
    'update: minus below zero': updatingOf({ a: { N: '0.5' } }, 'SET a = a - :v', { ':v': { N: '100.25' } }),
    'update: plus of a whole number and a fraction': updatingOf({ a: { N: '-10' } }, 'SET a = :v + a', {
      ':v': { N: '0.125' },
    }),
  }
}

/** An index means the element that was there before the update. */
function listElements(): Record<string, Case> {
  const l: AttributeValue = { L: ['0', '1', '2', '3', '4'].map((N) => ({ N })) }
  const value: Item = { ':v': { S: 'new' } }
  return {
    'update: REMOVE two elements': updatingOf({ l }, 'REMOVE l[0], l[2]'),
    'update: REMOVE two elements, last one first': updatingOf({ l }, 'REMOVE l[2], l[0]'),
    'update: REMOVE and SET of elements': updatingOf({ l }, 'REMOVE l[1] SET l[3] = :v', value),
    'update: SET and REMOVE of elements': updatingOf({ l }, 'SET l[3] = :v REMOVE l[1], l[4]', value),
    'update: REMOVE of an element and SET beyond the end': updatingOf(
      { l },
      'REMOVE l[1] SET l[9] = :v',
      value,
    ),
    'update: SET two elements beyond the end': updatingOf({ l }, 'SET l[9] = :v, l[7] = :w', {
      ...value,
      ':w': { S: 'first' },
    }),
    'update: REMOVE two elements of a list inside of a map': updatingOf(
      { m: { M: { l } } },
      'REMOVE m.l[0], m.l[1]',
    ),
    'update: REMOVE an element and one inside of another': updatingOf(
      { k: { L: [l, l] } },
      'REMOVE k[0], k[1][1], k[1][3]',
    ),
    'update: REMOVE all elements': updatingOf({ l: { L: [{ N: '0' }, { N: '1' }] } }, 'REMOVE l[0], l[1]'),
    'update: REMOVE an element beyond the end': updatingOf({ l }, 'REMOVE l[0], l[9]'),
    'update: REMOVE an element of a map': updatingOf({ m: { M: { a: { N: '0' } } } }, 'REMOVE m[0]'),
    'update: DELETE all of a set inside of a list': updatingOf(
      { k: { L: [{ SS: ['a'] }, { N: '1' }, { N: '2' }] } },
      'DELETE k[0] :set SET k[2] = :v',
      { ...value, ':set': { SS: ['a'] } },
    ),
    'update: ADD inside of a list': updatingOf({ l }, 'ADD l[4] :v REMOVE l[0]', { ':v': { N: '1' } }),
  }
}

/** Maps, lists and sets are equal when what they hold is. */
function equalities(): Record<string, Case> {
  const map: AttributeValue = { M: { a: { N: '1' }, b: { L: [{ S: 'x' }, { M: {} }] } } }
  const sameMap: AttributeValue = { M: { b: { L: [{ S: 'x' }, { M: {} }] }, a: { N: '1' } } }
  const stored: Item = { x: map, y: { L: [map, { SS: ['a', 'b'] }, { NS: ['1', '2'] }] }, z: map }
  const check = (expression: string, value?: AttributeValue): Case =>
    conditionOn(stored, expression, value && { ':v': value })
  return {
    'condition: equal map in other order': check('x = :v', sameMap),
    'condition: equal map is not unequal': check('x <> :v', sameMap),
    'condition: equal map with a number in other spelling': check('x = :v', {
      M: { a: { N: '1.0' }, b: { L: [{ S: 'x' }, { M: {} }] } },
    }),
    'condition: map with a further member': check('x = :v', { M: { ...map.M, c: { N: '1' } } }),
    'condition: map with a member less': check('x = :v', { M: { a: { N: '1' } } }),
    'condition: map with another member': check('x = :v', { M: { ...map.M, a: { S: '1' } } }),
    'condition: map in': check('x IN (:v)', sameMap),
    'condition: map equal to another attribute': check('x = z'),
    'condition: list that contains a map': check('contains(y, :v)', sameMap),
    'condition: list that contains no such map': check('contains(y, :v)', { M: {} }),
    'condition: list that contains a set': check('contains(y, :v)', { SS: ['b', 'a'] }),
    'condition: equal sets inside of a list': check('y = :v', {
      L: [sameMap, { SS: ['b', 'a'] }, { NS: ['2.0', '1'] }],
    }),
    'condition: list in another order': check('y = :v', {
      L: [{ SS: ['a', 'b'] }, map, { NS: ['1', '2'] }],
    }),
    'condition: shorter list': check('y = :v', { L: [map] }),
    'condition: part of a set': check('y[1] = :v', { SS: ['a'] }),
    'condition: set of as many others': check('y[1] = :v', { SS: ['a', 'c'] }),
    'condition: set and number set': check('y[1] <> :v', { NS: ['1', '2'] }),
    'condition: two missing attributes are equal': check('nowhere = lost'),
    'condition: two missing attributes are unequal': check('nowhere <> lost'),
    'filter: equal map': async (bench) => {
      await put(bench, '1', { x: map })
      await put(bench, '2', { x: { M: {} } })
      await put(bench, '3')
      const values = { ExpressionAttributeValues: { ':v': sameMap } }
      return [
        await query(bench, { FilterExpression: 'x = :v', ...values }),
        await query(bench, { FilterExpression: 'x <> :v', ...values, ProjectionExpression: 'Trial' }),
        await query(bench, { FilterExpression: 'x = :v', ...values, Select: 'COUNT' }),
        await query(bench, { FilterExpression: 'x <> :v', ...values, Limit: 2 }),
      ]
    },
    'filter: old QueryFilter': async (bench) => {
      await put(bench, '1', { a: { N: '1' } })
      await put(bench, '2', { a: { N: '2' }, b: { S: 'x' } })
      const compared = (value: string): object => ({
        ComparisonOperator: 'EQ',
        AttributeValueList: [{ N: value }],
      })
      const old = async (QueryFilter: object, more: object = {}): Promise<unknown> =>
        await bench.client.send(
          new QueryCommand({
            TableName,
            KeyConditions: { ID: { ComparisonOperator: 'EQ', AttributeValueList: [{ S: bench.id }] } },
            QueryFilter: QueryFilter as never,
            ...more,
          }),
        )
      return [
        await old({ a: compared('2.0') }),
        await old({ a: compared('1'), b: { ComparisonOperator: 'NOT_NULL' } }),
        await old(
          { a: compared('1'), b: { ComparisonOperator: 'NOT_NULL' } },
          { ConditionalOperator: 'OR', AttributesToGet: ['a'] },
        ),
        await old({ b: { ComparisonOperator: 'NE', AttributeValueList: [{ S: 'y' }] } }),
        await old({ b: { ComparisonOperator: 'NOT_CONTAINS', AttributeValueList: [{ S: 'y' }] } }),
      ]
    },
    'put: old Expected of a map': async (bench) => {
      await put(bench, '1', { x: map })
      await put(bench, '1', { x: map, y: map }, { Expected: { x: { Value: sameMap } } })
      await put(bench, '1', {}, { Expected: { x: { Value: { M: {} }, Exists: true } } })
    },
  }
}

/** Texts and binaries have the order of their bytes. */
function orders(): Record<string, Case> {
  const stored: Item = {
    x: { S: '\u{10000}' },
    y: { B: Uint8Array.of(0x80) },
    noText: { S: '' },
    noBytes: { B: new Uint8Array() },
    t: { BOOL: true },
    f: { BOOL: false },
  }
  const check = (expression: string, value?: AttributeValue): Case =>
    conditionOn(stored, expression, value && { ':v': value })
  return {
    'condition: text above another by its bytes': check('x > :v', { S: '\uffff' }),
    'condition: text not below another by its bytes': check('x < :v', { S: '\uffff' }),
    'condition: text at most itself': check('x <= :v', { S: '\u{10000}' }),
    'condition: between texts': conditionOn(stored, 'x BETWEEN :a AND :b', {
      ':a': { S: '\uffff' },
      ':b': { S: '\u{10001}' },
    }),
    'condition: between texts in no order': conditionOn(stored, 'x BETWEEN :a AND :b', {
      ':a': { S: '\u{10001}' },
      ':b': { S: '\uffff' },
    }),
    'condition: binary above another': check('y > :v', { B: Uint8Array.of(0x7f) }),
    'condition: binary begins with': check('begins_with(y, :v)', { B: Uint8Array.of(0x81) }),
    'condition: binary contains': check('contains(y, :v)', { B: Uint8Array.of(0x81) }),
    'condition: text below a number': check('x < :v', { N: '1' }),
    'condition: bool below another': check('f < t'),
    'condition: missing at most missing': check('nowhere <= lost'),
    'condition: size of an empty text': check('size(noText) = :v', { N: '0' }),
    'condition: size of an empty binary': check('size(noBytes) = :v', { N: '0' }),
    'condition: size of a bool': check('size(t) > :v', { N: '0' }),
    'condition: size of a missing attribute': check('size(nowhere) <> :v', { N: '0' }),
    'condition: text contains the empty one': check('contains(x, noText)'),
    'condition: text begins with the empty one': check('begins_with(x, noText)'),
  }
}

/** Attributes may be named as members that every JavaScript object has. */
function namesOfTheLanguage(): Record<string, Case> {
  const cases: Record<string, Case> = {}
  for (const name of ['constructor', 'valueOf', 'toString']) {
    const names = { '#c': name }
    for (const [where, stored] of Object.entries({ 'a new item': undefined, 'an item': { a: { N: '1' } } })) {
      cases[`update: if_not_exists of ${name} in ${where}`] = updatingOf(
        stored,
        'SET #c = if_not_exists(#c, :v)',
        { ':v': { N: '1' } },
        names,
      )
      cases[`update: ADD to ${name} in ${where}`] = updatingOf(
        stored,
        'ADD #c :v',
        { ':v': { N: '1' } },
        names,
      )
      cases[`update: copy of ${name} in ${where}`] = updatingOf(stored, 'SET b = #c', undefined, names)
    }
  }
  return cases
}

function queries(): Record<string, Case> {
  async function fill(bench: Bench): Promise<void> {
    for (const trial of [
      '00001',
      '00002',
      'Failed#00003',
      'Success#00001',
      'Success#00002',
      'Success#00010',
    ]) {
      await put(bench, trial, { n: { N: String(trial.length) }, even: { BOOL: trial.endsWith('2') } })
    }
  }
  function over(more: object): Case {
    return async (bench) => {
      await fill(bench)
      return await query(bench, more)
    }
  }
  function range(expression: string, values: Item): Case {
    return over({ KeyConditionExpression: `ID = :id AND ${expression}`, ExpressionAttributeValues: values })
  }
  return {
    'query: a partition': over({}),
    'query: nothing there': (bench) => query(bench),
    'query: backwards': over({ ScanIndexForward: false }),
    'query: limit': over({ Limit: 2 }),
    'query: limit backwards': over({ Limit: 2, ScanIndexForward: false }),
    'query: limit of exactly all': over({ Limit: 6 }),
    'query: limit beyond all': over({ Limit: 7 }),
    'query: limit zero': over({ Limit: 0 }),
    'query: sort key equal': range('Trial = :a', { ':a': { S: '00002' } }),
    'query: sort key less': range('Trial < :a', { ':a': { S: '00002' } }),
    'query: sort key at most': range('Trial <= :a', { ':a': { S: '00002' } }),
    'query: sort key greater': range('Trial > :a', { ':a': { S: 'Success#00001' } }),
    'query: sort key at least': range('Trial >= :a', { ':a': { S: 'Success#00001' } }),
    'query: sort key between': range('Trial BETWEEN :a AND :b', {
      ':a': { S: 'Success#00001' },
      ':b': { S: 'Success#00002' },
    }),
    'query: sort key between, bounds swapped': range('Trial BETWEEN :a AND :b', {
      ':a': { S: 'b' },
      ':b': { S: 'a' },
    }),
    'query: sort key begins_with': range('begins_with(Trial, :a)', { ':a': { S: 'Success#' } }),
    'query: sort key begins_with part of a character': range('begins_with(Trial, :a)', {
      ':a': { S: 'Succ' },
    }),
    'query: filter': over({
      FilterExpression: 'even = :t',
      ExpressionAttributeValues: { ':t': { BOOL: true } },
    }),
    'query: filter and limit': over({
      Limit: 3,
      FilterExpression: 'even = :t',
      ExpressionAttributeValues: { ':t': { BOOL: true } },
    }),
    'query: filter on a key': over({
      FilterExpression: 'Trial = :t',
      ExpressionAttributeValues: { ':t': { S: '1' } },
    }),
    'query: count': over({ Select: 'COUNT' }),
    'query: projection': over({ ProjectionExpression: 'Trial, n' }),
    'query: consumed capacity': over({ ReturnConsumedCapacity: 'TOTAL' }),
    'query: no hash key': over({ KeyConditionExpression: 'Trial = :id' }),
    'query: hash key by other means than equality': over({ KeyConditionExpression: 'ID > :id' }),
    'query: sort key IN': range('Trial IN (:a)', { ':a': { S: '1' } }),
    'query: sort key of the wrong type': range('Trial = :a', { ':a': { N: '1' } }),
    'query: no condition': (bench) => bench.client.send(new QueryCommand({ TableName })),
    'query: no such table': (bench) => query(bench, { TableName: 'missing' }),
    'query: index that is not there': over({ IndexName: 'missing', ConsistentRead: false }),
    'query: all pages': async (bench) => {
      await fill(bench)
      const pages: unknown[] = []
      let start: unknown
      do {
        const page = (await query(bench, {
          Limit: 4,
          ...(start !== undefined && { ExclusiveStartKey: start }),
        })) as {
          LastEvaluatedKey?: unknown
        }
        pages.push(page)
        start = page.LastEvaluatedKey
      } while (start !== undefined)
      return pages
    },
    'query: a page of one megabyte': async (bench) => {
      for (let trial = 0; trial < 4; trial += 1)
        await put(bench, String(trial), { a: { S: 'x'.repeat(390_000) } })
      const page = (await query(bench)) as { Count?: number; LastEvaluatedKey?: unknown }
      return [page.Count, page.LastEvaluatedKey]
    },
    'query: sort keys in byte order': async (bench) => {
      for (const trial of ['a', 'B', 'é', 'z', '漢', '😀', '～', 'a/', 'a~', 'a#', 'aa'])
        await put(bench, trial)
      return await all(bench)
    },
    'query: a partition that begins as another one': async (bench) => {
      await put(bench, '1')
      await put({ ...bench, id: `${bench.id}x` }, '1')
      return await all(bench)
    },
    'scan: filter': async (bench) => {
      await put(bench, '1', { mark: { S: bench.id } })
      const command = new ScanCommand({
        TableName,
        FilterExpression: 'mark = :m',
        ExpressionAttributeValues: { ':m': { S: bench.id } },
      })
      return (await bench.client.send(command)).Items
    },
    'scan: segments': async (bench) => {
      await put(bench, '1')
      return await bench.client.send(new ScanCommand({ TableName, Segment: 3, TotalSegments: 2 }))
    },
  }
}

function batches(): Record<string, Case> {
  return {
    'batch write: puts and deletes': async (bench) => {
      await put(bench, '1')
      const requests = [
        { DeleteRequest: { Key: key(bench, '1') } },
        { PutRequest: { Item: item(bench, '2') } },
      ]
      const result = await bench.client.send(
        new BatchWriteItemCommand({ RequestItems: { [TableName]: requests } }),
      )
      return [result, await all(bench)]
    },
    'batch write: one item twice': async (bench) => {
      const requests = [
        { PutRequest: { Item: item(bench, '2') } },
        { PutRequest: { Item: item(bench, '2') } },
      ]
      return await bench.client.send(new BatchWriteItemCommand({ RequestItems: { [TableName]: requests } }))
    },
    'batch write: nothing': (bench) => bench.client.send(new BatchWriteItemCommand({ RequestItems: {} })),
    'batch write: 26 items': async (bench) => {
      const requests = Array.from({ length: 26 }, (_, index) => ({
        PutRequest: { Item: item(bench, String(index)) },
      }))
      return await bench.client.send(new BatchWriteItemCommand({ RequestItems: { [TableName]: requests } }))
    },
    'batch write: a bad number writes nothing': async (bench) => {
      const requests = [
        { PutRequest: { Item: item(bench, '1') } },
        { PutRequest: { Item: item(bench, '2', { n: { N: '1e999' } }) } },
      ]
      return await bench.client.send(new BatchWriteItemCommand({ RequestItems: { [TableName]: requests } }))
    },
    'batch get': async (bench) => {
      await put(bench, '1')
      const Keys = [key(bench, '1'), key(bench, '2')]
      return await bench.client.send(new BatchGetItemCommand({ RequestItems: { [TableName]: { Keys } } }))
    },
    'batch get: one key twice': async (bench) => {
      const Keys = [key(bench, '1'), key(bench, '1')]
      return await bench.client.send(new BatchGetItemCommand({ RequestItems: { [TableName]: { Keys } } }))
    },
  }
}

function transactions(): Record<string, Case> {
  const fresh = 'attribute_not_exists(ID)'
  const putOf = (
    bench: Bench,
    trial: string,
    attributes: Item = {},
    more: object = {},
  ): TransactWriteItem => ({
    Put: { TableName, Item: item(bench, trial, attributes), ...more },
  })
  return {
    'transaction: result and flag': async (bench) => {
      const items = [
        putOf(bench, 'Success#1', { Value: { N: '1.50' } }),
        putOf(bench, '1', {}, { ConditionExpression: fresh }),
      ]
      return [await transact(bench, items), await all(bench)]
    },
    'transaction: the flag is there': async (bench) => {
      await put(bench, '1')
      const items = [putOf(bench, 'Success#1'), putOf(bench, '1', {}, { ConditionExpression: fresh })]
      await transact(bench, items)
    },
    'transaction: nothing is written when one fails': async (bench) => {
      await put(bench, '1')
      const items = [putOf(bench, 'Success#1'), putOf(bench, '1', {}, { ConditionExpression: fresh })]
      await transact(bench, items).catch(() => undefined)
      return await all(bench)
    },
    'transaction: the old item in the reason': async (bench) => {
      await put(bench, '1', { a: { N: '1' } })
      await transact(bench, [
        putOf(bench, '0'),
        putOf(bench, '1', {}, { ConditionExpression: fresh, ReturnValuesOnConditionCheckFailure: 'ALL_OLD' }),
      ])
    },
    'transaction: several reasons': async (bench) => {
      await put(bench, '1')
      await put(bench, '3')
      await transact(bench, [
        putOf(bench, '1', {}, { ConditionExpression: fresh }),
        putOf(bench, '2', {}, { ConditionExpression: fresh }),
        putOf(bench, '3', {}, { ConditionExpression: fresh }),
      ])
    },
    'transaction: all four kinds': async (bench) => {
      await put(bench, '1', { n: { N: '1' } })
      await put(bench, '2')
      await put(bench, '3')
      const values = { ':v': { N: '2' } }
      const result = await transact(bench, [
        {
          Update: {
            TableName,
            Key: key(bench, '1'),
            UpdateExpression: 'ADD n :v',
            ExpressionAttributeValues: values,
          },
        },
        { Delete: { TableName, Key: key(bench, '2') } },
        { ConditionCheck: { TableName, Key: key(bench, '3'), ConditionExpression: 'attribute_exists(ID)' } },
        putOf(bench, '4'),
      ])
      return [result, await all(bench)]
    },
    'transaction: a check creates nothing': async (bench) => {
      await transact(bench, [
        { ConditionCheck: { TableName, Key: key(bench, '1'), ConditionExpression: fresh } },
        putOf(bench, '2'),
      ])
      return await all(bench)
    },
    'transaction: a check fails': async (bench) => {
      await transact(bench, [
        { ConditionCheck: { TableName, Key: key(bench, '1'), ConditionExpression: 'attribute_exists(ID)' } },
        putOf(bench, '2'),
      ])
    },
    'transaction: conditions see the state before': async (bench) => {
      await put(bench, '1', { n: { N: '1' } })
      const one = { ':v': { N: '1' } }
      const result = await transact(bench, [
        {
          Update: {
            TableName,
            Key: key(bench, '1'),
            UpdateExpression: 'SET n = n + :v',
            ConditionExpression: 'n = :v',
            ExpressionAttributeValues: one,
          },
        },
        {
          Update: {
            TableName,
            Key: key(bench, '2'),
            UpdateExpression: 'SET n = :v',
            ExpressionAttributeValues: one,
          },
        },
      ])
      return [result, await all(bench)]
    },
    'transaction: one item twice': (bench) => transact(bench, [putOf(bench, '1'), putOf(bench, '1')]),
    'transaction: one item checked and written': (bench) =>
      transact(bench, [
        { ConditionCheck: { TableName, Key: key(bench, '1'), ConditionExpression: fresh } },
        putOf(bench, '1'),
      ]),
    'transaction: 100 items': async (bench) => {
      const items = Array.from({ length: 100 }, (_, index) => putOf(bench, String(index)))
      await transact(bench, items)
      return ((await query(bench, { Select: 'COUNT' })) as { Count?: number }).Count
    },
    'transaction: 101 items': async (bench) => {
      await transact(
        bench,
        Array.from({ length: 101 }, (_, index) => putOf(bench, String(index))),
      )
    },
    'transaction: no items': (bench) => transact(bench, []),
    'transaction: more than 4 MB': async (bench) => {
      const big = { a: { S: 'x'.repeat(400_000) } }
      await transact(
        bench,
        Array.from({ length: 12 }, (_, index) => putOf(bench, String(index), big)),
      )
    },
    'transaction: an entry with two operations': (bench) =>
      transact(bench, [{ ...putOf(bench, '1'), Delete: { TableName, Key: key(bench, '2') } }]),
    'transaction: an entry without operation': (bench) => transact(bench, [{}]),
    'transaction: a check without condition': (bench) =>
      transact(bench, [
        {
          ConditionCheck: {
            TableName,
            Key: key(bench, '1'),
            ConditionExpression: undefined as unknown as string,
          },
        },
      ]),
    'transaction: a bad number': (bench) =>
      transact(bench, [putOf(bench, '1'), putOf(bench, '2', { n: { N: 'x' } })]),
    'transaction: 39 digits': (bench) =>
      transact(bench, [putOf(bench, '1', { n: { N: '123456789012345678901234567890123456789' } })]),
    'transaction: an item that is too large': (bench) =>
      transact(bench, [putOf(bench, '1'), putOf(bench, '2', { a: { S: 'x'.repeat(409_600) } })]),
    'transaction: a missing key': (bench) =>
      transact(bench, [putOf(bench, '1'), { Put: { TableName, Item: { ID: { S: bench.id } } } }]),
    'transaction: a key of the wrong type': (bench) =>
      transact(bench, [
        putOf(bench, '1'),
        { Delete: { TableName, Key: { ID: { S: bench.id }, Trial: { N: '1' } } } },
      ]),
    'transaction: no such table': (bench) =>
      transact(bench, [putOf(bench, '1'), { Put: { TableName: 'missing', Item: item(bench, '1') } }]),
    'transaction: a syntax error': (bench) =>
      transact(bench, [putOf(bench, '1'), putOf(bench, '2', {}, { ConditionExpression: 'a = = b' })]),
    'transaction: an update that does not fit the item': async (bench) => {
      await put(bench, '1', { s: { S: 'text' } })
      await transact(bench, [
        putOf(bench, '2'),
        {
          Update: {
            TableName,
            Key: key(bench, '1'),
            UpdateExpression: 'ADD s :v',
            ExpressionAttributeValues: { ':v': { N: '1' } },
          },
        },
      ])
    },
    'transaction: an update of the key': (bench) =>
      transact(bench, [
        {
          Update: {
            TableName,
            Key: key(bench, '1'),
            UpdateExpression: 'SET Trial = :v',
            ExpressionAttributeValues: { ':v': { S: '1' } },
          },
        },
      ]),
    'transaction: the same token again': async (bench) => {
      const token = { ClientRequestToken: bench.id.slice(-36) }
      const items = [putOf(bench, '1', {}, { ConditionExpression: fresh })]
      await transact(bench, items, token)
      return [await transact(bench, items, token), await all(bench)]
    },
    'transaction: the same token for something else': async (bench) => {
      const token = { ClientRequestToken: bench.id.slice(-36) }
      await transact(bench, [putOf(bench, '1')], token)
      await transact(bench, [putOf(bench, '2')], token)
    },
    'transaction: a token that is too long': (bench) =>
      transact(bench, [putOf(bench, '1')], { ClientRequestToken: 'x'.repeat(37) }),
    'transaction: the same token after a failure': async (bench) => {
      const token = { ClientRequestToken: bench.id.slice(-36) }
      await put(bench, '1')
      const items = [putOf(bench, '1', {}, { ConditionExpression: fresh })]
      await transact(bench, items, token).catch(() => undefined)
      await remove(bench, '1')
      return [await transact(bench, items, token), await all(bench)]
    },
    'transactional get': async (bench) => {
      await put(bench, '1', { a: { N: '1' }, b: { N: '2' } })
      return await bench.client.send(
        new TransactGetItemsCommand({
          TransactItems: [
            { Get: { TableName, Key: key(bench, '1') } },
            { Get: { TableName, Key: key(bench, '2') } },
            { Get: { TableName, Key: key(bench, '3'), ProjectionExpression: 'a' } },
          ],
        }),
      )
    },
    'transactional get: projection': async (bench) => {
      await put(bench, '1', { a: { N: '1' }, b: { N: '2' } })
      return await bench.client.send(
        new TransactGetItemsCommand({
          TransactItems: [{ Get: { TableName, Key: key(bench, '1'), ProjectionExpression: 'a' } }],
        }),
      )
    },
    'transactional get: one key twice': (bench) =>
      bench.client.send(
        new TransactGetItemsCommand({
          TransactItems: [
            { Get: { TableName, Key: key(bench, '1') } },
            { Get: { TableName, Key: key(bench, '1') } },
          ],
        }),
      ),
    'transactional get: no such table': (bench) =>
      bench.client.send(
        new TransactGetItemsCommand({
          TransactItems: [{ Get: { TableName: 'missing', Key: key(bench, '1') } }],
        }),
      ),
  }
}
