import { describe, expect, test } from 'vitest'
import { renderPlot } from '../../../src/cli/plot.ts'
import type { PlotOptions, PlotSeries } from '../../../src/cli/plot.ts'
import { displayWidth } from '../../../src/cli/text.ts'

const SIZE = { width: 50, height: 8, xLabel: 'trial' }

/** Scores of trials 1, 2, 3 … */
function series(name: string, values: readonly (number | null)[]): PlotSeries {
  return { name, points: values.map((y, i) => ({ x: i + 1, y })) }
}

function plot(all: readonly PlotSeries[], options: Partial<PlotOptions> = {}): string {
  return `\n${renderPlot(all, { ...SIZE, ...options })}\n`
}

/** The numbers left of the axis, from top to bottom. */
function yLabels(text: string): number[] {
  return [...text.matchAll(/^ *(\S+) \+/gm)].map((match) => Number(match[1]))
}

/** Where `marker` stands in the drawing: [column, row] from its top left corner. */
function places(text: string, marker: string): [number, number][] {
  const rows = text.split('\n').filter((line) => /^ *\S* [|+](?!\+?-)/.test(line))
  return rows.flatMap((row, y) => {
    const drawing = row.slice(row.search(/[|+]/) + 1)
    return Array.from(drawing).flatMap((character, x): [number, number][] =>
      character === marker ? [[x, y]] : [],
    )
  })
}

const TWO = [series('User#1', [10, 6, 5, 3, 2]), series('User#2', [8, 8, 4, 4, 4])]

test('draws curves, axes with numbers and a legend', () => {
  expect(plot(TWO, { title: 'score by trial', scale: 'linear' })).toMatchInlineSnapshot(`
    "
    score by trial
       10 +o⠤⡀
          |  ⠈⠒⢄
          |⠉⠉⠉⠉⠉⠉⠫⣉⠉⠉x⠒⢄⡀
          |        ⠑⠤⡀  ⠈⠒⢄
        5 +          o⠉⠑⠒⠒⠒⠭⠦⢤⠤⣀o⡀
          |                   ⠉⠢x⣈⣑⣒⣤⣄⣀⣀⣀⣀⣀x⣀⣀⣀⣀⣀⣀⣀⣀⣀x
          |                           ⠈⠉⠒⠢⢄o⡀
          |                                 ⠈⠉⠉⠒⠒⠒⠤⠤⢄o
          ++----------+---------+----------+---------+
    trial  1          2         3          4         5
      o User#1  x User#2
    "
  `)
})

test('draws the same in plain ASCII', () => {
  const text = plot(TWO, { title: 'score by trial', scale: 'linear', ascii: true })
  expect(text).toMatch(/^[\n\x20-\x7e]*$/)
  expect(text).toMatchInlineSnapshot(`
    "
    score by trial
       10 +o.
          |  ...
          |...........x.
          |       ...   ...
        5 +          .o.........o..
          |                    .x..........x.........x
          |                              ..o....
          |                                     .....o
          ++----------+---------+----------+---------+
    trial  1          2         3          4         5
      o User#1  x User#2
    "
  `)
})

test('puts each marker where its value belongs', () => {
  const text = plot([series('a', [0, 100, 50, 25])], { height: 21, width: 80, ascii: true })
  const columns = 80 - 'trial'.length - 2
  expect(places(text, 'o')).toEqual([
    [Math.round((columns - 1) / 3), 0],
    [Math.round(((columns - 1) * 2) / 3), 10],
    [columns - 1, 15],
    [0, 20],
  ])
  const labels = yLabels(text)
  expect(labels).toEqual(
    [100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 0].filter((label) => labels.includes(label)),
  )
  expect(labels.length).toBeGreaterThanOrEqual(5)
})

describe('scale', () => {
  const decades = [series('a', [10_000, 1000, 100, 10, 1])]

  test('is logarithmic over a decade or more, and says so', () => {
    const text = plot(decades, { title: 'score', height: 9, ascii: true })
    expect(text).toContain('score, log scale\n')
    // Equal ratios are equally far apart.
    expect(places(text, 'o').map(([, row]) => row)).toEqual([0, 2, 4, 6, 8])
    expect(yLabels(text)).toEqual([10_000, 1000, 100, 10, 1])
  })

  test.each([
    ['a value is 0', [1000, 10, 0]],
    ['a value is negative', [1000, 10, -1]],
    ['the range is small', [1000, 500, 101]],
  ])('is linear when %s', (_, values) => {
    expect(plot([series('a', values)], { title: 'score' })).toContain('\nscore\n')
    expect(plot([series('a', values)], { title: 'score', scale: 'log' }).includes('log scale')).toBe(
      Math.min(...values) > 0,
    )
  })

  test('can be chosen', () => {
    expect(plot(decades, { title: 'score', scale: 'linear' })).toContain('\nscore\n')
  })

  test.each([
    [[3, 2]],
    [[0.001, 0.00098]],
    [[1e6, 1e6 + 0.001]],
    [[-5, -4.2]],
    [[1e300, 1e-300].map((value) => value * 1e-180)],
    [[1e125, -1e125]],
    [[1e125, 1e-125]],
    [[5e-324, 1e-323]],
    [[1, 300]],
  ])('has between one and a row for every second number for %j', (values) => {
    for (const height of [4, 8, 15, 40]) {
      const labels = yLabels(plot([series('a', values)], { height }))
      expect(labels.length).toBeGreaterThanOrEqual(1)
      expect(labels.length).toBeLessThanOrEqual(Math.ceil(height / 2))
      expect(labels).toEqual(labels.toSorted((a, b) => b - a))
      expect(new Set(labels).size).toBe(labels.length)
    }
  })
})

