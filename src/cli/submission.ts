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

/**
 * Puts the evaluator's message of a stored solution on its queue. OperatorError when it is not stored: its failure would
 * stand in the way of the solution that gets this number later.
 */
export async function queueTrial(table: Table, trial: Trial, signal: AbortSignal): Promise<void> {
  if ((await table.store.get(solutionKey(trial), signal)) === undefined) {
    throw new OperatorError(
      `Trial ${trial.trialNo} of ${trial.participantId} has no solution`,
      'only one that is stored can be queued again',
      'Write TrialNo with all its digits, such as 00001, or add the solution as "Variable".',
      EXIT.failedStart,
    )
  }
  await table.queue('evaluator').send(formatTrialMessage(trial))
}

async function storeSolution(store: Store, solution: Solution, signal: AbortSignal): Promise<Trial> {
  const { matchId, participantId, variable } = solution
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const last = await lastTrialNo(store, solution, signal)
    const trialNo =
      solution.trialNo === undefined
        ? nextTrialNo(last, solution)
        : fillTrialNo(solution.trialNo, last, solution)
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

/** The last trial number of a participant; undefined when there is none. */
async function lastTrialNo(
  store: Store,
  solution: Omit<Trial, 'trialNo'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const range = {
    from: '0',
    to: '9'.repeat(40),
    attributes: ['Trial'],
    order: 'descending',
    limit: 1,
  } as const
  for await (const { Trial: last } of store.query(partitionOf('Solutions', solution), range, signal)) {
    if (typeof last === 'string' && /^\d+$/.test(last)) return last
  }
  return undefined
}

function nextTrialNo(last: string | undefined, { participantId }: Solution): string {
  if (last === undefined) return '1'.padStart(WIDTH, '0')
  const next = (BigInt(last) + 1n).toString().padStart(last.length, '0')
  if (next.length === last.length) return next
  throw new OperatorError(
    `${participantId} has used all trial numbers of ${last.length} digits`,
    `the last one is ${last}, and numbers of another width would not sort`,
    'Submit as another participant, or to another match.',
  )
}

/**
 * `given`, zero-filled to the width of the series: of two widths, neither order nor identity of trials would hold. The
 * first one of a series may say its width itself.
 */
function fillTrialNo(given: string, last: string | undefined, { participantId }: Solution): string {
  if (last === undefined && given.startsWith('0')) return given
  const width = last?.length ?? Math.max(given.length, WIDTH)
  if (given.length <= width) return given.padStart(width, '0')
  throw new OperatorError(
    `Trial number ${given} is too wide for ${participantId}`,
    `the last one is ${last ?? ''}`,
    `Write TrialNo with at most ${width} digits, or leave it out to get the next free one.`,
    EXIT.usage,
  )
}
