import { ExactNumber } from '../../../src/core/exact-number.ts'
import { fromPlain, type Json } from '../../../src/core/json.ts'
import { evaluationItem } from '../../../src/records/evaluation.ts'
import type { Trial } from '../../../src/records/keys.ts'
import { failedItem, flagItem, type ResultSeries } from '../../../src/records/result.ts'
import { scoreItem } from '../../../src/records/score.ts'
import { addSolution, MATCH, TEAM, trialOf, type Image, type World } from './harness.ts'

/** Scores of the team. */
export const PARTITION = `Scores#Match#${MATCH}#${TEAM}`
/** Of failed results. */
export const TEXTS = { errorMessage: 'x', adminErrorMessage: 'x' }

/** Scores a trial as how many trials are before it. */
export const COUNT: Image = (stdin) => ({ stdout: `{"score": ${historyIn(stdin).length}}` })

/** One entry of a history. */
export interface HistoryEntry {
  trial_no: string
  score: number
}

/** The history in an indicator's standard input. */
export function historyIn(stdin: string | undefined): HistoryEntry[] {
  const [, history = ''] = (stdin ?? '').split('\n')
  return JSON.parse(history) as HistoryEntry[]
}

/** The trials of the history that the last image got. */
export function lastHistory({ inputs }: World): string[] {
  return historyIn(inputs.at(-1)).map((entry) => entry.trial_no)
}

/** A job that took no time. */
export function spanNow({ clock }: World): { startedAt: Date; finishedAt: Date; createdAt: Date } {
  const now = clock.date()
  return { startedAt: now, finishedAt: now, createdAt: now }
}

/** A successful evaluation and its flag. */
export function addEvaluation(
  world: World,
  trial: Trial,
  objective: Json = ExactNumber.of(Number(trial.trialNo)),
): void {
  const evaluation = { objective, constraint: null, info: fromPlain({}), feasible: null }
  world.store.add(evaluationItem(trial, spanNow(world), evaluation))
  world.store.add(flagItem('Evaluations', trial))
}

/** A successful score and its flag. */
export function addScore(world: World, trial: Trial, value = 0.5): void {
  world.store.add(scoreItem(trial, spanNow(world), ExactNumber.of(value)))
  world.store.add(flagItem('Scores', trial))
}

/** A failed result and its flag. */
export function addFailure(world: World, series: ResultSeries, trial: Trial): void {
  world.store.add(failedItem(series, trial, spanNow(world), TEXTS))
  world.store.add(flagItem(series, trial))
}

/** Trials 1 to `count` with solution, evaluation and score. */
export function addScored(world: World, count: number, width = 5): void {
  for (let n = 1; n <= count; n += 1) {
    const trial = trialOf(String(n).padStart(width, '0'))
    addSolution(world, trial)
    addEvaluation(world, trial)
    addScore(world, trial)
  }
}

/** A trial that is to be scored. */
export function addTrial(world: World, trialNo: string): Trial {
  const trial = trialOf(trialNo)
  addSolution(world, trial)
  addEvaluation(world, trial)
  return trial
}
