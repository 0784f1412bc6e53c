import { EXIT, OperatorError } from '../core/errors.ts'
import type { Trial } from '../records/keys.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** A job's id as people write it: `<match>/<participant>/<trial>`. */
export function formatTrialId({ matchId, participantId, trialNo }: Trial): string {
  return `${matchId}/${participantId}/${trialNo}`
}

/** Takes an id apart; `flag` names where it stood. OperatorError with exit code 2. */
export function parseTrialId(id: string, flag: string): Trial {
  // A participant's name may hold slashes, match and trial can't.
  const [, match, participant, trial] = /^([^/]+)\/(.+)\/([^/]+)$/s.exec(id) ?? []
  if (match === undefined || participant === undefined || trial === undefined) {
    throw wrong(
      flag,
      'is no job id',
      'An id looks like <match UUID>/<participant>/<trial>, as `submit` prints it.',
    )
  }
  return {
    matchId: parseMatchId(match, flag),
    participantId: parseParticipantId(participant, flag),
    trialNo: parseTrialNo(trial, flag),
  }
}

/** A match's bare UUID; `Match#` in front of it is taken off. */
export function parseMatchId(text: string, flag: string): string {
  const bare = text.replace(/^Match#/, '')
  if (UUID.test(bare)) return bare
  throw wrong(
    flag,
    'names no match',
    'A match is named by its UUID, such as 0f8fad5b-d9cb-469f-a165-70867728950e.',
  )
}

/** A participant's id, verbatim. */
export function parseParticipantId(text: string, flag: string): string {
  if (/^\P{Cc}{1,256}$/u.test(text) && text.trim() !== '') return text
  throw wrong(flag, 'names no participant', 'A participant is named as User#<name> or Team#<name>.')
}

/** A trial's number: decimal digits. */
export function parseTrialNo(text: string, flag: string): string {
  if (/^\d{1,20}$/.test(text)) return text
  throw wrong(flag, 'names no trial', 'A trial is named by zero-filled digits, such as 00001.')
}

function wrong(flag: string, what: string, hint: string): OperatorError {
  return new OperatorError(`${flag}: this ${what}`, '', hint, EXIT.usage)
}
