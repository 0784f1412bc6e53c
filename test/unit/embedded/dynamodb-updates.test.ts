import { expect, test } from 'vitest'
import { applyUpdate, type Clause } from '../../../src/embedded/dynamodb/updates.ts'

const set = (path: Clause['path'], val: unknown): Clause => ({ type: 'set', path, val })
const remove = (...path: (string | number)[]): Clause => ({ type: 'remove', path })
const listOf = (...numbers: number[]): object => ({ L: numbers.map((n) => ({ N: String(n) })) })

test('an operand is a value from before the update, and is copied', () => {
  const item = { b: { N: '1' }, l: listOf(0, 1), m: { M: { a: { N: '1' } } } }
  const clauses: Clause[] = [
    set(['a'], ['b']),
    { type: 'add', path: ['b'], val: { N: '1' } },
    set(['k'], ['l']),
    remove('l', 0),
    set(['n'], ['m']),
    set(['m', 'a'], { S: 'new' }),
  ]
  expect({ ...applyUpdate(clauses, item) }).toEqual({
    a: { N: '1' },
    b: { N: '2' },
    k: listOf(0, 1),
    l: listOf(1),
    n: { M: { a: { N: '1' } } },
    m: { M: { a: { S: 'new' } } },
  })
  expect(item).toEqual({ b: { N: '1' }, l: listOf(0, 1), m: { M: { a: { N: '1' } } } })
})

test('an index means the element that was there before the update', () => {
  const clauses = [
    remove('l', 0),
    set(['l', 3], { N: '33' }),
    remove('l', 2),
    set(['l', 4_000_000_000], { N: '5' }),
  ]
  expect(applyUpdate(clauses, { l: listOf(0, 1, 2, 3, 4) })['l']).toEqual(listOf(1, 33, 4, 5))
})

test.each([
  ['add', '0.1', '0.2', '0.3'],
  ['add', '99.75', '0.250', '100'],
  ['add', '-0.05', '0.05', '0'],
  ['subtract', '0.5', '100.25', '-99.75'],
  ['subtract', '9007199254740993', '0.000000001', '9007199254740992.999999999'],
])('%s %s and %s makes %s', (type, a, b, result) => {
  const clause = set(['n'], { type, args: [{ N: a }, ['b']] })
  expect(applyUpdate([clause], { b: { N: b } })['n']).toEqual({ N: result })
})

test.each([
  ['a missing operand', set(['a'], ['missing'])],
  ['a missing map', set(['missing', 'a'], { N: '1' })],
  ['an index of a map', remove('m', 0)],
  ['a member of a list', remove('l', 'a')],
  ['text plus a number', { type: 'add', path: ['s'], val: { N: '1' } } satisfies Clause],
  ['a list after a text', set(['a'], { type: 'function', name: 'list_append', args: [['s'], ['l']] })],
])('%s is refused', (_, clause) => {
  const item = { m: { M: {} }, l: listOf(0), s: { S: 'text' } }
  expect(() => applyUpdate([clause], item)).toThrow(expect.objectContaining({ code: 'ValidationException' }))
})

test('an item has only its own attributes', () => {
  const clause = set(['constructor'], {
    type: 'function',
    name: 'if_not_exists',
    args: [['constructor'], { N: '1' }],
  })
  expect(Object.entries(applyUpdate([clause], {}))).toEqual([['constructor', { N: '1' }]])
})
