import type { Json } from '../core/json.ts'
import type { Logger } from '../core/log.ts'
import { fitForTable } from '../stores/numbers.ts'

/** A part of a result as the table can hold it; what had to be changed is said in the log. */
export function fit(name: string, value: Json, log: Logger): Json {
  const { value: fitted, warnings } = fitForTable(value, name)
  for (const change of warnings) log.warn('A value was changed to fit the table', { change })
  return fitted
}
