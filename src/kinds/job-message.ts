import { PoisonError } from '../core/errors.ts'
import { isJsonObject, JsonSyntaxError, parseJson, type Json, type JsonObject } from '../core/json.ts'

/** What the id of a job that its sender names must look like. */
export const JOB_ID = /^[A-Za-z0-9._:-]{1,128}$/

/** The body of a message as an object with a readable id; PoisonError when it is none. */
export function readJobMessage(body: string): { id: string; object: JsonObject } {
  let object: Json
  try {
    object = parseJson(body)
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error
    throw new PoisonError(`the body is not JSON: ${error.message}`, { cause: error })
  }
  if (!isJsonObject(object)) throw new PoisonError('the body is not a JSON object')
  const id = object.get('id')
  if (typeof id !== 'string' || !JOB_ID.test(id)) {
    throw new PoisonError('id must be 1 to 128 letters, digits, dots, underscores, colons and dashes')
  }
  return { id, object }
}
