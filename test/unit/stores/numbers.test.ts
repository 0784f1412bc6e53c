import { describe, expect, test } from 'vitest'
import { ExactNumber } from '../../../src/core/exact-number.ts'
import { formatJson, formatPythonFloat, formatPythonJson, parseJson } from '../../../src/core/json.ts'
import { fitForTable, fitNumber } from '../../../src/stores/numbers.ts'
import { askPython, describeWithPython } from '../json/python.ts'
import { createRandom, randomLiteral } from '../json/random.ts'

const LARGEST = '9.9999999999999999999999999999999999999e125'
const N38 = '9'.repeat(38)

describe('fitNumber', () => {
  test.each([
    ['1', '1'],
    ['-0', '0'],
    ['0e999999999999', '0'],
    ['1.50', '1.5'],
    ['1e22', '10000000000000000000000'],
    ['12345678901234567890', '12345678901234567890'],
    ['-0.1234567890123456789012345678901234567800', '-0.12345678901234567890123456789012345678'],
    ['1e125', '1e125'],
    ['1e-130', '1e-130'],
    [`${N38}e88`, LARGEST],
    ['1.2345678901234567890123456789012345678e-130', '1.2345678901234567890123456789012345678e-130'],
  ])('%s fits as %s', (literal, text) => {
    expect(fitNumber(ExactNumber.parse(literal))).toEqual({ value: ExactNumber.parse(text) })
  })

  test.each([
    ['NaN', null],
    ['Infinity', LARGEST],
    ['-Infinity', `-${LARGEST}`],
    ['1e126', LARGEST],
    ['-1e999999999999', `-${LARGEST}`],
    // Rounding carries it over the bound.
    [`9.${N38}e125`, LARGEST],
    ['1e-131', '0'],
    ['-9.9e-131', '0'],
    ['1e-999999999999', '0'],
    // Rounding carries it into the range.
    [`9.${N38}e-131`, '1e-130'],
    // Half to even.
    ['0.123456789012345678901234567890123456785', '0.12345678901234567890123456789012345678'],
    ['0.123456789012345678901234567890123456775', '0.12345678901234567890123456789012345678'],
    ['0.1234567890123456789012345678901234567850001', '0.12345678901234567890123456789012345679'],
    [`${N38}5`, `1${'0'.repeat(39)}`],
  ])('%s is changed to %s, and says so', (literal, text) => {
    const { value, change } = fitNumber(ExactNumber.parse(literal))
    expect(value === null ? null : value.equals(ExactNumber.parse(text ?? ''))).toBe(
      text === null ? null : true,
    )
    expect(change).toMatch(/stored as/)
    expect(change?.length).toBeLessThan(150)
  })

  test('takes literals of any length', () => {
    expect(fitNumber(ExactNumber.parse('7'.repeat(2_000_000))).value?.text).toBe(LARGEST)
    expect(fitNumber(ExactNumber.parse(`0.${'7'.repeat(2_000_000)}`)).value?.text).toBe(
      `0.${'7'.repeat(37)}8`,
    )
  })
})

describe('fitForTable', () => {
  test('leaves what fits alone', () => {
    const value = parseJson('{"a": [1, 0.1, null, true, "é😀"], "b": {}}')
    expect(fitForTable(value, 'info')).toEqual({ value, warnings: [] })
  })

  test('says where it changed what', () => {
    const value = parseJson('{"a": [1, NaN], "b c\\n": {"d": 1e200}, "\\ud800": "\\udc00"}')
    const fitted = fitForTable(value, 'info')
    expect(formatPythonJson(fitted.value)).toBe(
      `{"a": [1.0, null], "b c\\n": {"d": ${LARGEST.replace('e', 'e+')}}, "\\ufffd": "\\ufffd"}`,
    )
    expect(fitted.warnings).toEqual([
      'info.a[1]: NaN stored as null',
      `info["b c\\n"].d: 1e200 is too large for the table, stored as ${LARGEST}`,
      'info["\\\\ud800"]: half of a surrogate pair stored as U+FFFD',
      'info["\\\\ud800"]: half of a surrogate pair stored as U+FFFD',
    ])
    expect(fitForTable(parseJson('Infinity')).warnings).toEqual([
      `Infinity is too large for the table, stored as ${LARGEST}`,
    ])
  })

  test('a million changes are not a million warnings, and a forged key is no line of its own', () => {
    const many = fitForTable(parseJson(`[${'NaN,'.repeat(50_000)}NaN]`), 'objective')
    expect(many.warnings).toHaveLength(11)
    expect(many.warnings.at(-1)).toBe('and 49991 more changes of this sort')
    const long = fitForTable(
      parseJson(`${`{"${'k\\u001b\\u2028'.repeat(10_000)}":`.repeat(20)}NaN${'}'.repeat(20)}`),
    )
    expect(long.warnings.join('').length).toBeLessThan(300)
    expect(long.warnings.join('')).not.toMatch(/[\n\x1b\u2028]/)
  })
})

test('what an image printed comes back to an image as the same number', () => {
  const random = createRandom(8)
  for (let n = 0; n < 3000; n += 1) {
    const literal = `${random.pick(['', '-'])}${String(1 + random.below(9))}${random.digits(random.below(38))}e${String(random.below(200) - 120)}`
    const exact = ExactNumber.parse(literal)
    const { value, change } = fitNumber(exact)
    if (change !== undefined) continue
    if (value === null) throw new Error('a number')
    // DynamoDB gives plain digits back; a reader of JSON sees the same value again.
    const printed = parseJson(formatPythonFloat(ExactNumber.parse(value.text)))
    expect(printed instanceof ExactNumber && printed.equals(exact), literal).toBe(true)
  }
})

describeWithPython('fitNumber beside Decimal', () => {
  test('rounds, clamps and flushes alike', () => {
    const random = createRandom(9)
    const literals = Array.from({ length: 8000 }, () =>
      randomLiteral(random, random.pick([5, 38, 40, 60]), 180),
    )
    literals.push(
      ...Array.from({ length: 2000 }, () => `0.${random.digits(38)}${random.pick(['5', '50', '51', '49'])}`),
    )
    const code = `
context = Context(prec=38, rounding=ROUND_HALF_EVEN, Emin=-9999999, Emax=9999999)
largest = Decimal("9.9999999999999999999999999999999999999E+125")
def fit(literal):
    value = context.create_decimal(literal)
    if abs(value) > largest: return str(largest.copy_sign(value))
    if abs(value) < Decimal("1E-130"): return "0"
    return str(value)
results = [fit(c) for c in cases]`
    const expected = askPython<string>(code, literals)
    for (const [index, literal] of literals.entries()) {
      const { value } = fitNumber(ExactNumber.parse(literal))
      const wanted = ExactNumber.parse(expected[index] ?? '')
      expect(value?.equals(wanted), `${literal} → ${formatJson(value)}, not ${wanted.text}`).toBe(true)
    }
  })
})
