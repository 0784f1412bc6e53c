import { isJsonObject, type JsonObject } from '../json-object.ts'
import type { Engine } from './engine.ts'
import { validationError } from './errors.ts'

const TIMES_TO_LIVE = 'ttl~'

/** UpdateTimeToLive: kept and told again; nothing is deleted by it here. */
export async function updateTimeToLive(engine: Engine, request: JsonObject): Promise<object> {
  const { TableName } = await engine.table(request['TableName'])
  const { TimeToLiveSpecification: wanted } = request
  const { AttributeName, Enabled } = isJsonObject(wanted) ? wanted : {}
  if (typeof AttributeName !== 'string' || AttributeName === '' || typeof Enabled !== 'boolean') {
    throw validationError('TimeToLiveSpecification must have an AttributeName and Enabled')
  }
  const current = await engine.database.get(TIMES_TO_LIVE + TableName)
  if (Enabled && current !== undefined) throw validationError('TimeToLive is already enabled')
  if (!Enabled && current === undefined) throw validationError('TimeToLive is already disabled')
  const key = TIMES_TO_LIVE + TableName
  await engine.database.write([Enabled ? { type: 'put', key, value: AttributeName } : { type: 'del', key }])
  return { TimeToLiveSpecification: { AttributeName, Enabled } }
}

/** DescribeTimeToLive (dynalite's own always says DISABLED). */
export async function describeTimeToLive(engine: Engine, request: JsonObject): Promise<object> {
  const { TableName } = await engine.table(request['TableName'])
  const attribute = await engine.database.get(TIMES_TO_LIVE + TableName)
  const status =
    attribute === undefined
      ? { TimeToLiveStatus: 'DISABLED' }
      : { TimeToLiveStatus: 'ENABLED', AttributeName: attribute }
  return { TimeToLiveDescription: status }
}
