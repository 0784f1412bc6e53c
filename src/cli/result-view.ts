import { fromPlain, type Json } from '../core/json.ts'
import { readEvaluation } from '../records/evaluation.ts'
import { partitionOf, resultKey, type Trial } from '../records/keys.ts'
import { readResultHead } from '../records/result.ts'
import { readScore } from '../records/score.ts'
import type { TrialKindName } from '../kinds/index.ts'
import type { Item, Store } from '../stores/store.ts'
import { formatTrialId } from './trial-id.ts'

/** One stored result, as people read it. */
export interface ResultView {
  trial: Trial
  status: 'Success' | 'Failed'
  /** Objective or score, whatever it is; undefined for a failed trial. */
  value: Json | undefined
  startedAt: string | undefined
  finishedAt: string | undefined
  errorMessage: string
  /** Everything, for JSON; keys as in the container protocol. */
  json: ReadonlyMap<string, Json>
}

const SERIES = { evaluator: 'Evaluations', scorer: 'Scores' } as const

/** The result of one trial; undefined while there is none. */
export async function findResult(
  store: Store,
  kind: TrialKindName,
  trial: Trial,
  signal: AbortSignal,
): Promise<ResultView | undefined> {
  const series = SERIES[kind]
  const [success, failed] = await Promise.all([
    store.get(resultKey(series, 'Success', trial), signal),
    store.get(resultKey(series, 'Failed', trial), signal),
  ])
  const item = success ?? failed
  return item === undefined ? undefined : viewResult(kind, item, trial)
}

/** All results of a match, or of one participant in it, in no order. */
export async function* listResults(
  store: Store,
  kind: TrialKindName,
  { matchId, participantId }: { matchId: string; participantId: string | undefined },
  signal: AbortSignal,
): AsyncGenerator<ResultView> {
  const series = SERIES[kind]
  const items =
    participantId === undefined
      ? store.scan(partitionOf(series, { matchId, participantId: '' }), signal)
      : // Only results begin so; flags are bare digits.
        store.query(
          partitionOf(series, { matchId, participantId }),
          { from: 'Failed#', to: 'Success#~' },
          signal,
        )
  for await (const item of items) {
    const id = item['ID']
    if (typeof id !== 'string') continue
    const participant = id.slice(partitionOf(series, { matchId, participantId: '' }).length)
    const view = viewResult(kind, item, { matchId, participantId: participant, trialNo: '' })
    if (view !== undefined) yield view
  }
}

function viewResult(kind: TrialKindName, item: Item, at: Trial): ResultView | undefined {
  const head = readResultHead(item)
  if (head === undefined) return undefined
  const trial = { ...at, trialNo: head.trialNo }
  const values: [string, Json][] = head.status === 'Failed' ? [] : valuesOf(kind, item)
  const { status, startedAt, finishedAt, createdAt, errorMessage, adminErrorMessage } = head
  const failure =
    status === 'Failed' ? { error_message: errorMessage, admin_error_message: adminErrorMessage } : {}
  const json = new Map<string, Json>([
    ['id', formatTrialId(trial)],
    ['kind', kind],
    ['match_id', trial.matchId],
    ['participant_id', trial.participantId],
    ['trial_no', trial.trialNo],
    ['status', status],
    ...values,
    ...Object.entries(failure),
    ['started_at', fromPlain(startedAt ?? null)],
    ['finished_at', fromPlain(finishedAt ?? null)],
    ['created_at', fromPlain(createdAt ?? null)],
  ])
  return { trial, status, value: values[0]?.[1], startedAt, finishedAt, errorMessage, json }
}

function valuesOf(kind: TrialKindName, item: Item): [string, Json][] {
  if (kind === 'scorer') return [['score', readScore(item) ?? null]]
  const { objective, constraint, feasible, info } = readEvaluation(item)
  return [
    ['objective', objective],
    ['constraint', constraint],
    ['feasible', feasible],
    ['info', info],
  ]
}
