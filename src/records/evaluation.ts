import type { Json, JsonObject } from '../core/json.ts'
import type { Item } from '../stores/store.ts'
import type { Trial } from './keys.ts'
import { successItem, type Span } from './result.ts'

/** What an evaluation found. */
export interface Evaluation {
  /** Numbers, null or a list of these, as a rule; any JSON is kept. */
  objective: Json
  constraint: Json
  info: Json
  feasible: boolean | null
}

/** The item of a successful evaluation. */
export function evaluationItem(trial: Trial, span: Span, evaluation: Evaluation): Item {
  return successItem('Evaluations', trial, span, {
    Objective: evaluation.objective,
    Constraint: evaluation.constraint,
    Info: evaluation.info,
    Feasible: evaluation.feasible,
  })
}

/** The attributes that readEvaluation reads. */
export const EVALUATION_ATTRIBUTES = ['Objective', 'Constraint', 'Info', 'Feasible'] as const

/** Reads a successful evaluation; attributes that its writer left out have their defaults. */
export function readEvaluation(item: Item): Evaluation {
  const feasible = item['Feasible']
  return {
    objective: item['Objective'] ?? null,
    constraint: item['Constraint'] ?? null,
    // A stored null is a value like any other here.
    info: item['Info'] === undefined ? new Map<string, Json>() : item['Info'],
    feasible: typeof feasible === 'boolean' ? feasible : null,
  }
}

/** An evaluation as an indicator image gets it. */
export function evaluationJson({ objective, constraint, info, feasible }: Evaluation): JsonObject {
  return new Map<string, Json>([
    ['objective', objective],
    ['constraint', constraint],
    ['info', info],
    ['feasible', feasible],
  ])
}
