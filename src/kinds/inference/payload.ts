import { isJsonObject, JsonSyntaxError, parseJson, type Json, type JsonObject } from '../../core/json.ts'
import type { Files } from '../../files/files.ts'
import type { Payload } from '../../models/protocol.ts'
import { RequestError } from '../fields.ts'
import type { InferenceRequest } from './message.ts'

/** What the model is asked, fetched where the message only says where it is. RequestError for what is no JSON. */
export async function resolvePayload(
  { content }: InferenceRequest,
  files: Files,
  options: { signal: AbortSignal; maxBytes: number },
): Promise<Payload> {
  if (!('location' in content)) return content
  const bytes = await files.readBytes(content.location, options)
  try {
    return { body: parseJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) }
  } catch (error) {
    const why = error instanceof JsonSyntaxError ? error.message : 'it is not UTF-8'
    throw new RequestError(`what is at input_location is not JSON: ${why}`)
  }
}

/** What goes to a program as one JSON value: a body as it is, else the shorthand. */
export function requestJson(payload: Payload): Json {
  if ('body' in payload) return payload.body
  if ('input' in payload) return new Map([['input', payload.input]])
  const [key, value]: [string, Json] =
    'prompt' in payload ? ['prompt', payload.prompt] : ['messages', payload.messages]
  return new Map<string, Json>([[key, value], ...(payload.parameters ?? [])])
}

/** The same where it must be an object. */
export function requestObject(payload: Payload): JsonObject {
  const json = requestJson(payload)
  if (isJsonObject(json)) return json
  throw new RequestError('body must be an object in jsonl mode, since the id of the call goes into it')
}
