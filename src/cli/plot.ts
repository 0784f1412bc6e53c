import { displayWidth, fitText, padText, plainText } from './text.ts'

export interface PlotPoint {
  x: number
  /** Null (or NaN) where there is none: the curve has a gap there. */
  y: number | null
}

export interface PlotSeries {
  name: string
  points: readonly PlotPoint[]
}

export interface PlotOptions {
  /** Terminal columns of the whole plot. */
  width: number
  /** Lines of the drawing itself; title, axis and legend come on top of them. */
  height: number
  /** First line; that the scale is logarithmic is added. */
  title?: string
  /** Left of the numbers of the axis. */
  xLabel?: string
  /** Nothing but ASCII, for terminals that can't draw braille. */
  ascii?: boolean
  /** ANSI colours, one per series. */
  color?: boolean
  /** Default: log when all values are positive and span a decade or more. */
  scale?: 'auto' | 'linear' | 'log'
}

/**
 * A plot of several series as lines of text, without a final newline. Names and labels may hold anything. Values
 * that are not finite, or at the limits of what the table can hold (stand-ins for infinity), are not drawn, and
 * that is said.
 */
export function renderPlot(series: readonly PlotSeries[], options: PlotOptions): string {
  const width = clamp(options.width, 30, 400)
  const height = clamp(options.height, 4, 200)
  const drawn = series.slice(0, MARKERS.length).map(toCurve)
  const points = drawn.flatMap(({ points }) => points)
  // Trials without a drawable value keep their place on the axis.
  const x = extentOf(points.map((point) => point.x))
  const values = extentOf(points.filter(isDrawn).map((point) => point.y))
  const log = values !== undefined && isLog(values, options.scale ?? 'auto')
  const title = titleLine(options.title, log, width)
  const notes = [
    ...legend(drawn, width, options.color ?? false),
    ...(series.length > drawn.length ? [`and ${series.length - drawn.length} more, not drawn`] : []),
    ...offPlotNote(drawn),
  ]
  if (x === undefined || values === undefined) return [...title, '(nothing to plot yet)', ...notes].join('\n')

  const y = createAxis(values, log)
  const labels = yLabels(y, height)
  const xLabel = fitText(plainText(options.xLabel ?? ''), LONGEST_LABEL)
  const labelWidth = Math.max(displayWidth(xLabel), ...Array.from(labels.values(), (label) => label.length))
  const columns = width - labelWidth - 2
  const canvas = createCanvas(columns, height, options.ascii ?? false)
  drawCurves(
    canvas,
    drawn,
    (value) => share(value, x),
    (value) => y.share(value),
  )
  const rows = canvas.rows(options.color ?? false).map((row, i) => {
    const label = labels.get(i)
    return `${(label ?? '').padStart(labelWidth)} ${label === undefined ? '|' : '+'}${row}`
  })
  const [line, numbers] = xAxis(x, columns)
  const axis = [`${' '.repeat(labelWidth)} ${line}`, `${padText(xLabel, labelWidth, 'right')} ${numbers}`]
  return [...title, ...[...rows, ...axis].map((row) => row.trimEnd()), ...notes].join('\n')
}

/** Columns of the text left of the axis. */
const LONGEST_LABEL = 12
const MARKERS = ['o', 'x', '+', '*', '#', '@', '%', '&', '=', '~'] as const
/** ANSI foreground colours that are readable on dark and on bright. */
const COLORS = [36, 33, 35, 32, 34, 31] as const
/** What the table stores for infinity, with a little room for rounding. */
const TABLE_LIMIT = 9.99e125
/** What is smaller is stored as zero. */
const TABLE_SMALLEST = 1e-130

interface Curve {
  name: string
  marker: string
  colorCode: number
  /** By ascending x. */
  points: PlotPoint[]
}

interface DrawnPoint {
  x: number
  y: number
}

