import { formatPythonJson } from '../../core/json.ts'
import { EVALUATION_ATTRIBUTES, readEvaluation } from '../../records/evaluation.ts'
import type { Trial } from '../../records/keys.ts'
import { historyEntryJson, readScore } from '../../records/score.ts'
import type { Item, Store } from '../../stores/store.ts'
import { entryPart } from './blocks.ts'
import { pairUp, trialItems, type Numbered, type TrialRange } from './trial-items.ts'

/** An earlier trial with both results, ready to be sent to an image. */
export interface Entry {
  number: number
  part: Buffer
}

/** What is known of the trials of a range. */
export interface Survey {
  /** Trials with both results, ascending. */
  entries: Entry[]
  /** Every trial of which there is anything, ascending. */
  trials: { number: number; final: boolean }[]
  /** TrialNo of the first solution that is not final. */
  blocker: string | undefined
  /** A number below this one that has no solution will not get one any more. */
  complete: number
}

export interface SurveyOptions {
  store: Store
  trial: Trial
  range: TrialRange
  /** Solutions from before this (ms since the epoch) have no younger ones with smaller numbers. */
  oldBeforeMs: number
  signal: AbortSignal
}

/**
 * What was seen of a result. `flagged`: its flag, but no item; that may have been written between two reads, or been
 * taken away.
 */
type Outcome = 'none' | 'flagged' | 'failed' | 'success'

/** A trial that lacks at least one success. */
interface Finding {
  trialNo: string
  solution: boolean
  evaluation: Outcome
  score: Outcome
}

interface Findings {
  entries: Entry[]
  lacking: Map<number, Finding>
  complete: number
}

/**
 * Looks at all trials of a range. When all of them went well that is three queries side by side; flags and failures
 * are read only when something is missing. Others write meanwhile: a flag whose result was not seen has everything
 * read again, before it is taken for a trial without one.
 */
export async function surveyTrials(options: SurveyOptions): Promise<Survey> {
  let flaggedBefore: ReadonlySet<string> = new Set()
  for (;;) {
    const findings = await readSuccesses(options)
    const open = openRange(findings, options.range)
    if (open === undefined) return conclude(findings)
    await readFailures(findings, { ...options, range: open })
    const flagged = flagsWithoutResult(findings)
    if (flagged.every((flag) => flaggedBefore.has(flag))) return conclude(findings)
    flaggedBefore = new Set(flagged)
  }
}

async function readSuccesses({ store, trial, range, oldBeforeMs, signal }: SurveyOptions): Promise<Findings> {
  const entries: Entry[] = []
  const lacking = new Map<number, Finding>()
  const solutions: Numbered[] = []
  let complete = -1
  const noteAge = ({ item, number }: Numbered): void => {
    if (createdMs(item) < oldBeforeMs) complete = Math.max(complete, number)
  }
  async function readSolutions(): Promise<void> {
    for await (const solution of trialItems(store, 'Solutions', '', trial, range, ['CreatedAt'], signal)) {
      solutions.push(solution)
      noteAge(solution)
    }
  }
  async function readResults(): Promise<void> {
    const attributes = ['TrialNo', 'CreatedAt', ...EVALUATION_ATTRIBUTES]
    const evaluations = trialItems(store, 'Evaluations', 'Success#', trial, range, attributes, signal)
    const scores = trialItems(store, 'Scores', 'Success#', trial, range, ['Value'], signal)
    for await (const { left: evaluation, right: score } of pairUp(evaluations, scores)) {
      if (evaluation !== undefined) noteAge(evaluation)
      if (evaluation !== undefined && score !== undefined) entries.push(toEntry(evaluation, score))
      else if (evaluation !== undefined) findingOf(lacking, evaluation).evaluation = 'success'
      else if (score !== undefined) findingOf(lacking, score).score = 'success'
    }
  }
  await Promise.all([readSolutions(), readResults()])
  const whole = new Set(entries.map(({ number }) => number))
  for (const solution of solutions) {
    if (!whole.has(solution.number)) findingOf(lacking, solution).solution = true
  }
  return { entries, lacking, complete }
}

