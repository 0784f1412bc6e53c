import { PoisonError } from '../core/errors.ts'
import { isJsonObject, JsonSyntaxError, parseJson, type Json, type JsonObject } from '../core/json.ts'
import type { JobIdentity } from '../core/kind.ts'
import type { Trial } from '../records/keys.ts'

/** Partition keys hold at most 2048 bytes, of which the prefix and the match need some. */
const MAX_PARTICIPANT_BYTES = 1024

/** Reads the body of an evaluator's or scorer's message; PoisonError says what is wrong with it. */
export function parseTrialMessage(body: string): Trial {
  const object = parseObject(body)
  return {
    matchId: readMatchId(textOf(object, 'MatchID')),
    participantId: readParticipantId(textOf(object, 'ParticipantID')),
    trialNo: readTrialNo(textOf(object, 'TrialNo')),
  }
}

/** The body of a message for a trial: just the three keys. */
export function formatTrialMessage({ matchId, participantId, trialNo }: Trial): string {
  return JSON.stringify({ MatchID: matchId, ParticipantID: participantId, TrialNo: trialNo })
}

/** Who a trial is, for logs and container names. */
export function identifyTrial({ matchId, participantId, trialNo }: Trial): JobIdentity {
  return {
    id: `${matchId}#${participantId}#${trialNo}`,
    shortId: [slug(matchId, 8), slug(participantId, 16), trialNo.slice(-10)]
      .filter((part) => part !== '')
      .join('-'),
    fields: { match: matchId, participant: participantId, trial: trialNo },
  }
}

function parseObject(body: string): JsonObject {
  let value: Json
  try {
    value = parseJson(body)
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error
    throw new PoisonError(`the body is not JSON: ${error.message}`, { cause: error })
  }
  if (!isJsonObject(value)) throw new PoisonError('the body is not a JSON object')
  return value
}

function textOf(object: JsonObject, key: string): string {
  const value = object.get(key)
  if (value === undefined) throw new PoisonError(`the key ${key} is missing`)
  if (typeof value !== 'string') throw new PoisonError(`${key} must be a string`)
  if (value === '') throw new PoisonError(`${key} is empty`)
  return value
}

function readMatchId(text: string): string {
  const id = text.startsWith('Match#') ? text.slice('Match#'.length) : text
  if (!/^[A-Za-z0-9][\w.-]{0,127}$/.test(id)) throw new PoisonError('MatchID must be the UUID of a match')
  return id
}

function readParticipantId(id: string): string {
  if (/[\p{Cc}\p{Surrogate}]/u.test(id)) {
    throw new PoisonError('ParticipantID holds control characters or broken Unicode')
  }
  if (Buffer.byteLength(id) > MAX_PARTICIPANT_BYTES) {
    throw new PoisonError(`ParticipantID is longer than ${MAX_PARTICIPANT_BYTES} bytes`)
  }
  return id
}

function readTrialNo(trialNo: string): string {
  if (!/^\d{1,32}$/.test(trialNo) || !Number.isSafeInteger(Number(trialNo))) {
    throw new PoisonError('TrialNo must be decimal digits, such as 00001')
  }
  return trialNo
}

/** Letters, digits and single dashes of a text, as many as are asked for. */
function slug(text: string, length: number): string {
  return text
    .replace(/[^A-Za-z0-9]+/g, '-')
    .slice(0, length)
    .replace(/^-|-$/g, '')
}
