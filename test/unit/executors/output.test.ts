import { describe, expect, it } from 'vitest'
import { LastLineFinder, Tail } from '../../../src/executors/output.ts'

function lastLine(parts: readonly (string | Uint8Array)[], maxBytes = 1000): { state: string; text: string } {
  const finder = new LastLineFinder(maxBytes)
  for (const part of parts) finder.add(Buffer.from(part))
  const { state, bytes } = finder.finish()
  return { state, text: Buffer.from(bytes).toString('latin1') }
}

/** What the finder is meant to find, the slow way. */
function expected(whole: string, maxBytes: number): { state: string; text: string } {
  const line = whole.split('\n').findLast((one) => /[^\t\n\v\f\r ]/.test(one))
  if (line === undefined) return { state: 'none', text: '' }
  return line.length > maxBytes
    ? { state: 'too_long', text: '' }
    : { state: 'line', text: line.replace(/\r$/, '') }
}

describe('the last line', () => {
  it.each([
    ['no output', [], 'none', ''],
    ['only white space', [' \n\t\r\n', '\n \v\f'], 'none', ''],
    ['one line without its end', ['{"a":1}'], 'line', '{"a":1}'],
    ['one line with its end', ['{"a":1}\n'], 'line', '{"a":1}'],
    ['blank lines after it', ['{"a":1}\n', '\n \r\n', '   '], 'line', '{"a":1}'],
    ['a Windows line end', ['x\r\n{"a":1}\r\n'], 'line', '{"a":1}'],
    ['a line in many parts', ['x\n{"a"', ':', '1}', '\n'], 'line', '{"a":1}'],
    ['a part that is all line ends', ['abc', '\n\n\n', '\n'], 'line', 'abc'],
    ['a later line begun in the same part', ['abc\ndef\n g'], 'line', ' g'],
    ['bytes that are no UTF-8', [new Uint8Array([0xff, 0xfe, 0x0a])], 'line', '\xff\xfe'],
  ])('is found in %s', (_name, parts, state, text) => {
    expect(lastLine(parts)).toEqual({ state, text })
  })

  it('may be as long as allowed and no longer', () => {
    expect(lastLine(['x'.repeat(10), '\n'], 10)).toEqual({ state: 'line', text: 'x'.repeat(10) })
    expect(lastLine(['x'.repeat(10), 'x\n'], 10)).toEqual({ state: 'too_long', text: '' })
    expect(lastLine(['x'.repeat(11)], 10)).toEqual({ state: 'too_long', text: '' })
  })

  it('is not spoilt by longer ones before it, nor by long white space after it', () => {
    expect(lastLine(['x'.repeat(999), '\nok\n'], 10)).toEqual({ state: 'line', text: 'ok' })
    expect(lastLine(['ok\n', ' '.repeat(999)], 10)).toEqual({ state: 'line', text: 'ok' })
    expect(lastLine(['ok\n', ' '.repeat(999), '\n'], 10)).toEqual({ state: 'line', text: 'ok' })
    expect(lastLine(['ok\n', ' '.repeat(999), 'x'], 10)).toEqual({ state: 'too_long', text: '' })
  })

  it('is the one that a plain split finds, however the output is cut', () => {
    let seed = 1
    const random = (n: number): number => {
      seed = (seed * 48271) % 2147483647
      return seed % n
    }
    for (let round = 0; round < 3000; round += 1) {
      const whole = Array.from({ length: random(40) }, () => 'ab \n\n\r\t'[random(7)] ?? '').join('')
      const parts: string[] = []
      for (let at = 0; at < whole.length;) {
        const length = 1 + random(6)
        parts.push(whole.slice(at, at + length))
        at += length
      }
      const maxBytes = 1 + random(8)
      expect(lastLine(parts, maxBytes), JSON.stringify([parts, maxBytes])).toEqual(expected(whole, maxBytes))
    }
  })

  it('takes a flood of tiny parts and of blank lines in its stride', () => {
    const finder = new LastLineFinder(1 << 20)
    const one = Buffer.from('x')
    const before = process.memoryUsage().arrayBuffers
    for (let n = 0; n < 1_000_000; n += 1) finder.add(one)
    const blank = Buffer.alloc(65_536, '\n')
    for (let n = 0; n < 500; n += 1) finder.add(blank)
    expect(finder.finish().bytes.length).toBe(1_000_000)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 ** 2)
  })
})

describe('the tail', () => {
  it('keeps the last bytes', () => {
    for (const size of [1, 3, 7, 10, 11, 25, 100]) {
      const tail = new Tail(10)
      let whole = ''
      for (let n = 0; n < 30; n += 1) {
        const part = String(n).repeat(size).slice(0, size)
        whole += part
        tail.add(Buffer.from(part))
        expect(Buffer.from(tail.bytes()).toString()).toBe(whole.slice(-10))
      }
    }
  })

  it('can be of no length', () => {
    const tail = new Tail(0)
    tail.add(Buffer.from('abc'))
    expect(tail.bytes()).toHaveLength(0)
  })
})
