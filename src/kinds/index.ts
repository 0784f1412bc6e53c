import type { Handler } from '../core/kind.ts'
import type { Trial } from '../records/keys.ts'
import { createEvaluator } from './evaluator/handler.ts'
import { parseTrialMessage } from './message.ts'
import { createScorer } from './scorer/handler.ts'
import type { KindServices } from './services.ts'

/** A sort of job that works a queue of trials. */
export interface TrialKind {
  /** One line for the help. */
  summary: string
  /** Reads a message's body; PoisonError says what is wrong with it. */
  parseMessage: (body: string) => Trial
  create: (services: KindServices) => Handler<Trial, unknown, unknown>
}

/** All kinds by name. */
export const KINDS = {
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
} satisfies Record<string, TrialKind>

/** The name of a kind. */
export type KindName = keyof typeof KINDS
