import dynaliteDb from 'dynalite/db/index.js'
import type { JsonObject } from '../json-object.ts'
import { compare, holds, meets, type Condition } from './conditions.ts'
import { conditionalCheckFailed } from './errors.ts'
import { flatten, type Clause } from './updates.ts'

/** Checked parameters and parsed expressions, as far as they are looked at here. */
interface Write {
  Key: JsonObject
  Expected?: JsonObject
  ConditionalOperator?: unknown
  _condition?: { expression: Condition }
  _updates?: { sections: readonly Clause[] }
}
interface Read {
  AttributesToGet?: unknown[]
  ConditionalOperator?: unknown
  QueryFilter?: JsonObject
  ScanFilter?: JsonObject
  Select?: unknown
  _filter?: { expression: Condition }
  _projection?: { paths: unknown[] }
}

const { queryTable } = dynaliteDb

/*
 * dynalite's actions find these functions in its module object, so that ours can take their place. Its own ones find
 * maps and lists never equal and order texts by UTF-16 units, and its updates mix up values that they copy and list
 * elements that they remove.
 */
Object.assign(dynaliteDb, { compare, checkConditional, queryTable: queryFiltered })

/** An error when the condition in `data` does not hold for what is stored, or the update in it does not fit that. */
function checkConditional(data: Write, stored: JsonObject | undefined): Error | undefined {
  const { _condition: condition, Expected: expected = {}, _updates: updates } = data
  const item = stored ?? {}
  const isMet =
    condition === undefined
      ? meets(expected, data.ConditionalOperator, item)
      : holds(condition.expression, item)
  if (!isMet) return conditionalCheckFailed()
  if (updates === undefined) return undefined
  try {
    // UpdateItem comes here right before it applies the update: values of whole attributes it does not mix up.
    updates.sections = flatten(updates.sections, stored ?? data.Key)
    return undefined
  } catch (error) {
    return error as Error
  }
}

/** Reads a page without its filter, and filters it then. */
function queryFiltered(...parameters: Parameters<typeof queryTable>): void {
  const [store, table, data, options, isLocal, fetchFromItems, startKeyNames, callback] = parameters
  const { _filter, QueryFilter, ScanFilter, _projection, AttributesToGet, Select, ...page } = data as Read
  const older = QueryFilter ?? ScanFilter ?? {}
  const paths = _projection?.paths ?? AttributesToGet
  queryTable(store, table, page, options, isLocal, fetchFromItems, startKeyNames, (error, result) => {
    if (result?.Items === undefined) {
      callback(error)
      return
    }
    const items = result.Items.filter((item) =>
      _filter === undefined ? meets(older, page.ConditionalOperator, item) : holds(_filter.expression, item),
    )
    const shown = paths === undefined ? items : items.map((item) => dynaliteDb.mapPaths(paths, item))
    callback(null, { ...result, Count: items.length, Items: Select === 'COUNT' ? undefined : shown })
  })
}
