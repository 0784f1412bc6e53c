import { describe, expect, test } from 'vitest'
import { ExactNumber } from '../../../src/core/exact-number.ts'
import {
  formatJson,
  formatPythonFloat,
  formatPythonJson,
  formatPythonJsonChunks,
  fromPlain,
  parseJson,
} from '../../../src/core/json.ts'
import { askPython, describeWithPython } from './python.ts'
import { createRandom, randomLiteral } from './random.ts'

describe('formatPythonFloat', () => {
  test.each([
    ['1', '1.0'],
    ['0', '0.0'],
    ['-0', '-0.0'],
    ['10000000000000000000000', '1e+22'],
    ['0.1', '0.1'],
    ['0.10', '0.1'],
    ['4294967296', '4294967296.0'],
    ['9007199254740992', '9007199254740992.0'],
    ['9999999999999998', '9999999999999998.0'],
    ['10000000000000000', '1e+16'],
    ['0.0001', '0.0001'],
    ['0.00001', '1e-05'],
    ['1.5e-300', '1.5e-300'],
    ['NaN', 'NaN'],
    ['-Infinity', '-Infinity'],
    // A double would print another value.
    ['9007199254740993', '9007199254740993.0'],
    ['12345678901234567890', '12345678901234567890.0'],
    ['-1234567890123456789012345678901234567.8', '-1234567890123456789012345678901234567.8'],
    ['0.12345678901234567890123456789012345678', '0.12345678901234567890123456789012345678'],
    ['123456789012345678901e30', '1.23456789012345678901e+50'],
    ['1.2345678901234567890e-9', '1.234567890123456789e-09'],
    ['1e400', '1e+400'],
    ['1e-400', '1e-400'],
    ['1e999999999999', '1e+999999999999'],
  ])('prints %s as %s', (literal, printed) => {
    expect(formatPythonFloat(ExactNumber.parse(literal))).toBe(printed)
  })
})

describe('formatPythonJson', () => {
  test('separates as Python does', () => {
    expect(formatPythonJson(parseJson('{"a":[1,2,[]],"b":{},"c":null,"d":true,"é":"\u007f😀"}'))).toBe(
      '{"a": [1.0, 2.0, []], "b": {}, "c": null, "d": true, "\\u00e9": "\\u007f\\ud83d\\ude00"}',
    )
  })

  test('in chunks is the same text, made as it is asked for', () => {
    let made = 0
    function* members() {
      for (; made < 50_000; made += 1) yield fromPlain({ trial_no: String(made), score: made / 7 })
    }
    const chunks = formatPythonJsonChunks(members())
    const first = chunks.next().value ?? ''
    expect(first.length).toBeLessThan(70_000)
    expect(made).toBeLessThan(5_000)
    const text = first + [...chunks].join('')
    made = 0
    expect(text).toBe(formatPythonJson([...members()]))
    expect([...formatPythonJsonChunks([])].join('')).toBe('[]')
  })
})

describe('formatJson', () => {
  test('is standard JSON with all digits', () => {
    const text = formatJson(parseJson('{"a": [12345678901234567890, 1.50, NaN, -Infinity], "b": "é\\ud800"}'))
    expect(text).toBe('{"a":[12345678901234567890,1.50,null,null],"b":"é\\ud800"}')
    expect(JSON.parse(text)).toEqual({ a: [12345678901234567000, 1.5, null, null], b: 'é\ud800' })
  })
})

describeWithPython('the writer beside Python', () => {
  test('doubles, all bit patterns alike', () => {
    const random = createRandom(5)
    const doubles = [
      ...[
        0,
        -0,
        5e-324,
        2.2250738585072014e-308,
        1.7976931348623157e308,
        2 ** 53,
        2 ** 63,
        2 ** 64,
        1e15,
        1e16,
        1e17,
      ],
      ...Array.from({ length: 15_000 }, () => random.double()),
      ...Array.from({ length: 5_000 }, () => random.below(2 ** 32) * 10 ** (random.below(40) - 25)),
      ...Array.from({ length: 2_000 }, () => 2 ** (random.below(2098) - 1074)),
    ]
    const hex = doubles.map((double) => {
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleBE(double)
      return bytes.toString('hex')
    })
    const code = 'results = [json.dumps(struct.unpack(">d", bytes.fromhex(c))[0]) for c in cases]'
    const printed = askPython<string>(code, hex)
    for (const [index, double] of doubles.entries()) {
      expect(formatPythonFloat(ExactNumber.of(double))).toBe(printed[index])
    }
  })

  test("any literal: Python's print of the float when that shows the value, else all digits, never an integer", () => {
    const random = createRandom(6)
    const literals = Array.from({ length: 10_000 }, () =>
      randomLiteral(random, random.pick([3, 16, 17, 18, 38]), 120),
    )
    const printed = literals.map((literal) => formatPythonFloat(ExactNumber.parse(literal)))
    const code = `
def fault(case):
    literal, printed = case
    if Decimal(printed) != Decimal(literal): return "another value"
    if float(printed) != float(literal): return "another float"
    if not isinstance(json.loads(printed), float): return "read as an integer"
    if Decimal(repr(float(literal))) == Decimal(literal) and printed != repr(float(literal)): return "not the repr"
    return None
results = [fault(c) for c in cases]`
    const cases = literals.map((literal, index) => [literal, printed[index]])
    for (const [index, fault] of askPython<string | null>(code, cases).entries()) {
      expect(fault, `${literals[index] ?? ''} → ${printed[index] ?? ''}`).toBeNull()
    }
  })

  test('texts of all characters, halves of surrogate pairs included', () => {
    const random = createRandom(7)
    const pools = [
      () => random.below(0x80),
      () => random.below(0x20),
      () => random.below(0x10000),
      () => 0xd800 + random.below(0x800),
      () => random.pick([0x22, 0x5c, 0x2f, 0x7f, 0x80, 0xa0, 0x2028, 0xfeff, 0xffff]),
    ]
    const texts = Array.from({ length: 5000 }, () =>
      Array.from({ length: random.below(20) }, () => String.fromCharCode(random.pick(pools)())).join(''),
    )
    texts.push(...['\0', '\u007f', '😀', '\ud83d', '\ude00\ud83d'])
    const units = texts.map((text) => Buffer.from(text, 'utf16le').toString('hex'))
    const code =
      'results = [json.dumps(bytes.fromhex(c).decode("utf-16-le", "surrogatepass")) for c in cases]'
    const printed = askPython<string>(code, units)
    for (const [index, text] of texts.entries()) expect(formatPythonJson(text)).toBe(printed[index])
  })
})
