import { ExactNumber } from '../../core/exact-number.ts'
import type { JsonObject } from '../../core/json.ts'
import type { Logger } from '../../core/log.ts'
import { SchemaViolation } from '../../executors/run-json.ts'
import { fitNumber } from '../../stores/numbers.ts'

/** Reads what an indicator image answered, as the table can hold it; SchemaViolation says what is wrong with it. */
export function readScoreOutput(object: JsonObject, log: Logger): ExactNumber {
  const score = object.get('score')
  if (score === undefined) throw new SchemaViolation('The result has no key "score".')
  if (!(score instanceof ExactNumber)) throw new SchemaViolation('"score" in the result must be a number.')
  const { value, change } = fitNumber(score)
  // NaN becomes null everywhere else; a score can't be null.
  if (value === null) throw new SchemaViolation('"score" in the result is NaN, which can not be ranked.')
  if (change !== undefined) log.warn('A value was changed to fit the table', { change: `score: ${change}` })
  return value
}
