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
  /** Numbers of the entries. */
  whole: Set<number>
  lacking: Map<number, Finding>
  complete: number
}

/** At most so many ranges are asked about one by one; what lies between them is asked about, too, when there are more. */
const MOST_GAPS = 8

/**
 * Looks at all trials of a range. When all of them went well that is two queries side by side; solutions, flags and
 * failures are read only where something is missing. Others write meanwhile: a flag whose result was not seen has
 * everything read again, before it is taken for a trial without one.
 */
export async function surveyTrials(options: SurveyOptions): Promise<Survey> {
  let flaggedBefore: ReadonlySet<string> = new Set()
  for (;;) {
    const findings = await readSuccesses(options)
    await Promise.all(gapsIn(findings, options.range).map((gap) => readGap(findings, gap, options)))
    const flagged = flagsWithoutResult(findings)
    if (flagged.every((flag) => flaggedBefore.has(flag))) return conclude(findings)
    flaggedBefore = new Set(flagged)
  }
}

async function readSuccesses(options: SurveyOptions): Promise<Findings> {
  const { store, trial, range, signal } = options
  const findings: Findings = { entries: [], whole: new Set(), lacking: new Map(), complete: -1 }
  const { entries, whole, lacking } = findings
  const attributes = ['TrialNo', 'CreatedAt', ...EVALUATION_ATTRIBUTES]
  const evaluations = trialItems(store, 'Evaluations', 'Success#', trial, range, attributes, signal)
  const scores = trialItems(store, 'Scores', 'Success#', trial, range, ['Value'], signal)
  for await (const { left: evaluation, right: score } of pairUp(evaluations, scores)) {
    if (evaluation !== undefined) noteAge(findings, evaluation, options)
    if (evaluation !== undefined && score !== undefined) {
      entries.push(toEntry(evaluation, score))
      whole.add(evaluation.number)
    } else if (evaluation !== undefined) findingOf(lacking, evaluation).evaluation = 'success'
    else if (score !== undefined) findingOf(lacking, score).score = 'success'
  }
  return findings
}

/** Where a trial lacks something or has nothing at all: at most MOST_GAPS ranges that hold all such numbers. */
function gapsIn({ entries }: Findings, { from, to, like }: TrialRange): TrialRange[] {
  const gaps: TrialRange[] = []
  let next = from
  for (const { number } of [...entries, { number: to + 1 }]) {
    if (number > next) gaps.push({ from: next, to: number - 1, like })
    next = number + 1
  }
  // The smallest distances are bridged.
  const bridges = gaps
    .flatMap((gap, index) => ({ index, length: gap.from - (gaps[index - 1]?.to ?? -Infinity) }))
    .sort((a, b) => a.length - b.length)
    .slice(0, Math.max(0, gaps.length - MOST_GAPS))
  const bridged = new Set(bridges.map(({ index }) => index))
  return gaps.reduce<TrialRange[]>((joined, gap, index) => {
    const last = joined.at(-1)
    if (last !== undefined && bridged.has(index)) last.to = gap.to
    else joined.push(gap)
    return joined
  }, [])
}

/** Reads what else there may be of the trials of a gap: their solutions, flags, failures. */
async function readGap(findings: Findings, range: TrialRange, options: SurveyOptions): Promise<void> {
  const { whole, lacking } = findings
  const { store, trial, signal } = options
  async function readSolutions(): Promise<void> {
    for await (const solution of trialItems(store, 'Solutions', '', trial, range, ['CreatedAt'], signal)) {
      noteAge(findings, solution, options)
      if (!whole.has(solution.number)) findingOf(lacking, solution).solution = true
    }
  }
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
  await Promise.all([readSolutions(), ...reads])
}

function noteAge(findings: Findings, { item, number }: Numbered, { oldBeforeMs }: SurveyOptions): void {
  if (createdMs(item) < oldBeforeMs) findings.complete = Math.max(findings.complete, number)
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

/**
 * Whether nothing can change any more that a history shows of a trial. An evaluation that failed is never scored. A
 * flag stands for a result, even where that was taken away.
 */
function isFinal({ evaluation, score }: Finding): boolean {
  if (evaluation === 'none') return score === 'failed' || score === 'flagged'
  return evaluation !== 'success' || score !== 'none'
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

/** NaN, which is before and after nothing, when the item does not say. */
function createdMs(item: Item): number {
  const text = item['CreatedAt']
  return typeof text === 'string' ? Date.parse(text) : NaN
}
