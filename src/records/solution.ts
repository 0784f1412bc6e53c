import type { Json } from '../core/json.ts'
import type { Item } from '../stores/store.ts'
import { solutionKey, type Trial } from './keys.ts'
import { formatTime } from './result.ts'

export interface Submission {
  /** Who submitted it, e.g. `User#1`; the participant may be that user's team. */
  userId: string
  /** The solution itself. */
  variable: Json
  createdAt: Date
}

/** A solution's item, as the front end of a competition stores it. */
export function solutionItem(trial: Trial, { userId, variable, createdAt }: Submission): Item {
  return {
    ...solutionKey(trial),
    TrialNo: trial.trialNo,
    ResourceType: 'Solution',
    MatchID: `Match#${trial.matchId}`,
    CreatedAt: formatTime(createdAt),
    ParticipantID: trial.participantId,
    UserID: userId,
    Variable: variable,
  }
}

/** What is to be evaluated; undefined when the item has no such attribute. */
export function readVariable(item: Item): Json | undefined {
  return item['Variable']
}
