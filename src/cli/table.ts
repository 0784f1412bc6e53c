import { displayWidth, fitText, padText, plainText } from './text.ts'

export interface Column {
  header: string
  /** Default left. */
  align?: 'left' | 'right'
  /** Longer cells are cut to so many terminal columns. */
  maxWidth?: number
}

/**
 * Rows under their headers, aligned by what a terminal draws, without a final newline. Cells may hold anything:
 * control characters and escape sequences are spelled out. Missing cells are empty, superfluous ones left out.
 */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cells = [columns.map(({ header }) => header), ...rows].map((row) =>
    columns.map(({ maxWidth = Infinity }, i) => fitText(plainText(row[i] ?? ''), maxWidth)),
  )
  const widths = columns.map((_, i) =>
    cells.reduce((width, row) => Math.max(width, displayWidth(row[i] ?? '')), 0),
  )
  const lines = cells.map((row) => row.map((cell, i) => padText(cell, widths[i] ?? 0, columns[i]?.align)))
  lines.splice(
    1,
    0,
    widths.map((width) => '-'.repeat(width)),
  )
  return lines.map((line) => line.join('  ').trimEnd()).join('\n')
}

export type Direction = 'minimize' | 'maximize'

/** One trial of a participant, in the order of their trials. */
export interface ScoredTrial {
  participantId: string
  /** Left out while there is none, and for a failed trial. */
  score?: number
  /** The evaluation or the scoring failed. */
  failed: boolean
}

export interface Standing {
  participantId: string
  /** From 1; equal scores share a rank, and the ranks after them are left out. Undefined without a score. */
  rank?: number
  best?: number
  last?: number
  trials: number
  failed: number
}

/** One line per participant, best first; those without a score last; equals by name. NaN is no score. */
export function rankParticipants(trials: Iterable<ScoredTrial>, direction: Direction): Standing[] {
  const standings = new Map<string, Standing>()
  for (const { participantId, score, failed } of trials) {
    const standing = standings.get(participantId) ?? { participantId, trials: 0, failed: 0 }
    standings.set(participantId, standing)
    standing.trials += 1
    if (failed) standing.failed += 1
    if (score === undefined || Number.isNaN(score)) continue
    if (standing.best === undefined || isBetter(score, standing.best, direction)) standing.best = score
    standing.last = score
  }
  const ranked = [...standings.values()].sort(
    (a, b) => compareScores(a.best, b.best, direction) || compareNames(a.participantId, b.participantId),
  )
  let rank = 0
  let earlier: number | undefined
  for (const [i, standing] of ranked.entries()) {
    if (standing.best === undefined) break
    if (standing.best !== earlier) rank = i + 1
    earlier = standing.best
    standing.rank = rank
  }
  return ranked
}

const LONGEST_NAME = 40

/** The standings as a table, with as many digits as tell different best scores apart. */
export function renderLeaderboard(standings: readonly Standing[]): string {
  const digits = digitsToTellApart(standings.map(({ best }) => best).filter((best) => best !== undefined))
  const columns: Column[] = [
    { header: 'rank', align: 'right' },
    { header: 'participant', maxWidth: LONGEST_NAME },
    { header: 'best score', align: 'right' },
    { header: 'trials', align: 'right' },
    { header: 'failed', align: 'right' },
    { header: 'last score', align: 'right' },
  ]
  const show = (score: number | undefined): string => (score === undefined ? '-' : formatScore(score, digits))
  const rows = standings.map(({ rank, participantId, best, trials, failed, last }) => [
    rank === undefined ? '-' : String(rank),
    participantId,
    show(best),
    String(trials),
    String(failed),
    show(last),
  ])
  return renderTable(columns, rows)
}

const LEAST_DIGITS = 6
/** As many as tell any two doubles apart. */
const MOST_DIGITS = 17

/** A number in at most `digits` significant digits, without trailing zeros, `1.5e-7` where that is shorter. */
export function formatScore(value: number, digits: number = LEAST_DIGITS): string {
  if (!Number.isFinite(value)) return String(value)
  const short = Number(value.toPrecision(digits))
  // A number that needs no more digits than that is printed so by itself.
  const plain = digits >= MOST_DIGITS ? String(value) : String(short)
  const magnitude = Math.abs(short)
  const isPlain = magnitude === 0 || (magnitude >= 1e-4 && magnitude < 10 ** Math.max(digits, 9))
  return (isPlain ? plain : (digits >= MOST_DIGITS ? value : short).toExponential()).replace('e+', 'e')
}

function digitsToTellApart(values: readonly number[]): number {
  const different = new Set(values).size
  let digits = LEAST_DIGITS
  while (
    digits < MOST_DIGITS &&
    new Set(values.map((value) => formatScore(value, digits))).size < different
  ) {
    digits += 1
  }
  return digits
}

function isBetter(a: number, b: number, direction: Direction): boolean {
  return direction === 'minimize' ? a < b : a > b
}

/** Better scores first, those without a score last. */
export function compareScores(a: number | undefined, b: number | undefined, direction: Direction): number {
  if (a === b) return 0
  if (a === undefined) return 1
  if (b === undefined) return -1
  return isBetter(a, b, direction) ? -1 : 1
}

/** By code unit: the same order on every machine. */
function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
