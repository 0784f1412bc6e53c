import type { Json } from '../core/json.ts'
import type { Item, Key, Store } from '../stores/store.ts'
import { partitionOf, type Trial } from './keys.ts'
import { formatTime } from './result.ts'

type Participant = Omit<Trial, 'trialNo'>

/** TrialNos whose results are taken away, so that they are judged again. */
export interface Rejudged {
  evaluations: readonly string[]
  scores: readonly string[]
}

const NUMBER_WIDTH = 8
const MOST_TRIES = 50

/**
 * The number of the participant's last rejudging, '' when there was none. Whoever remembers results has to forget them
 * when it is another one.
 */
export async function lastRejudging(
  store: Store,
  participant: Participant,
  signal?: AbortSignal,
): Promise<string> {
  const range = { from: '0', to: ':', attributes: ['Trial'], order: 'descending', limit: 1 } as const
  const id = partitionOf('Rejudgings', participant)
  for await (const { Trial: number } of store.query(id, range, signal)) {
    if (typeof number === 'string') return number
  }
  return ''
}

/** Adds a rejudging after all others of the participant; returns its key. Items hold some 10,000 trials at most. */
export async function addRejudging(
  store: Store,
  participant: Participant,
  { evaluations, scores }: Rejudged,
): Promise<Key> {
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const number = Number(await lastRejudging(store, participant)) + 1
    const key = {
      ID: partitionOf('Rejudgings', participant),
      Trial: String(number).padStart(NUMBER_WIDTH, '0'),
    }
    const item = {
      ...key,
      ResourceType: 'Rejudging',
      MatchID: `Match#${participant.matchId}`,
      ParticipantID: participant.participantId,
      CreatedAt: formatTime(new Date()),
      Evaluations: evaluations,
      Scores: scores,
      IgnoreStream: true,
    }
    if ((await store.put([item], key)) === 'written') return key
  }
  throw new Error(`others rejudged trials of ${participant.participantId} ${MOST_TRIES} times meanwhile`)
}

/** Whose results a rejudging takes away; what the item lacks is empty. */
export function readRejudging(item: Item): Rejudged {
  return { evaluations: textsOf(item['Evaluations']), scores: textsOf(item['Scores']) }
}

function textsOf(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.filter((each): each is string => typeof each === 'string') : []
}
