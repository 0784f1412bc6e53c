import { describe, expect, test } from 'vitest'
import { ExactNumber } from '../../../src/core/exact-number.ts'
import { askPython, describeWithPython } from './python.ts'
import { createRandom, randomLiteral } from './random.ts'

describe('ExactNumber', () => {
  test.each([
    ['1', '1'],
    ['-0', '-0'],
    ['1.50', '1.50'],
    ['1E+05', '1E+05'],
    ['12345678901234567890123456789012345678', '12345678901234567890123456789012345678'],
    ['NaN', 'NaN'],
    ['-Infinity', '-Infinity'],
    // As other writers put them; kept in JSON's form.
    ['+1', '1'],
    ['.5', '0.5'],
    ['-.5e3', '-0.5e3'],
    ['5.', '5'],
    ['007', '7'],
    ['-00.10', '-0.10'],
    ['000', '0'],
  ])('keeps the literal %s as %s', (text, kept) => {
    expect(ExactNumber.parse(text).text).toBe(kept)
  })

  test.each([
    '',
    ' 1',
    '1 ',
    '.',
    '-',
    '1e',
    '1e+',
    '0x10',
    '1_000',
    'nan',
    '+Infinity',
    'inf',
    '1.2.3',
    '١',
    '--1',
  ])('refuses %j', (text) => {
    expect(() => ExactNumber.parse(text)).toThrow(SyntaxError)
  })

  test.each([0, -0, 1, -1.5, 1e21, 1e-7, 5e-324, Number.MAX_VALUE, NaN, Infinity, -Infinity])(
    'is the double %s and back',
    (value) => {
      expect(ExactNumber.of(value).toNumber()).toBe(value)
    },
  )

  test('takes values apart and puts them together again', () => {
    expect(ExactNumber.parse('-001.2300e5').decimal()).toEqual({ negative: true, digits: '123', exponent: 6 })
    expect(ExactNumber.parse('0.00e9').decimal()).toEqual({ negative: false, digits: '', exponent: 0 })
    expect(ExactNumber.nan.decimal()).toBeUndefined()
    const random = createRandom(1)
    for (let n = 0; n < 2000; n += 1) {
      const number = ExactNumber.parse(randomLiteral(random, 60, 200))
      const decimal = number.decimal()
      if (decimal === undefined) throw new Error('finite')
      expect(ExactNumber.fromDecimal(decimal).equals(number), number.text).toBe(true)
    }
  })

  test('orders by value, and has a place for everything', () => {
    const sorted = [
      '-Infinity',
      '-1e400',
      '-2',
      '-1.5',
      '-1e-400',
      '0',
      '1e-400',
      '1',
      '10',
      '1e400',
      'Infinity',
      'NaN',
    ]
    const numbers = sorted.map((text) => ExactNumber.parse(text))
    for (const [i, a] of numbers.entries()) {
      for (const [j, b] of numbers.entries()) {
        expect(Math.sign(ExactNumber.compare(a, b)), `${a.text} ${b.text}`).toBe(Math.sign(i - j))
      }
    }
    expect(ExactNumber.parse('-0').equals(ExactNumber.parse('0.000e5'))).toBe(true)
    expect(ExactNumber.parse('-1').equals(ExactNumber.parse('-1.0'))).toBe(true)
    expect(ExactNumber.parse('9007199254740993').equals(ExactNumber.of(9007199254740992))).toBe(false)
  })

  test('hostile literals cost no more than their length', () => {
    const hugeExponent = ExactNumber.parse(`1e${'9'.repeat(1_000_000)}`)
    expect(hugeExponent.toNumber()).toBe(Infinity)
    expect(hugeExponent.decimal()?.exponent).toBe(1e15)
    expect(ExactNumber.parse('1e-999999999').toNumber()).toBe(0)
    expect(
      ExactNumber.compare(ExactNumber.parse('1e999999999'), ExactNumber.parse('1e999999998')),
    ).toBeGreaterThan(0)
    expect(ExactNumber.parse(`0.${'0'.repeat(3_000_000)}1e3000001`).equals(ExactNumber.of(1))).toBe(true)
    expect(ExactNumber.parse(`1${'0'.repeat(3_000_000)}1`).decimal()?.digits).toHaveLength(3_000_002)
    expect(() => ExactNumber.parse(`${'0'.repeat(3_000_000)}x`)).toThrow(SyntaxError)
  })
})

describeWithPython('ExactNumber beside Python', () => {
  test('finds the same nearest double', () => {
    const random = createRandom(2)
    const literals = Array.from({ length: 5000 }, () => randomLiteral(random, 60, 350))
    const hex = askPython<string>('results = [struct.pack(">d", float(c)).hex() for c in cases]', literals)
    for (const [index, literal] of literals.entries()) {
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleBE(ExactNumber.parse(literal).toNumber())
      expect(bytes.toString('hex'), literal).toBe(hex[index])
    }
  })

  test('compares as Decimal does', () => {
    const random = createRandom(3)
    const pairs = Array.from({ length: 5000 }, () => {
      const a = randomLiteral(random, 5, 12)
      return [
        a,
        random.pick([randomLiteral(random, 5, 12), `${a}${a.includes('.') || /e/i.test(a) ? '' : '.0'}`]),
      ]
    })
    const code = 'results = [int(Decimal(a).compare(Decimal(b))) for a, b in cases]'
    const expected = askPython<number>(code, pairs)
    for (const [index, [a = '', b = '']] of pairs.entries()) {
      const order = Math.sign(ExactNumber.compare(ExactNumber.parse(a), ExactNumber.parse(b)))
      expect(order, `${a} ${b}`).toBe(expected[index])
    }
  })
})
