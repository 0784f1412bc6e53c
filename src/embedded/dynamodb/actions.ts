import { createRequire } from 'node:module'
import validations from 'dynalite/validations/index.js'
import { ApiError } from '../api-error.ts'
import { isJsonObject, type JsonObject } from '../json-object.ts'
import './corrections.ts'
import type { DynaliteStore } from './store.ts'

const require = createRequire(import.meta.url)

/** The actions of dynalite that are served, by their AWS names. */
const READS = [
  'BatchGetItem',
  'DescribeTable',
  'GetItem',
  'ListTables',
  'ListTagsOfResource',
  'Query',
  'Scan',
] as const
const ITEM_WRITES = ['BatchWriteItem', 'DeleteItem', 'PutItem', 'UpdateItem'] as const
const TABLE_WRITES = ['CreateTable', 'DeleteTable', 'TagResource', 'UntagResource', 'UpdateTable'] as const

export type ReadAction = (typeof READS)[number]
export type ItemWriteAction = (typeof ITEM_WRITES)[number]
export type TableWriteAction = (typeof TABLE_WRITES)[number]
export type Action = ReadAction | ItemWriteAction | TableWriteAction

interface Loaded {
  run: (
    store: DynaliteStore,
    data: JsonObject,
    callback: (error: unknown, result?: JsonObject) => void,
  ) => void
  types: unknown
  custom: unknown
}

const loaded = new Map<Action, Loaded>()

export function isRead(action: string): action is ReadAction {
  return (READS as readonly string[]).includes(action)
}

export function isItemWrite(action: string): action is ItemWriteAction {
  return (ITEM_WRITES as readonly string[]).includes(action)
}

export function isTableWrite(action: string): action is TableWriteAction {
  return (TABLE_WRITES as readonly string[]).includes(action)
}

/** Checks a request's parameters and parses its expressions; throws ApiError. */
export function prepare(action: Action, request: JsonObject, store: DynaliteStore): JsonObject {
  const { types, custom } = load(action)
  try {
    const data = validations.checkTypes(request, types)
    validations.checkValidations(data, types, custom, store)
    return data
  } catch (error) {
    throw toApiError(error)
  }
}

/** Runs an action with parameters from `prepare`. `failed` is what its store was told to tell of failures. */
export async function perform(action: Action, data: JsonObject, store: DynaliteStore): Promise<JsonObject> {
  return await new Promise((resolve, reject) => {
    load(action).run(store, data, (error, result) => {
      if (error === null || error === undefined) resolve(result ?? {})
      else reject(toApiError(error))
    })
  })
}

function load(action: Action): Loaded {
  const known = loaded.get(action)
  if (known !== undefined) return known
  const file = `${action.charAt(0).toLowerCase()}${action.slice(1)}.js`
  const run = require(`dynalite/actions/${file}`) as Loaded['run']
  const { types, custom } = require(`dynalite/validations/${file}`) as Pick<Loaded, 'types' | 'custom'>
  const entry = { run, types, custom }
  loaded.set(action, entry)
  return entry
}

/** dynalite's errors carry their answer; anything else is passed on as it is. */
export function toApiError(error: unknown): Error {
  if (error instanceof Error && 'body' in error && isJsonObject(error.body)) {
    const { __type: type, message, Message, ...extra } = error.body
    const status = 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : 400
    return new ApiError(textOf(type), textOf(message ?? Message), { status, extra })
  }
  return error instanceof Error ? error : new Error(String(error))
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