function toCurve({ name, points }: PlotSeries, index: number): Curve {
  return {
    name: plainText(name),
    marker: MARKERS[index % MARKERS.length] ?? 'o',
    colorCode: COLORS[index % COLORS.length] ?? 36,
    points: points
      .filter(({ x }) => isDrawable(x))
      .map(({ x, y }) => ({ x, y: y !== null && Math.abs(y) < TABLE_SMALLEST ? 0 : y }))
      .sort((a, b) => a.x - b.x),
  }
}

function isDrawn(point: PlotPoint): point is DrawnPoint {
  return point.y !== null && isDrawable(point.y)
}

function isDrawable(value: number): boolean {
  return Math.abs(value) < TABLE_LIMIT
}

interface Extent {
  min: number
  max: number
}

function titleLine(title: string | undefined, log: boolean, width: number): string[] {
  if (title === undefined) return []
  return [fitText(`${plainText(title)}${log ? ', log scale' : ''}`, width)]
}

function extentOf(values: readonly number[]): Extent | undefined {
  if (values.length === 0) return undefined
  // Not Math.min(...values): a call can't take as many arguments as a long series has values.
  return values.reduce<Extent>(
    ({ min, max }, value) => ({ min: Math.min(min, value), max: Math.max(max, value) }),
    { min: Infinity, max: -Infinity },
  )
}

/** Where a value lies between the ends, from 0 to 1; in the middle when both are the same. */
function share(value: number, { min, max }: Extent): number {
  return max > min ? (value - min) / (max - min) : 0.5
}

function isLog({ min, max }: Extent, scale: 'auto' | 'linear' | 'log'): boolean {
  if (scale === 'linear' || min <= 0) return false
  return scale === 'log' || max / min >= 10
}

interface ValueAxis {
  /** From 0 at the bottom to 1 at the top. */
  share(value: number): number
  /** Round values in reach, ascending: at most `count`, if there are so few. */
  ticks(count: number): number[]
  label(value: number): string
}

function createAxis(extent: Extent, log: boolean): ValueAxis {
  if (log) {
    const exponents = { min: Math.log10(extent.min), max: Math.log10(extent.max) }
    return {
      share: (value) => share(Math.log10(value), exponents),
      ticks: (count) => logTicks(extent, count),
      label: (value) => shortNumber(value, 3, 1e4),
    }
  }
  const span = extent.max - extent.min
  const margin = span > 0 ? 0 : Math.max(Math.abs(extent.min) * 0.1, Number.MIN_VALUE * 1e10) || 1
  const range =
    extent.min === 0 && span === 0
      ? { min: -1, max: 1 }
      : { min: extent.min - margin, max: extent.max + margin }
  return {
    share: (value) => share(value, range),
    ticks: (count) => linearTicks(range, count),
    label(value) {
      const magnitude = Math.max(Math.abs(range.min), Math.abs(range.max))
      // Enough digits to tell neighbouring ticks apart.
      const digits = clamp(Math.ceil(Math.log10(magnitude / (range.max - range.min))) + 3, 3, 15)
      return shortNumber(value, digits, 1e4)
    },
  }
}

/** Multiples of 1, 2 or 5 times a power of ten, of the finest step that gives at most `count`. */
function linearTicks({ min, max }: Extent, count: number): number[] {
  const rough = (max - min) / Math.max(1, count)
  const power = 10 ** Math.floor(Math.log10(rough))
  for (const factor of [1, 2, 5, 10, 20]) {
    const step = factor * power
    const first = Math.ceil(min / step)
    const last = Math.floor(max / step)
    if (last - first + 1 > count) continue
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step)
  }
  return []
}

/** 1, 2 and 5 of every decade where there is room; else 1 of every decade, or of every second, fifth, tenth … */
function logTicks(extent: Extent, count: number): number[] {
  const first = Math.floor(Math.log10(extent.min))
  const last = Math.ceil(Math.log10(extent.max))
  const fine = logValues(first, last, 1, [1, 2, 5], extent)
  if (fine.length <= count) return fine
  for (let step = 1; ; step = nextStep(step)) {
    const ticks = logValues(Math.ceil(first / step) * step, last, step, [1], extent)
    if (ticks.length <= count) return ticks
  }
}

