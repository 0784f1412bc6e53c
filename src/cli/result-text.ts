import { formatJson, isJsonObject, type Json } from '../core/json.ts'
import { ExactNumber } from '../core/exact-number.ts'
import type { TrialKindName } from '../kinds/index.ts'
import { renderPlot, type PlotSeries } from './plot.ts'
import type { ResultView } from './result-view.ts'
import { compareScores, rankParticipants, renderLeaderboard, renderTable, type Direction } from './table.ts'
import { plainText } from './text.ts'

export interface ReportOptions {
  kind: TrialKindName
  direction: Direction
  /** Columns of the terminal. */
  width: number
  color: boolean
}

/** One result as lines of `key: value`. */
export function describeResult({ json }: ResultView): string {
  const width = Math.max(...Array.from(json.keys(), (key) => key.length)) + 1
  return [...json]
    .filter(([, value]) => value !== null && !(isJsonObject(value) && value.size === 0))
    .map(([key, value]) => `${`${key}:`.padEnd(width)} ${plainText(valueText(value))}`)
    .join('\n')
}

/** Leaderboard (for the scores of several participants), trials best first, and the plot of values by trial. */
export function reportResults(results: readonly ResultView[], options: ReportOptions): string {
  if (results.length === 0) return 'No results yet.'
  const sections = [trialTable(results, options), plotOf(results, options)]
  const participants = new Set(results.map(({ trial }) => trial.participantId))
  if (options.kind === 'scorer' && participants.size > 1) {
    sections.unshift(leaderboard(results, options))
  }
  return sections.join('\n\n')
}

/** Best value first, failed trials last; equals in the order of their trials. */
export function bestFirst(results: readonly ResultView[], direction: Direction): ResultView[] {
  return [...results].sort(
    (a, b) => compareScores(numberOf(a), numberOf(b), direction) || compareTrials(a, b),
  )
}

/** By participant, then by trial. */
export function compareTrials({ trial: a }: ResultView, { trial: b }: ResultView): number {
  return (
    compareText(a.participantId, b.participantId) ||
    a.trialNo.length - b.trialNo.length ||
    compareText(a.trialNo, b.trialNo)
  )
}

/** The rows of RFC 4180, the header first; numbers with all their digits. */
export function csvLine(cells: readonly string[]): string {
  return cells.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(',')
}

/** The columns of a kind's CSV: keys of a result's JSON. */
export function csvColumns(kind: TrialKindName): readonly string[] {
  const values = kind === 'scorer' ? ['score'] : ['objective', 'constraint', 'feasible', 'info']
  return [
    'match_id',
    'participant_id',
    'trial_no',
    'status',
    ...values,
    'error_message',
    'started_at',
    'finished_at',
  ]
}

/** A result as a row of its kind's CSV. */
export function csvRow({ json }: ResultView, kind: TrialKindName): string {
  return csvLine(csvColumns(kind).map((column) => valueText(json.get(column) ?? null)))
}

function leaderboard(results: readonly ResultView[], { direction }: ReportOptions): string {
  const trials = [...results].sort(compareTrials).map((result) => {
    const score = numberOf(result)
    const { participantId } = result.trial
    return { participantId, failed: result.status === 'Failed', ...(score !== undefined && { score }) }
  })
  return renderLeaderboard(rankParticipants(trials, direction))
}

function trialTable(results: readonly ResultView[], { kind, direction }: ReportOptions): string {
  const what = kind === 'scorer' ? 'score' : 'objective'
  return renderTable(
    [
      { header: 'participant', maxWidth: 40 },
      { header: 'trial', align: 'right' },
      { header: what, align: 'right', maxWidth: 44 },
      { header: 'seconds', align: 'right' },
      { header: 'error', maxWidth: 60 },
    ],
    bestFirst(results, direction).map((result) => [
      result.trial.participantId,
      result.trial.trialNo,
      result.status === 'Failed' ? 'failed' : valueText(result.value ?? null),
      secondsOf(result),
      result.errorMessage,
    ]),
  )
}

function plotOf(results: readonly ResultView[], { kind, width, color }: ReportOptions): string {
  const series = new Map<string, PlotSeries & { points: { x: number; y: number | null }[] }>()
  for (const result of [...results].sort(compareTrials)) {
    const { participantId, trialNo } = result.trial
    const line = series.get(participantId) ?? { name: participantId, points: [] }
    series.set(participantId, line)
    line.points.push({ x: Number(trialNo), y: numberOf(result) ?? null })
  }
  const title = kind === 'scorer' ? 'score by trial' : 'objective by trial'
  return renderPlot([...series.values()], { width, height: 16, title, xLabel: 'trial', color })
}

function numberOf({ value }: ResultView): number | undefined {
  return value instanceof ExactNumber ? value.toNumber() : undefined
}

function secondsOf({ startedAt, finishedAt }: ResultView): string {
  const seconds = (Date.parse(finishedAt ?? '') - Date.parse(startedAt ?? '')) / 1000
  return Number.isFinite(seconds) ? seconds.toFixed(3) : ''
}

function valueText(value: Json): string {
  if (typeof value === 'string') return value
  return value === null ? '' : formatJson(value)
}

function compareText(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
