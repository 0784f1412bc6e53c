import { describe, expect, test } from 'vitest'
import { displayWidth, fitText, padText, plainText } from '../../../src/cli/text.ts'

describe('plainText', () => {
  test.each([
    ['a\u001b[31mb', 'a\\x1b[31mb'],
    ['\u001b]0;title\u0007', '\\x1b]0;title\\x07'],
    ['a\r\nb\tc', 'a\\x0d\\x0ab\\x09c'],
    ['\u009b2J', '\\x9b2J'],
    ['user\u202eexe', 'user\\u202eexe'],
    ['\u2066x\u2069', '\\u2066x\\u2069'],
    ['a\u200bb\ufeff', 'a\\u200bb\\ufeff'],
    ['a\u2028b', 'a\\u2028b'],
    ['\ud800x', '\\ud800x'],
    ['\u{e0041}', '\\u{e0041}'],
    ['\u0000', '\\x00'],
  ])('spells out what a terminal would obey: %j', (text, expected) => {
    expect(plainText(text)).toBe(expected)
  })

  test.each(['User#cma-es', '松本 太郎', 'Ελλάδα', '👨‍👩‍👧', 'می‌خواهم', 'e\u0301', 'ﾀﾞ', 'back\\slash'])(
    'leaves %s as it is',
    (text) => {
      expect(plainText(text)).toBe(text)
    },
  )

  test('cuts piles of accents and of joiners', () => {
    expect(plainText(`a${'\u0301'.repeat(1000)}b`)).toBe(`a${'\u0301'.repeat(8)}b`)
    expect(plainText(`a${'\u200d'.repeat(1000)}b`).length).toBe(10)
  })
})

describe('displayWidth', () => {
  test.each([
    ['', 0],
    ['abc', 3],
    ['松本太郎', 8],
    ['カタカナ', 8],
    ['ｶﾀｶﾅ', 4],
    ['ﾀﾞｲ', 3],
    ['ＡＢ', 4],
    ['「」、。', 8],
    ['한국어', 6],
    ['한', 2],
    ['𠮷', 2],
    ['e\u0301', 1],
    ['naïve', 5],
    ['😀', 2],
    ['👨‍👩‍👧', 2],
    ['🇯🇵', 2],
    ['❤️', 2],
    ['⠿⠿', 2],
    ['Ω', 1],
    ['\u0301', 0],
  ])('%s takes %i columns', (text, width) => {
    expect(displayWidth(text)).toBe(width)
  })
})

describe('fitText', () => {
  test.each([
    ['abcdef', 6, 'abcdef'],
    ['abcdefg', 6, 'abc...'],
    ['松本太郎', 8, '松本太郎'],
    ['松本太郎', 7, '松本...'],
    ['松本太郎', 6, '松...'],
    ['👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧', 5, '👨‍👩‍👧...'],
    ['abcdef', 2, '..'],
    ['abcdef', 0, ''],
  ])('%s in %i columns', (text, columns, expected) => {
    expect(fitText(text, columns)).toBe(expected)
  })
})

describe('padText', () => {
  test('counts columns, not characters', () => {
    expect(padText('松本', 6)).toBe('松本  ')
    expect(padText('松本', 6, 'right')).toBe('  松本')
    expect(padText('long', 2)).toBe('long')
  })
})
