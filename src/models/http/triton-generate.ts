import { isJsonArray, isJsonObject, type Json, type JsonObject } from '../../core/json.ts'
import { completionOf } from '../completion.ts'
import { failed } from '../failure.ts'
import {
  ModelError,
  type ModelAnswer,
  type ModelCall,
  type Payload,
  type Protocol,
  type ServerOptions,
} from '../protocol.ts'
import type { HttpClient } from './client.ts'
import { connectV2, modelName, modelPath } from './kserve.ts'
import { objectAnswer, parametersOf, plainBody, put, responseOf, withoutStreaming } from './talk.ts'

/** Triton's generate extension: a text in, a text out. */
export const tritonGenerate: Protocol = {
  name: 'triton-generate',
  connect: (endpoint, options) => connectV2(endpoint, options, generate),
}

async function generate(
  client: HttpClient,
  options: ServerOptions,
  call: ModelCall,
  signal: AbortSignal,
): Promise<ModelAnswer> {
  const body = bodyOf(call.payload)
  const path =
    // The streaming sister of the same call.
    call.path?.replace(/\/generate_stream(?=$|\?)/, '/generate') ??
    `${modelPath(await modelName(client, options, body.get('model_name'), signal))}/generate`
  const answer = await put(client, { ...call, path }, { method: 'POST', path, body }, signal)
  const json = objectAnswer(answer)
  const text = json.get('text_output')
  const texts = isJsonArray(text) ? text : [text]
  if (texts.length === 0 || !texts.every((one) => typeof one === 'string')) {
    throw failed("the server's answer has no text_output", responseOf(answer))
  }
  const reason = json.get('finish_reason')
  const finishReason = typeof reason === 'string' ? reason : null
  const output = completionOf(texts.map((one) => ({ text: one, finishReason })))
  return { output, response: responseOf(answer) }
}

function bodyOf(payload: Payload): JsonObject {
  if ('messages' in payload) {
    throw new ModelError('validation', 'messages: triton-generate takes a prompt, or a body with text_input')
  }
  if ('prompt' in payload) {
    return withoutStreaming(new Map<string, Json>([['text_input', payload.prompt], ...parametersOf(payload)]))
  }
  const body = plainBody(payload)
  if (!isJsonObject(body))
    throw new ModelError('validation', 'body must be an object for protocol triton-generate')
  return withoutStreaming(body)
}
