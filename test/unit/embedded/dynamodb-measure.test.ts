import { expect, test } from 'vitest'
import { findUnstorable, itemBytes } from '../../../src/embedded/dynamodb/measure.ts'
import { findUnsafe, jsonDepth } from '../../../src/embedded/dynamodb/request-limits.ts'

test.each([
  [{}, 0],
  [{ ab: { S: 'é' } }, 4],
  [{ a: { N: '0' } }, 2],
  [{ a: { N: '-12.50' } }, 5],
  [{ a: { BOOL: false }, b: { NULL: true } }, 4],
  [{ a: { B: 'AAECAw==' } }, 5],
  [{ a: { SS: ['x', 'yy'] } }, 4],
  [{ a: { L: [{ S: 'x' }, { L: [] }] } }, 10],
  [{ a: { M: { b: { S: 'x' } } } }, 7],
])('the size of %j is %i bytes', (item, bytes) => {
  expect(itemBytes(item)).toBe(bytes)
})

test.each([
  ['9'.repeat(38), undefined],
  [`1${'0'.repeat(125)}`, undefined],
  [`0.${'0'.repeat(129)}1`, undefined],
  ['-0.5', undefined],
  ['0', undefined],
  [`1${'0'.repeat(37)}1`, 'digits'],
  [`-1${'0'.repeat(126)}`, 'overflow'],
  [`0.${'0'.repeat(130)}1`, 'underflow'],
])('the number %s can be stored: %s', (digits, problem) => {
  const found = findUnstorable({ a: { M: { b: { L: [{ N: digits }] } } } })
  if (problem === undefined) expect(found).toBeUndefined()
  else expect(found).toContain(problem)
})

test('empty names and deep nesting can not be stored', () => {
  const nested = (levels: number): object => (levels === 0 ? { S: 'x' } : { L: [nested(levels - 1)] })
  expect(findUnstorable({ a: nested(31) })).toBeUndefined()
  expect(findUnstorable({ a: nested(32) })).toContain('Nesting')
  expect(findUnstorable({ a: { L: [{ M: { '': { S: 'x' } } }] } })).toContain('Empty attribute name')
})

test('the depth of JSON is looked for only as far as needed', () => {
  const deep = JSON.parse('['.repeat(100_000) + ']'.repeat(100_000)) as unknown
  expect(jsonDepth(deep, 50)).toBe(51)
  expect(jsonDepth({ a: [1, { b: 2 }] }, 50)).toBe(3)
})

test('requests that dynalite could not bear are found', () => {
  expect(findUnsafe(JSON.parse('{"a": [{"__proto__": 1}]}') as never)?.code).toBe('ValidationException')
  expect(findUnsafe({ a: [{ constructor: 1 }] })).toBeUndefined()
  const condition = (levels: number): object => ({
    TransactItems: [{ Put: { ConditionExpression: `${'('.repeat(levels)}a = b${')'.repeat(levels)}` } }],
  })
  expect(findUnsafe({ ...condition(12) })).toBeUndefined()
  expect(findUnsafe({ ...condition(13) })?.message).toContain('ConditionExpression')
})
