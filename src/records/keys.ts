import type { Key } from '../stores/store.ts'

/** One submitted solution, in whatever item it stands. */
export interface Trial {
  /** Bare UUID. */
  matchId: string
  /** `User#…` or `Team#…`, verbatim. */
  participantId: string
  /** Zero-filled decimal digits, of one width within a match. */
  trialNo: string
}

/** The series of items that a participant has in a match. */
export type Series = 'Solutions' | 'Evaluations' | 'Scores' | 'Rejudgings'

/** How a result ended; the prefix of its sort key. */
export type Status = 'Success' | 'Failed'

/** The partition that holds one participant's items of one sort. */
export function partitionOf(series: Series, { matchId, participantId }: Omit<Trial, 'trialNo'>): string {
  return `${series}#Match#${matchId}#${participantId}`
}

/** Where the solution of a trial stands. */
export function solutionKey(trial: Trial): Key {
  return { ID: partitionOf('Solutions', trial), Trial: trial.trialNo }
}

/** Where a trial's result stands. */
export function resultKey(series: 'Evaluations' | 'Scores', status: Status, trial: Trial): Key {
  return { ID: partitionOf(series, trial), Trial: `${status}#${trial.trialNo}` }
}

/** Where the flag stands that makes a second result of a trial impossible. */
export function flagKey(series: 'Evaluations' | 'Scores', trial: Trial): Key {
  return { ID: partitionOf(series, trial), Trial: trial.trialNo }
}