function logValues(
  first: number,
  last: number,
  step: number,
  factors: readonly number[],
  extent: Extent,
): number[] {
  const values: number[] = []
  for (let exponent = first; exponent <= last; exponent += step) {
    // Through text, since 10 ** -5 is not 1e-5.
    values.push(...factors.map((factor) => Number(`${factor}e${exponent}`)))
  }
  return values.filter((value) => value >= extent.min && value <= extent.max)
}

/** 1, 2, 5, 10, 20, 50 … */
function nextStep(step: number): number {
  return /^2/.test(String(step)) ? step * 2.5 : step * 2
}

/** Row of the drawing, from the top → its label. Neighbouring rows never both have one. */
function yLabels(axis: ValueAxis, height: number): Map<number, string> {
  const ticks = axis.ticks(Math.ceil(height / 2))
  const labels = new Map<number, string>()
  for (const tick of ticks) {
    const row = Math.round((1 - axis.share(tick)) * (height - 1))
    if (!labels.has(row) && !labels.has(row + 1)) labels.set(row, axis.label(tick))
  }
  return labels
}

/** The line of the axis and the line of its numbers; the first column is that of the corner. */
function xAxis(x: Extent, columns: number): [string, string] {
  const line = ['+', ...Array.from({ length: columns }, () => '-')]
  const numbers = Array.from({ length: columns + 1 }, () => ' ')
  const isWhole = Number.isInteger(x.min) && Number.isInteger(x.max)
  const ticks = linearTicks(x, Math.max(1, Math.floor(columns / 8)))
  // The ends come first, so that the others make room for them.
  for (const tick of new Set([x.min, x.max, ...ticks])) {
    if (isWhole && !Number.isInteger(tick)) continue
    const column = 1 + Math.round(share(tick, x) * (columns - 1))
    const text = shortNumber(tick, 6, 1e6)
    const start = clamp(column - Math.floor(text.length / 2), 0, columns + 1 - text.length)
    const around = numbers.slice(Math.max(0, start - 2), start + text.length + 2)
    if (around.some((character) => character !== ' ')) continue
    numbers.splice(start, text.length, ...Array.from(text))
    line[column] = '+'
  }
  return [line.join(''), numbers.join('')]
}

/** A number in few characters: `0.05`, `1200`, `1e6`, `-2.5e-7`; with an exponent from `exponentFrom` on. */
function shortNumber(value: number, digits: number, exponentFrom: number): string {
  const short = Number(value.toPrecision(digits))
  const magnitude = Math.abs(short)
  if (magnitude === 0) return '0'
  const text = magnitude >= exponentFrom || magnitude < 1e-3 ? short.toExponential() : String(short)
  return text.replace('e+', 'e')
}

interface Canvas {
  columns: number
  height: number
  /** Dots per column and per row. */
  fineX: number
  fineY: number
  dot(x: number, y: number, color: number): void
  mark(column: number, row: number, marker: string, color: number): void
  rows(color: boolean): string[]
}

/** U+2800 plus one bit per dot: two dots wide, four high, numbered in the order of Unicode's braille patterns. */
const BRAILLE = 0x2800
const BRAILLE_BITS = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const

function createCanvas(columns: number, height: number, ascii: boolean): Canvas {
  const [fineX, fineY] = ascii ? [1, 1] : [2, 4]
  const cells = Array.from({ length: height }, () =>
    Array.from({ length: columns }, () => ({ bits: 0, marker: '', color: 0 })),
  )

  function dot(x: number, y: number, color: number): void {
    const cell = cells[Math.floor(y / fineY)]?.[Math.floor(x / fineX)]
    if (cell === undefined) return
    cell.bits |= BRAILLE_BITS[y % fineY]?.[x % fineX] ?? 0
    if (cell.marker === '') cell.color = color
  }

  function mark(column: number, row: number, marker: string, color: number): void {
    const cell = cells[row]?.[column]
    if (cell !== undefined) Object.assign(cell, { marker, color })
  }

  function rows(color: boolean): string[] {
    return cells.map((row) => {
      let text = ''
      let current = 0
      for (const cell of row) {
        const character = cell.marker !== '' ? cell.marker : lineCharacter(cell.bits, ascii)
        const wanted = character === ' ' ? 0 : cell.color
        if (color && wanted !== current) text += wanted === 0 ? RESET : paint(wanted)
        current = wanted
        text += character
      }
      return color && current !== 0 ? text + RESET : text
    })
  }

  return { columns, height, fineX, fineY, dot, mark, rows }
}

