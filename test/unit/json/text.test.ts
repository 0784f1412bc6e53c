import { describe, expect, test } from 'vitest'
import { escapeControls, tailLines, truncateMiddle } from '../../../src/core/text.ts'

const NOTE = '\n... Content omitted for length ...\n'

describe('truncateMiddle', () => {
  test('leaves what fits alone', () => {
    const exact = 'a'.repeat(16_384)
    expect(truncateMiddle(exact)).toBe(exact)
    // Code points are counted, not UTF-16 units.
    const wide = '😀'.repeat(16_384)
    expect(truncateMiddle(wide)).toBe(wide)
    expect(truncateMiddle('  padded  ')).toBe('  padded  ')
  })

  test('keeps both ends of what does not', () => {
    const cut = truncateMiddle(`begin ${'x'.repeat(20_000)} end`)
    expect(Array.from(cut)).toHaveLength(16_384)
    expect(cut).toMatch(/^begin x+\n\.\.\. Content omitted for length \.\.\.\nx+ end$/)
  })

  test('never splits a code point and never exceeds the limit', () => {
    for (const length of [16_385, 16_386, 20_001]) {
      const cut = truncateMiddle('😀'.repeat(length))
      expect(Array.from(cut)).toHaveLength(16_384)
      expect(cut.replace(NOTE, '').replaceAll('😀', '')).toBe('')
    }
    const mixed = Array.from({ length: 30_000 }, (_, n) => (n % 3 === 0 ? '😀' : 'é')).join('')
    for (const max of [0, 1, 5, NOTE.length, NOTE.length + 1, NOTE.length + 2, 100, 101]) {
      const cut = truncateMiddle(mixed, max)
      expect(Array.from(cut).length).toBeLessThanOrEqual(max)
      expect(cut).not.toMatch(/\p{Surrogate}/u)
    }
  })

  test('trims white space at the cut only', () => {
    const cut = truncateMiddle(` a${' '.repeat(50)}${'x'.repeat(50)}${' \n'.repeat(50)}b `, 80)
    expect(cut).toBe(` a${NOTE}b `)
  })
})

describe('tailLines', () => {
  test('gives the last lines', () => {
    expect(tailLines(Buffer.from('1\n2\r\n3\n\n'), 2)).toBe('2\n3')
    expect(tailLines(Buffer.from('1\n2'), 5)).toBe('1\n2')
    expect(tailLines(Buffer.from('\n \n'), 5)).toBe('')
    expect(tailLines(new Uint8Array(), 5)).toBe('')
  })

  test('begins at a whole character', () => {
    expect(tailLines(Buffer.from('日本').subarray(1), 1)).toBe('本')
    expect(tailLines(Buffer.from('😀a').subarray(2), 1)).toBe('a')
  })

  test('replaces what is no text', () => {
    expect(tailLines(Uint8Array.of(0x61, 0xff, 0xc3, 0x62), 1)).toBe('a\ufffd\ufffdb')
  })

  test('what steers a terminal or forges a line is written out', () => {
    expect(tailLines(Buffer.from('a\tb\x1b[2Jc\rd\0\x7f\u0085\u2028\u202e\ufeffe'), 1)).toBe(
      'a\tb\\x1b[2Jc\\x0dd\\x00\\x7f\\x85\\u2028\\u202e\\ufeffe',
    )
    expect(escapeControls('日本 é 😀\n')).toBe('日本 é 😀\n')
    expect(escapeControls('\ud800')).toBe('\\ud800')
  })
})
