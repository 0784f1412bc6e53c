import { ExactNumber } from '../core/exact-number.ts'
import type { Json, JsonObject } from '../core/json.ts'
import type { Item } from '../stores/store.ts'
import { evaluationJson, type Evaluation } from './evaluation.ts'
import type { Trial } from './keys.ts'
import { successItem, type Span } from './result.ts'

/** The item of a successful score. */
export function scoreItem(trial: Trial, span: Span, value: ExactNumber): Item {
  return successItem('Scores', trial, span, { Value: value })
}

/** Reads a successful score; undefined when it holds no number. */
export function readScore(item: Item): ExactNumber | undefined {
  const value = item['Value']
  return value instanceof ExactNumber ? value : undefined
}

/** One earlier trial as an indicator image gets it. */
export function historyEntryJson(
  trialNo: string,
  evaluation: Evaluation,
  score: ExactNumber | undefined,
): JsonObject {
  return new Map<string, Json>([
    ['trial_no', trialNo],
    ...evaluationJson(evaluation),
    ['score', score ?? null],
  ])
}