describe('what has no place', () => {
  test('nothing at all', () => {
    expect(plot([], { title: 'score' })).toBe('\nscore\n(nothing to plot yet)\n')
    expect(plot([series('a', [null, NaN])])).toBe('\n(nothing to plot yet)\n  o a\n')
  })

  test('a gap is left where there is no value', () => {
    const text = plot([series('a', [1, 1, null, 1, 1])], { height: 5, width: 66 })
    const line = text.split('\n').find((row) => row.includes('o')) ?? ''
    expect(line).toMatch(/o[^\s]+ {15,}o[^\s]+/)
  })

  test('a value alone between gaps shows as its marker', () => {
    expect(places(plot([series('a', [1, null, 2, null, 3])]), 'o')).toHaveLength(3)
  })

  test('infinite values, and what the table stores for them, are left out and counted', () => {
    const text = plot([series('a', [Infinity, 9.999999999999998e125, 3, 2, -1e126])])
    expect(text).toContain('\nnot drawn: 3 infinite values\n')
    expect(yLabels(text).every((label) => label >= 2 && label <= 3)).toBe(true)
    // Their trials keep their place.
    expect(text).toMatch(/\ntrial {2}1 .* 5\n/)
    expect(plot([series('a', [1, Infinity])])).toContain('not drawn: 1 infinite value\n')
  })

  test('a trial number that is none is left out', () => {
    const points = [{ x: NaN, y: 1 }, { x: Infinity, y: 1 }, { x: 2, y: 5 }] // prettier-ignore
    expect(places(plot([{ name: 'a', points }]), 'o')).toHaveLength(1)
  })
})

test.each([
  ['one value', [5]],
  ['zero', [0]],
  ['the same value', [-2, -2, -2]],
  ['a tiny value', [5e-324]],
  ['a huge value', [9e125]],
])('%s alone is drawn', (_, values) => {
  const text = plot([series('a', values)])
  expect(places(text, 'o').length).toBeGreaterThanOrEqual(1)
  expect(text).not.toContain('NaN')
})

test('points may come in any order', () => {
  const [first] = TWO
  const reversed = { name: 'User#1', points: first?.points.toReversed() ?? [] }
  expect(plot([reversed])).toBe(plot(TWO.slice(0, 1)))
})

test('curves that run together show their markers in turn', () => {
  const same = Array.from({ length: 30 }, (_, i) => 30 - i)
  const text = plot([series('a', same), series('b', same), series('c', same)], { width: 80 })
  for (const marker of ['o', 'x', '+']) expect(places(text, marker).length).toBeGreaterThanOrEqual(4)
})

test('draws ten series and names how many it leaves out', () => {
  const many = Array.from({ length: 13 }, (_, i) => series(`P${i}`, [i, i + 1]))
  const text = plot(many)
  expect(text).toContain('\nand 3 more, not drawn\n')
  expect(text).toContain('~ P9')
  expect(text).not.toContain('P10')
})

test('is never wider or higher than it was told, whatever the names and sizes', () => {
  const names = ['松本 太郎 '.repeat(9), '\u001b[2J\u001b[H', 'a\nb\rc', '👨‍👩‍👧', 'x'.repeat(500)]
  const all = names.map((name, i) => series(name, [1e-7 * i, -12345.678, 3]))
  for (const width of [30, 47, 80, 200]) {
    const text = renderPlot(all, {
      width,
      height: 10,
      title: `t\u001b]0;x\u0007${'長'.repeat(300)}`,
      xLabel: '試行\u0007'.repeat(9),
    })
    const lines = text.split('\n')
    expect(lines.length).toBeLessThanOrEqual(1 + 10 + 2 + names.length)
    for (const line of lines) {
      expect(displayWidth(line)).toBeLessThanOrEqual(width)
      expect(line).not.toMatch(/[\p{Cc}\u202e]/u)
      expect(line).toBe(line.trimEnd())
    }
  }
})

test.each([NaN, -5, 0, 1.5, Infinity, 1e9])('a width and height of %d become usable ones', (size) => {
  const lines = renderPlot(TWO, { width: size, height: size }).split('\n')
  expect(lines.length).toBeGreaterThanOrEqual(4)
  expect(lines.length).toBeLessThan(250)
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(400)
})

describe('colour', () => {
  const ESCAPES = /\u001b\[\d+m/g

  test('is there only when asked for, and changes nothing else', () => {
    const plain = plot(TWO)
    const colored = plot(TWO, { color: true })
    expect(plain).not.toMatch(ESCAPES)
    expect(colored.match(ESCAPES)?.length).toBeGreaterThan(8)
    expect(colored.replace(ESCAPES, '')).toBe(plain)
  })

  test('ends on every line', () => {
    for (const line of plot(TWO, { color: true }).split('\n')) {
      const codes = line.match(ESCAPES) ?? []
      if (codes.length > 0) expect(codes.at(-1)).toBe('\u001b[39m')
    }
  })
})

test('takes a hundred thousand trials', () => {
  const long = series(
    'a',
    Array.from({ length: 100_000 }, (_, i) => 1e6 / (i + 1)),
  )
  const text = plot([long, long], { width: 100, height: 20 })
  expect(text).toContain('100000')
  expect(text).toContain('80000')
})
