import type { Table } from '../app/table.ts'
import { EXIT, JobError, OperatorError } from '../core/errors.ts'
import type { Json } from '../core/json.ts'
import type { WriteOutcome } from '../core/kind.ts'
import { formatTrialMessage } from '../kinds/message.ts'
import { partitionOf, solutionKey, type Trial } from '../records/keys.ts'
import { solutionItem } from '../records/solution.ts'
import { fitForTable } from '../stores/numbers.ts'
import type { Item, Store } from '../stores/store.ts'

/** A solution as it is handed in; without `trialNo` it becomes the participant's next trial. */
export interface Solution {
  matchId: string
  participantId: string
  trialNo?: string
  variable: Json
}

/** What an empty series begins with; a series keeps the width that it has. */
const WIDTH = 5
/** Others may submit for the same participant at the same time. */
const MOST_TRIES = 50

/**
 * Stores a solution under a free trial number, and queues it where nothing does that by itself. OperatorError when no
 * table could hold it as it is.
 */
export async function submitSolution(table: Table, solution: Solution, signal: AbortSignal): Promise<Trial> {
  const { warnings } = fitForTable(solution.variable, 'Variable')
  if (warnings.length > 0) throw unstorable(warnings.join('\n'))
  const queue = table.reactive ? undefined : table.queue('evaluator')
  // Asked first: a solution that is stored, but can't be queued, would wait for ever.
  await queue?.probe(signal)
  const trial = await storeSolution(table.store, solution, signal)
  await queue?.send(formatTrialMessage(trial))
  return trial
}

/** Puts the evaluator's message of a trial on its queue. */
export async function queueTrial(table: Table, trial: Trial): Promise<void> {
  await table.queue('evaluator').send(formatTrialMessage(trial))
}

async function storeSolution(store: Store, solution: Solution, signal: AbortSignal): Promise<Trial> {
  const { matchId, participantId, variable } = solution
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const trialNo = solution.trialNo ?? (await nextTrialNo(store, solution, signal))
    const trial = { matchId, participantId, trialNo }
    const item = solutionItem(trial, { userId: participantId, variable, createdAt: new Date() })
    if ((await putSolution(store, item, trial)) === 'written') return trial
    if (solution.trialNo !== undefined) {
      throw new OperatorError(
        `Trial ${trialNo} of ${participantId} has a solution already`,
        'a stored solution is never replaced',
        'Leave TrialNo out to get the next free one.',
        EXIT.failedStart,
      )
    }
  }
  throw new OperatorError(
    `No free trial number was found for ${participantId}`,
    `others took the next one ${MOST_TRIES} times`,
    'Try again when fewer submit at the same time.',
    EXIT.unavailable,
  )
}

async function putSolution(store: Store, item: Item, trial: Trial): Promise<WriteOutcome> {
  try {
    return await store.put([item], solutionKey(trial))
  } catch (error) {
    if (!(error instanceof JobError)) throw error
    throw unstorable(error.publicMessage, { cause: error })
  }
}

function unstorable(why: string, options?: ErrorOptions): OperatorError {
  const hint = 'An item holds 400 KB, and numbers of 38 digits and magnitudes from 1E-130 to 1E+126.'
  return new OperatorError('The solution cannot be stored', why, hint, EXIT.usage, options)
}

async function nextTrialNo(
  store: Store,
  solution: Omit<Trial, 'trialNo'>,
  signal: AbortSignal,
): Promise<string> {
  const range = {
    from: '0',
    to: '9'.repeat(40),
    attributes: ['Trial'],
    order: 'descending',
    limit: 1,
  } as const
  for await (const { Trial: last } of store.query(partitionOf('Solutions', solution), range, signal)) {
    if (typeof last !== 'string' || !/^\d+$/.test(last)) continue
    const next = (BigInt(last) + 1n).toString().padStart(last.length, '0')
    if (next.length === last.length) return next
    throw new OperatorError(
      `${solution.participantId} has used all trial numbers of ${last.length} digits`,
      `the last one is ${last}, and numbers of another width would not sort`,
      'Submit as another participant, or to another match.',
    )
  }
  return '1'.padStart(WIDTH, '0')
}
