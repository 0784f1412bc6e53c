import { isJsonObject } from './json-object.ts'
import type { Change, Reaction } from './dynamodb/engine.ts'

/** Prepares a message for a queue; see SqsService.prepareSend. */
export type PrepareSend = (queue: string, body: string) => Reaction | undefined

/**
 * What OptHub's cloud does behind its table's stream: a stored Solution puts a message on the evaluator queue, a
 * stored successful Evaluation one on the scorer queue; items with `IgnoreStream: true` do nothing.
 */
export function createReactions(
  table: string,
  prepareSend: PrepareSend,
): (change: Change) => Reaction | undefined {
  return (change) => {
    if (change.table !== table) return undefined
    const target = targetOf(change.after)
    return target === undefined ? undefined : prepareSend(target.queue, JSON.stringify(target.message))
  }
}

interface Target {
  queue: 'evaluator' | 'scorer'
  message: { MatchID: string; ParticipantID: string; TrialNo: string }
}

/** The message that an item causes. It is made from the item's key, since the key is what its reader will look for. */
function targetOf(item: Record<string, unknown>): Target | undefined {
  const ignore = item['IgnoreStream']
  if (isJsonObject(ignore) && ignore['BOOL'] === true) return undefined
  const id = stringOf(item['ID'])
  const trial = stringOf(item['Trial'])
  const type = stringOf(item['ResourceType'])
  const [, collection, match, participant] =
    /^(Solutions|Evaluations)#Match#([^#]+)#(.+)$/s.exec(id ?? '') ?? []
  if (match === undefined || participant === undefined || trial === undefined) return undefined
  if (collection === 'Solutions') {
    if (type !== undefined && type !== 'Solution') return undefined
    return { queue: 'evaluator', message: { MatchID: match, ParticipantID: participant, TrialNo: trial } }
  }
  const [, number] = /^Success#(.+)$/s.exec(trial) ?? []
  if (number === undefined || (type !== undefined && type !== 'Evaluation')) return undefined
  return { queue: 'scorer', message: { MatchID: match, ParticipantID: participant, TrialNo: number } }
}

function stringOf(value: unknown): string | undefined {
  const text = isJsonObject(value) ? value['S'] : undefined
  return typeof text === 'string' ? text : undefined
}
