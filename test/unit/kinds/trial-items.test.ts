import { describe, expect, it } from 'vitest'
import { addParts, entryPart, listBytes, NO_BLOCKS, type Blocks } from '../../../src/kinds/scorer/blocks.ts'
import { keyRanges } from '../../../src/kinds/scorer/trial-items.ts'

describe('keyRanges', () => {
  it.each([
    [{ from: 0, to: 6, like: '00007' }, ['00000 00006']],
    [{ from: 5, to: 6, like: '00007' }, ['00005 00006']],
    [{ from: 7, to: 6, like: '00007' }, []],
    [{ from: 12_343, to: 12_344, like: '12345' }, ['12343 12344']],
    [{ from: 99_990, to: 100_001, like: '100002' }, ['99990 99999', '099990 100001']],
    [{ from: 0, to: 11, like: '12' }, ['0 9', '00 11']],
    [{ from: 0, to: 0, like: '1' }, ['0 0']],
  ])('of %j', (range, expected) => {
    expect(keyRanges(range).map(({ from, to }) => `${from} ${to}`)).toEqual(expected)
  })
})

describe('blocks', () => {
  const text = (...blocks: Blocks[]): string => Buffer.concat([...listBytes(...blocks)]).toString()
  const parts = (from: number, to: number): Buffer[] =>
    Array.from({ length: to - from }, (_, n) => entryPart(String(from + n)))

  it('are a JSON list, whatever is empty', () => {
    expect(text()).toBe('[]')
    expect(text(NO_BLOCKS, NO_BLOCKS)).toBe('[]')
    const some = addParts(NO_BLOCKS, parts(1, 3))
    expect(text(some, NO_BLOCKS)).toBe('[1, 2]')
    expect(text(NO_BLOCKS, some)).toBe('[1, 2]')
    expect(text(some, some)).toBe('[1, 2, 1, 2]')
  })

  it('stay as they are when more is added to them', () => {
    const first = addParts(NO_BLOCKS, parts(0, 2))
    const second = addParts(first, parts(2, 4))
    const other = addParts(first, parts(7, 8))
    expect([first, second, other].map((blocks) => text(blocks))).toEqual([
      '[0, 1]',
      '[0, 1, 2, 3]',
      '[0, 1, 7]',
    ])
    expect(second.bytes).toBe(12)
  })

  it('are few, however many entries come one by one', () => {
    let blocks = NO_BLOCKS
    const text1k = JSON.stringify('x'.repeat(1000))
    for (let n = 0; n < 1000; n += 1) blocks = addParts(blocks, [entryPart(text1k)])
    expect(blocks.parts.length).toBeLessThanOrEqual(4)
    expect(JSON.parse(text(blocks))).toEqual(Array.from({ length: 1000 }, () => 'x'.repeat(1000)))
  })

  it('leave large entries uncopied', () => {
    const large = entryPart('x'.repeat(400_000))
    const blocks = addParts(addParts(NO_BLOCKS, parts(0, 2)), [large, large, ...parts(2, 3)])
    expect(blocks.parts).toHaveLength(4)
    expect(blocks.parts[1]).toBe(large)
  })
})
