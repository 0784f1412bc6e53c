import { formatJson, isJsonObject, type Json, type JsonObject } from '../../core/json.ts'
import { errorText, failed, isGpuLost, isGpuOom, jsonOf, reportedError } from '../failure.ts'
import { ModelError, type ModelCall, type ModelResponse, type Payload } from '../protocol.ts'
import type { HttpAnswer, HttpClient, HttpRequest } from './client.ts'

/** What a protocol makes of a call: what it needs to be sent, where the call itself doesn't say. */
export interface Request {
  method: string
  path: string
  body: Json
}

/** Puts a call to the server; throws ModelError unless the answer's status is 2xx. */
export async function put(
  client: HttpClient,
  call: ModelCall,
  request: Request,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const method = (call.method ?? request.method).toUpperCase()
  const path = call.path ?? request.path
  if (!path.startsWith('/')) throw new ModelError('validation', `path: ${path} must begin with a slash`)
  const sent: HttpRequest = { method, path, headers: call.headers }
  if (method !== 'GET' && method !== 'HEAD') sent.body = formatJson(request.body)
  const answer = await client.request(sent, signal)
  assertSuccess(answer)
  return answer
}

/** Throws what a status outside 2xx means. */
export function assertSuccess(answer: HttpAnswer): void {
  const { statusCode } = answer
  if (statusCode >= 200 && statusCode < 300) return
  const response = responseOf(answer)
  const said = errorText(answer.body)
  const message = `the server answered ${statusCode}${said === '' ? '' : `: ${said}`}`
  if (statusCode >= 500 && (isGpuOom(said) || isGpuLost(said))) throw failed(message, response)
  if (statusCode === 429 || statusCode === 503) {
    throw new ModelError('overloaded', message, { response, retryAfterSeconds: answer.retryAfterSeconds })
  }
  // A gateway before the server speaks, and says that it can't reach it.
  if (statusCode === 502 || statusCode === 504)
    throw new ModelError('model_unavailable', message, { response })
  if (statusCode >= 400 && statusCode < 500) throw new ModelError('validation', message, { response })
  throw failed(message, response)
}

/** The answer's JSON; throws ModelError where it is none, or says under `error` that it failed after all. */
export function jsonAnswer(answer: HttpAnswer): Json {
  const json = jsonOf(answer.body)
  const response = responseOf(answer)
  if (json === undefined) throw failed(`the server's answer is not JSON: ${errorText(answer.body)}`, response)
  const error = reportedError(json)
  if (error !== undefined)
    throw failed(`the server answered ${answer.statusCode} with an error: ${error}`, response)
  return json
}

/** As `jsonAnswer`; the answer must be an object. */
export function objectAnswer(answer: HttpAnswer): JsonObject {
  const json = jsonAnswer(answer)
  if (!isJsonObject(json)) throw failed("the server's answer is not a JSON object", responseOf(answer))
  return json
}

/** What is kept of an answer. */
export function responseOf({ statusCode, body }: HttpAnswer): ModelResponse {
  return { statusCode, body }
}

/** Asks for readiness: the answer, or undefined when the server can't be reached or breaks off. */
export async function ask(
  client: HttpClient,
  path: string,
  signal: AbortSignal,
): Promise<HttpAnswer | undefined> {
  try {
    return await client.request({ method: 'GET', path }, signal)
  } catch (error) {
    if (error instanceof ModelError && error.type !== 'validation') return undefined
    throw error
  }
}

export function isSuccess(answer: HttpAnswer | undefined): answer is HttpAnswer {
  return answer !== undefined && answer.statusCode >= 200 && answer.statusCode < 300
}

/** The server has no such thing: it is up, though not asked rightly. */
export function isUnknownPath(answer: HttpAnswer | undefined): boolean {
  return answer !== undefined && [404, 405, 501].includes(answer.statusCode)
}

/** A payload as one JSON value, for protocols that have no form of their own for it. */
export function plainBody(payload: Payload): Json {
  if ('body' in payload) return payload.body
  if ('input' in payload) return payload.input
  if ('prompt' in payload)
    return new Map<string, Json>([['prompt', payload.prompt], ...parametersOf(payload)])
  return new Map<string, Json>([['messages', payload.messages], ...parametersOf(payload)])
}

export function parametersOf(payload: { parameters?: JsonObject }): JsonObject {
  return payload.parameters ?? new Map<string, Json>()
}

/** The same object with streaming turned off, where it was on or asked for. */
export function withoutStreaming(body: JsonObject): JsonObject {
  if (!body.has('stream') && !body.has('stream_options')) return body
  const rest = new Map(body)
  rest.set('stream', false)
  rest.delete('stream_options')
  return rest
}
