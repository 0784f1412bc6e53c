import { describe, expect, test } from 'vitest'
import { JobError, PoisonError } from '../../../src/core/errors.ts'
import { parseJson, type Json } from '../../../src/core/json.ts'
import { fromAttribute, toAttribute } from '../../../src/stores/dynamodb/attributes.ts'
import { assertKey, assertStorable, itemBytes } from '../../../src/stores/dynamodb/item-checks.ts'

const KEY = { ID: 'x', Trial: 'y' }

function refusal(value: Json): string {
  try {
    assertStorable({ ...KEY, Info: value })
  } catch (error) {
    if (error instanceof JobError && error.code === 'unstorable_result') return error.publicMessage
    throw error
  }
  return 'fits'
}

describe("sizes by DynamoDB's rules", () => {
  // As found by trying how large an item Amazon's own DynamoDB Local takes beside each of these.
  test.each([
    ['null', 1],
    ['true', 1],
    ['0', 1],
    ['10', 2],
    ['12', 2],
    ['123', 3],
    ['-1', 3],
    ['-123', 4],
    ['0.1', 2],
    ['1.1', 3],
    ['1'.repeat(38), 20],
    [`-${'1'.repeat(38)}`, 21],
    ['[]', 3],
    ['{}', 3],
    ['[1]', 6],
    ['[1, 1]', 9],
    ['{"a": 1}', 7],
    ['["abc"]', 7],
    ['[[]]', 7],
    ['"é"', 2],
    ['"😀"', 4],
  ])('%s takes %i bytes', (text, bytes) => {
    expect(itemBytes({ n: parseJson(text) })).toBe(1 + bytes)
  })
})

describe("what the table can't hold", () => {
  test('400 KB and not one byte more', () => {
    const room = 409_600 - itemBytes({ ...KEY, Info: '' })
    expect(refusal('x'.repeat(room))).toBe('fits')
    expect(refusal('x'.repeat(room + 1))).toBe(
      'result cannot be stored: it takes 409601 bytes, and the table holds at most 409600 in one item',
    )
  })

  test.each(['[', '{"a":'])('nesting by %j', (opening) => {
    const closing = opening === '[' ? ']' : '}'
    expect(refusal(parseJson(`${opening.repeat(31)}1${closing.repeat(31)}`))).toBe('fits')
    expect(refusal(parseJson(`${opening.repeat(32)}1${closing.repeat(32)}`))).toBe(
      'result cannot be stored: it is nested deeper than 31 levels',
    )
    expect(refusal(parseJson(`${opening.repeat(1000)}1${closing.repeat(1000)}`))).toMatch(/nested deeper/)
  })

  test('empty and endless keys, wherever they are', () => {
    expect(refusal(parseJson('{"a": [{"": 1}]}'))).toBe(
      'result cannot be stored: an object in it has an empty key',
    )
    expect(refusal(new Map([['k'.repeat(70_000), null]]))).toMatch(/a key longer than 65535 bytes/)
  })

  test('keys of items come from messages', () => {
    expect(() => {
      assertKey(KEY)
    }).not.toThrow()
    expect(() => {
      assertKey({ ID: 'é'.repeat(1024), Trial: 'y'.repeat(1024) })
    }).not.toThrow()
    for (const key of [
      { ID: '', Trial: 'y' },
      { ID: 'x', Trial: '' },
      { ID: 'é'.repeat(1025), Trial: 'y' },
      { ID: 'x', Trial: 'y'.repeat(1025) },
      { ID: '\ud800', Trial: 'y' },
    ]) {
      expect(() => {
        assertKey(key)
      }).toThrow(PoisonError)
    }
  })
})

describe('attribute values', () => {
  test('one for each sort of JSON', () => {
    const value = parseJson('{"a": [1e22, -0, NaN, true, null, "é"], "__proto__": {}, "b": "\\ud800"}')
    const attribute = toAttribute(value)
    expect(attribute).toEqual({
      M: Object.fromEntries([
        [
          'a',
          {
            L: [
              { N: '10000000000000000000000' },
              { N: '0' },
              { NULL: true },
              { BOOL: true },
              { NULL: true },
              { S: 'é' },
            ],
          },
        ],
        ['__proto__', { M: {} }],
        ['b', { S: '\ufffd' }],
      ]),
    })
    expect(fromAttribute(attribute)).toEqual(
      parseJson('{"a": [10000000000000000000000, 0, null, true, null, "é"], "__proto__": {}, "b": "\ufffd"}'),
    )
  })

  test('of what others may have written something readable is made', () => {
    expect(fromAttribute({ SS: ['a', 'b'] })).toEqual(['a', 'b'])
    expect(fromAttribute({ NS: ['1', '+.5'] })).toEqual(parseJson('[1, 0.5]'))
    expect(fromAttribute({ B: Uint8Array.of(1, 2, 3) })).toBe('AQID')
    expect(fromAttribute({ BS: [Uint8Array.of(255)] })).toEqual(['/w=='])
  })
})
