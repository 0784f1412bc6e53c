import { ExactNumber } from '../../core/exact-number.ts'
import { isJsonArray, type Json, type JsonObject } from '../../core/json.ts'
import type { Logger } from '../../core/log.ts'
import { SchemaViolation } from '../../executors/run-json.ts'
import type { Evaluation } from '../../records/evaluation.ts'
import { fit } from '../fit.ts'

/** Reads what a problem image answered, as the table can hold it; SchemaViolation says in one sentence what is wrong with it. */
export function readEvaluationOutput(object: JsonObject, log: Logger): Evaluation {
  const objective = object.get('objective')
  if (objective === undefined) throw new SchemaViolation('The result has no key "objective".')
  const constraint = object.get('constraint') ?? null
  const feasible = object.get('feasible') ?? null
  if (feasible !== null && typeof feasible !== 'boolean') {
    throw new SchemaViolation('"feasible" in the result must be true, false or null.')
  }
  for (const [key, value] of Object.entries({ objective, constraint })) {
    if (!isUsual(value)) log.warn('The result holds other JSON than numbers; it is kept as it is', { key })
  }
  const info = object.get('info')
  return {
    objective: fit('objective', objective, log),
    constraint: fit('constraint', constraint, log),
    info: fit('info', info === undefined ? new Map<string, Json>() : info, log),
    feasible,
  }
}

/** A number, null or a list of these. */
function isUsual(value: Json): boolean {
  return isNumberOrNull(value) || (isJsonArray(value) && value.every(isNumberOrNull))
}

function isNumberOrNull(value: Json): boolean {
  return value === null || value instanceof ExactNumber
}
