import { JobError } from '../../core/errors.ts'
import { ExactNumber } from '../../core/exact-number.ts'
import { isJsonArray, isJsonObject, type Json, type JsonObject } from '../../core/json.ts'
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
  assertNotEndless([objective, constraint, info ?? null])
  return {
    objective: fit('objective', objective, log),
    constraint: fit('constraint', constraint, log),
    info: fit('info', info === undefined ? new Map<string, Json>() : info, log),
    feasible,
  }
}

/** Each takes at least 2 of the 400 KB that the table holds in one item; so the rest need not be looked at. */
const MOST_VALUES = 204_800

/** Throws JobError for what is beyond all bounds of a table, before anything is done to each of its values. */
function assertNotEndless(values: readonly Json[]): void {
  const queue: (readonly Json[])[] = [values]
  let count = 0
  for (let list = queue.pop(); list !== undefined; list = queue.pop()) {
    count += list.length
    if (count > MOST_VALUES) {
      const message = `result cannot be stored: it holds more than ${MOST_VALUES} values, too many for one item`
      throw new JobError('unstorable_result', message)
    }
    for (const value of list) {
      if (isJsonArray(value)) queue.push(value)
      else if (isJsonObject(value)) queue.push([...value.values()])
    }
  }
}

/** A number, null or a list of these. */
function isUsual(value: Json): boolean {
  return isNumberOrNull(value) || (isJsonArray(value) && value.every(isNumberOrNull))
}

function isNumberOrNull(value: Json): boolean {
  return value === null || value instanceof ExactNumber
}