/** Where it must be asked for failures: from the first to the last trial that lacks something or has no item at all. */
function openRange(
  { entries, lacking, complete }: Findings,
  { from, like }: TrialRange,
): TrialRange | undefined {
  const open = [...lacking.keys()]
  let before = Math.max(from - 1, 0)
  for (const number of ascending([...open, ...entries.map((entry) => entry.number)])) {
    if (number > before + 1 && number > complete) open.push(before + 1, number - 1)
    before = number
  }
  if (open.length === 0) return undefined
  const numbers = ascending(open)
  return { from: numbers[0] ?? from, to: numbers.at(-1) ?? from, like }
}

async function readFailures({ entries, lacking }: Findings, options: SurveyOptions): Promise<void> {
  const { store, trial, range, signal } = options
  const whole = new Set(entries.map(({ number }) => number))
  const results = [
    ['Evaluations', 'evaluation'],
    ['Scores', 'score'],
  ] as const
  const marks = [
    ['', 'flagged'],
    ['Failed#', 'failed'],
  ] as const
  const reads = results.flatMap(([series, result]) =>
    marks.map(async ([prefix, outcome]) => {
      for await (const found of trialItems(store, series, prefix, trial, range, [], signal)) {
        if (whole.has(found.number)) continue
        const finding = findingOf(lacking, found)
        if (rank(outcome) > rank(finding[result])) finding[result] = outcome
      }
    }),
  )
  await Promise.all(reads)
}

function flagsWithoutResult({ lacking }: Findings): string[] {
  return Array.from(lacking).flatMap(([number, { evaluation, score }]) => [
    ...(evaluation === 'flagged' ? [`evaluation ${number}`] : []),
    ...(score === 'flagged' ? [`score ${number}`] : []),
  ])
}

function conclude({ entries, lacking, complete }: Findings): Survey {
  const trials = entries.map(({ number }) => ({ number, final: true }))
  for (const [number, finding] of lacking) trials.push({ number, final: isFinal(finding) })
  trials.sort((a, b) => a.number - b.number)
  const blocking = Array.from(lacking).filter(([, finding]) => finding.solution && !isFinal(finding))
  const first = blocking.reduce((least, [number]) => Math.min(least, number), Infinity)
  return { entries, trials, complete, blocker: lacking.get(first)?.trialNo }
}

/** An evaluation that failed is never scored. A flag stands for a result, even where that was taken away. */
function isFinal({ evaluation, score }: Finding): boolean {
  if (evaluation === 'success') return score !== 'none'
  return evaluation !== 'none'
}

function toEntry(evaluation: Numbered, score: Numbered): Entry {
  const stored = evaluation.item['TrialNo']
  const trialNo = typeof stored === 'string' ? stored : evaluation.trialNo
  const json = historyEntryJson(trialNo, readEvaluation(evaluation.item), readScore(score.item))
  return { number: evaluation.number, part: entryPart(formatPythonJson(json)) }
}

function findingOf(findings: Map<number, Finding>, { number, trialNo }: Numbered): Finding {
  const known = findings.get(number)
  if (known !== undefined) return known
  const finding: Finding = { trialNo, solution: false, evaluation: 'none', score: 'none' }
  findings.set(number, finding)
  return finding
}

function rank(outcome: Outcome): number {
  return ['none', 'flagged', 'failed', 'success'].indexOf(outcome)
}

function ascending(numbers: readonly number[]): number[] {
  return [...numbers].sort((a, b) => a - b)
}

/** NaN, which is before and after nothing, when the item does not say. */
function createdMs(item: Item): number {
  const text = item['CreatedAt']
  return typeof text === 'string' ? Date.parse(text) : NaN
}