const RESET = '\u001b[39m'

function paint(color: number): string {
  return `\u001b[${color}m`
}

function lineCharacter(bits: number, ascii: boolean): string {
  if (bits === 0) return ' '
  return ascii ? '.' : String.fromCodePoint(BRAILLE + bits)
}

/** Columns from one marker of a curve to its next, at least. */
const MARKER_DISTANCE = 6

function drawCurves(
  canvas: Canvas,
  curves: readonly Curve[],
  shareX: (x: number) => number,
  shareY: (y: number) => number,
): void {
  const [dotsX, dotsY] = [canvas.columns * canvas.fineX - 1, canvas.height * canvas.fineY - 1]
  const placed = curves.map((curve) => ({
    ...curve,
    places: curve.points.map((point) =>
      isDrawn(point)
        ? { x: Math.round(shareX(point.x) * dotsX), y: Math.round((1 - shareY(point.y)) * dotsY) }
        : undefined,
    ),
  }))
  for (const { places, colorCode } of placed) {
    for (const [i, place] of places.entries()) {
      if (place !== undefined) drawLine(canvas, places[i - 1] ?? place, place, colorCode)
    }
  }
  for (const [index, { places, marker, colorCode }] of placed.entries()) {
    // Curves that run together show their markers in turn.
    let next = Math.round((index * MARKER_DISTANCE) / placed.length)
    for (const [i, place] of places.entries()) {
      if (place === undefined) continue
      const column = Math.floor(place.x / canvas.fineX)
      const isAlone = places[i - 1] === undefined && places[i + 1] === undefined
      if (column < next && !isAlone) continue
      canvas.mark(column, Math.floor(place.y / canvas.fineY), marker, colorCode)
      next = column + MARKER_DISTANCE
    }
  }
}

interface Place {
  x: number
  y: number
}

function drawLine(canvas: Canvas, from: Place, to: Place, color: number): void {
  const steps = Math.max(1, Math.abs(to.x - from.x), Math.abs(to.y - from.y))
  for (let step = 0; step <= steps; step += 1) {
    const x = Math.round(from.x + ((to.x - from.x) * step) / steps)
    const y = Math.round(from.y + ((to.y - from.y) * step) / steps)
    canvas.dot(x, y, color)
  }
}

/** Markers and names, as many to a line as fit. */
function legend(curves: readonly Curve[], width: number, color: boolean): string[] {
  const lines: { text: string; width: number }[] = []
  for (const { marker, name, colorCode } of curves) {
    const shown = fitText(name, width - 4)
    const entryWidth = displayWidth(shown) + 4
    const entry = `  ${color ? `${paint(colorCode)}${marker}${RESET}` : marker} ${shown}`
    const line = lines.at(-1)
    if (line !== undefined && line.width + entryWidth <= width) {
      line.text += entry
      line.width += entryWidth
    } else {
      lines.push({ text: entry, width: entryWidth })
    }
  }
  return lines.map(({ text }) => text)
}

function offPlotNote(curves: readonly Curve[]): string[] {
  const count = curves
    .flatMap(({ points }) => points)
    .filter((point) => point.y !== null && !Number.isNaN(point.y) && !isDrawable(point.y)).length
  return count === 0 ? [] : [`not drawn: ${count} infinite ${count === 1 ? 'value' : 'values'}`]
}

function clamp(value: number, smallest: number, largest: number): number {
  return Number.isNaN(value) ? smallest : Math.min(largest, Math.max(smallest, Math.floor(value)))
}
