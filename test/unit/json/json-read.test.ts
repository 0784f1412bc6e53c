import { describe, expect, test } from 'vitest'
import { ExactNumber } from '../../../src/core/exact-number.ts'
import {
  formatJson,
  formatPythonJson,
  fromPlain,
  isJsonArray,
  isJsonObject,
  JsonSyntaxError,
  MAX_DEPTH,
  parseJson,
  toPlain,
  type Json,
} from '../../../src/core/json.ts'
import { askPython, describeWithPython } from './python.ts'
import { createRandom, type Random } from './random.ts'

describe('parseJson', () => {
  test('keeps every digit', () => {
    const value = parseJson('[1e22, 0.1, 12345678901234567890, -1.5e-300, 1.00]')
    expect(isJsonArray(value) && value.map(String)).toEqual([
      '1e22',
      '0.1',
      '12345678901234567890',
      '-1.5e-300',
      '1.00',
    ])
  })

  test('keys of foreign objects are only keys', () => {
    const value = parseJson('{"__proto__": {"polluted": 1}, "constructor": 2, "": 3, "a": 4, "a": 5}')
    expect(isJsonObject(value) && [...value.keys()]).toEqual(['__proto__', 'constructor', '', 'a'])
    expect(isJsonObject(value) && formatJson(value.get('a') ?? null)).toBe('5')
    const plain = toPlain(value) as Record<string, unknown>
    expect(Object.keys(plain)).toContain('__proto__')
    expect(plain['polluted']).toBeUndefined()
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  test.each([
    ['', 'expected a value, found the end at character 1'],
    ['  ', 'expected a value, found the end at character 3'],
    ['{"a": 1', 'expected "," or "}" at character 8'],
    ['{"a" 1}', 'expected ":" after a key at character 6'],
    ['{a: 1}', 'expected a key in double quotes at character 2'],
    ['[1, 2,]', 'expected a value at character 7'],
    ['[1 2]', 'expected "," or "]" at character 4'],
    ['"abc', 'string without an end that starts at character 1'],
    ['"a\tb"', 'control character in a string at character 3'],
    ['"\\x41"', 'invalid escape at character 2'],
    ['"\\u12g4"', 'invalid \\u escape at character 2'],
    ['"\\', 'invalid escape at character 2'],
    ['1 2', 'unexpected text after the value at character 3'],
    ['01', 'unexpected text after the value at character 2'],
    ['1.', 'unexpected text after the value at character 2'],
    ['+1', 'expected a value at character 1'],
    ['.5', 'expected a value at character 1'],
    ['-', 'expected a value at character 1'],
    ['-NaN', 'expected a value at character 1'],
    ['-Inf', 'expected a value at character 1'],
    ['tru', 'expected a value at character 1'],
    ['\ufeff1', 'expected a value at character 1'],
    ['\u00a01', 'expected a value at character 1'],
    ["{'a': 1}", 'expected a key in double quotes at character 2'],
    ['undefined', 'expected a value at character 1'],
  ])('says where %j goes wrong', (text, message) => {
    try {
      parseJson(text)
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(JsonSyntaxError)
      expect(error).toMatchObject({ message, reason: 'syntax' })
    }
  })

  test.each(['[', '{"a":', '[{"a":'])('a million of %j overflow nothing', (opening) => {
    expect(() => parseJson(opening.repeat(1_000_000))).toThrow(
      /^nested deeper than 1000 levels at character \d+$/,
    )
  })

  test('what can be read can be written and converted', () => {
    const deepest = '['.repeat(MAX_DEPTH) + ']'.repeat(MAX_DEPTH)
    const value = parseJson(deepest)
    expect(formatPythonJson(value)).toBe(deepest)
    expect(formatPythonJson(fromPlain(toPlain(value)))).toBe(deepest)
  })

  test('long texts take no stack and no detours', () => {
    expect(parseJson(`"${'x'.repeat(5_000_000)}"`)).toHaveLength(5_000_000)
    expect(parseJson(`"${'\\u00e9'.repeat(500_000)}"`)).toBe('é'.repeat(500_000))
    expect(parseJson(`${' '.repeat(5_000_000)}1`)).toEqual(ExactNumber.of(1))
    const digits = parseJson('7'.repeat(5_000_000))
    expect(digits instanceof ExactNumber && digits.text.length).toBe(5_000_000)
    const list = parseJson(`[${'1,'.repeat(300_000)}1]`)
    expect(isJsonArray(list) && list.length).toBe(300_001)
  })
})

describe('fromPlain', () => {
  test('takes what programs have', () => {
    const value = fromPlain({ a: [1, -0, 2n ** 70n, NaN], b: undefined, c: new Map([['d', null]]), e: true })
    expect(formatPythonJson(value)).toBe(
      '{"a": [1.0, -0.0, 1180591620717411303424.0, NaN], "c": {"d": null}, "e": true}',
    )
  })

  test('refuses what is no JSON', () => {
    expect(() => fromPlain({ f: () => 1 })).toThrow('a function is no JSON')
    expect(() => fromPlain(Symbol('s'))).toThrow(TypeError)
    const cycle: unknown[] = []
    cycle.push(cycle)
    expect(() => fromPlain(cycle)).toThrow('nested deeper than')
  })
})

/** Python's view of a text: null when it is refused, else its value with numbers as tagged literals. */
const LOADS = `
def load(text):
    tag = lambda literal: "#" + literal
    try:
        value = json.loads(text, parse_float=tag, parse_int=tag, parse_constant=tag)
    except (ValueError, RecursionError):
        return None
    return json.dumps(value)
results = [load(c) for c in cases]
`

describeWithPython('parseJson beside Python', () => {
  test('reads and refuses the same texts', () => {
    const random = createRandom(4)
    const texts = [...CORPUS, ...Array.from({ length: 20_000 }, () => mutate(random, random.pick(CORPUS)))]
    const expected = askPython<string | null>(LOADS, texts)
    let accepted = 0
    for (const [index, text] of texts.entries()) {
      const read = readTagged(text)
      if (read !== null) accepted += 1
      expect(read, JSON.stringify(text)).toBe(expected[index])
    }
    // A comparison of refusals only would prove little.
    expect(accepted).toBeGreaterThan(1500)
    expect(accepted).toBeLessThan(texts.length - 2000)
  })
})

const CORPUS = [
  '{"objective": [1.0, -2.5e-3, 1E+5], "constraint": null, "info": {"a": "b\\n\\u00e9"}, "feasible": true}',
  '[NaN, Infinity, -Infinity, 0, -0, 0.0, 10, 1e5, 1e-5, 1.5E5]',
  '{"a": 1, "a": 2, "b": {"a": []}, "": {}}',
  '"\\ud83d\\ude00 \\ud800 \\udc00\\ud800 \\"\\\\\\/\\b\\f\\n\\r\\t 日本 😀"',
  ' [ 1 , 2 , [ ] , { } ] \n',
  '{"objective": null, "error": ""}',
  'true',
  '-12.5e+30',
  '""',
  '\u007f"\u2028"',
  '"\ud800"',
]

function mutate(random: Random, text: string): string {
  let result = text
  for (let edits = random.pick([1, 1, 2, 3]); edits > 0; edits -= 1) {
    const at = random.below(result.length + 1)
    const removed = random.pick([0, 0, 1, 1, 2, 5])
    const added = random.pick(['', '', ...ALPHABET])
    result = result.slice(0, at) + added + result.slice(at + removed)
  }
  return result
}

const ALPHABET = [
  ...Array.from('[]{},:"\\0123456789.+-eEuntrfalsNI \n\t\r\'/_#'),
  ...['\v', '\0', '\u001f', '\u007f', '\u0085', '\u00a0', '\ufeff', '\ud800', '\udc00', '٣', '😀'],
  ...['\\u', '\\uD83D', '\\ude00', 'NaN', '-Infinity', 'null', '"a": 1', '[', '1e', '0.', '""', '//', ' '],
]

function readTagged(text: string): string | null {
  try {
    return formatPythonJson(tagged(parseJson(text)))
  } catch (error) {
    if (error instanceof JsonSyntaxError) return null
    throw error
  }
}

function tagged(value: Json): Json {
  if (value instanceof ExactNumber) return `#${value.text}`
  if (isJsonArray(value)) return value.map(tagged)
  if (isJsonObject(value)) return new Map(Array.from(value, ([key, member]) => [key, tagged(member)]))
  return value
}
