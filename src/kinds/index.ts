import type { Handler } from '../core/kind.ts'
import type { Trial } from '../records/keys.ts'
import { createEvaluator } from './evaluator/handler.ts'
import { parseTrialMessage } from './message.ts'
import { createScorer } from './scorer/handler.ts'
import type { TrialKindName } from './names.ts'
import type { KindServices } from './services.ts'

export type { KindName, TrialKindName } from './names.ts'

/** A sort of job that works a queue of trials. */
export interface TrialKind {
  /** One line for the help. */
  summary: string
  /** Reads a message's body; PoisonError says what is wrong with it. */
  parseMessage: (body: string) => Trial
  create: (services: KindServices) => Handler<Trial, unknown, unknown>
}

/** The kinds that judge trials, by name. */
export const TRIAL_KINDS = {
  evaluator: {
    summary: 'evaluate solutions with the problem images of their matches',
    parseMessage: parseTrialMessage,
    create: createEvaluator,
  },
  scorer: {
    summary: 'score evaluated trials with the indicator images of their matches',
    parseMessage: parseTrialMessage,
    create: createScorer,
  },
} satisfies Record<TrialKindName, TrialKind>
