import { ExactNumber } from '../../core/exact-number.ts'
import { fromPlain, isJsonArray, isJsonObject, type Json, type JsonObject } from '../../core/json.ts'
import type { Endpoint } from '../../executors/executor.ts'
import { failed, jsonOf } from '../failure.ts'
import {
  ModelError,
  type ModelAnswer,
  type ModelCall,
  type ModelServer,
  type Payload,
  type Protocol,
  type Readiness,
  type ServerOptions,
} from '../protocol.ts'
import { completeByTensors } from '../tensor-completion.ts'
import type { Tensor, TensorInfo, TensorServer, TensorValue } from '../tensors.ts'
import { HttpClient } from './client.ts'
import { ask, assertSuccess, isSuccess, objectAnswer, plainBody, put, responseOf } from './talk.ts'

/** What a server of completions can answer at any time. */
const ONE_TOKEN: Payload = { prompt: 'a', parameters: new Map([['max_tokens', ExactNumber.of(1)]]) }

/** KServe v2 over HTTP: Triton, MLServer, KServe, OpenVINO. */
export const kserve: Protocol = {
  name: 'kserve',
  connect: (endpoint, options) => connectV2(endpoint, options, infer),
}

/** A server that tells its readiness as KServe v2 does, however it is called. */
export function connectV2(endpoint: Endpoint, options: ServerOptions, ask: typeof infer): ModelServer {
  const client = new HttpClient(endpoint, options)
  return {
    readiness: (signal) => kserveReadiness(client, options, signal),
    isIdle: async (signal) => {
      if ((await kserveReadiness(client, options, signal)) !== 'ready') return false
      try {
        await ask(client, options, { id: 'probe', headers: {}, payload: ONE_TOKEN }, signal)
        return true
      } catch (error) {
        // Among them models of other tensors than text, for which there is no call that would do for a proof.
        if (error instanceof ModelError) return false
        throw error
      }
    },
    call: (call, signal) => ask(client, options, call, signal),
    close: () => {
      client.close()
    },
  }
}

/** The server, then the model where its name is known. */
async function kserveReadiness(
  client: HttpClient,
  options: ServerOptions,
  signal: AbortSignal,
): Promise<Readiness> {
  const paths = [options.healthPath ?? '/v2/health/ready']
  if (options.model !== undefined) paths.push(`${modelPath(options.model)}/ready`)
  for (const path of paths) {
    const answer = await ask(client, path, signal)
    if (!isSuccess(answer)) return 'loading'
    const json = jsonOf(answer.body)
    if (isJsonObject(json) && json.get('ready') === false) return 'loading'
  }
  return 'ready'
}

/** The model of a call: its body's, the configured one, or the only one that the server (a Triton) says it has. */
export async function modelName(
  client: HttpClient,
  options: ServerOptions,
  named: Json | undefined,
  signal: AbortSignal,
): Promise<string> {
  if (typeof named === 'string') return named
  if (options.model !== undefined) return options.model
  const answer = await client.request({ method: 'POST', path: '/v2/repository/index', body: '{}' }, signal)
  const list = isSuccess(answer) ? jsonOf(answer.body) : undefined
  const names = (isJsonArray(list) ? list : [])
    .filter(isJsonObject)
    .filter((entry) => (entry.get('state') ?? 'READY') === 'READY')
    .map((entry) => entry.get('name'))
  const distinct = [...new Set(names.filter((name) => typeof name === 'string'))]
  if (distinct.length === 1 && distinct[0] !== undefined) return distinct[0]
  throw new ModelError(
    'validation',
    distinct.length === 0
      ? 'no model is named, and the server lists none: name it by path, or in the settings'
      : `no model is named, and the server has several: ${distinct.join(', ')}`,
  )
}

/** Where a model of this name is. */
export function modelPath(model: string): string {
  return `/v2/models/${encodeURIComponent(model)}`
}

async function infer(
  client: HttpClient,
  options: ServerOptions,
  call: ModelCall,
  signal: AbortSignal,
): Promise<ModelAnswer> {
  const completion = completionForm(call.payload)
  if (completion !== undefined && call.path === undefined) {
    const model = await modelName(client, options, completion.get('model'), signal)
    return await completeByTensors(
      overHttp(client, call.headers),
      model,
      completion,
      options.tokenizer,
      signal,
    )
  }
  const body = plainBody(call.payload)
  const named = isJsonObject(body) ? body.get('model_name') : undefined
  const path = call.path ?? `${modelPath(await modelName(client, options, named, signal))}/infer`
  const answer = await put(client, call, { method: 'POST', path, body }, signal)
  return { output: objectAnswer(answer), response: responseOf(answer) }
}

/** A prompt, or a body that has one in place of tensors. */
function completionForm(payload: Payload): JsonObject | undefined {
  if ('messages' in payload) {
    throw new ModelError(
      'validation',
      'messages: a model of tensors takes no chat; send a prompt, or its inputs as body',
    )
  }
  const body = plainBody(payload)
  return isJsonObject(body) && body.has('prompt') && !body.has('inputs') ? body : undefined
}

function overHttp(client: HttpClient, headers: Readonly<Record<string, string>>): TensorServer {
  return {
    describe: async (model, signal) => {
      const answer = await client.request({ method: 'GET', path: modelPath(model), headers }, signal)
      assertSuccess(answer)
      const json = objectAnswer(answer)
      return { inputs: infosOf(json.get('inputs')), outputs: infosOf(json.get('outputs')) }
    },
    infer: async (model, inputs, signal) => {
      const call: ModelCall = { id: '', headers, payload: { input: null } }
      const body = fromPlain({ inputs })
      const answer = await put(
        client,
        call,
        { method: 'POST', path: `${modelPath(model)}/infer`, body },
        signal,
      )
      const response = responseOf(answer)
      const outputs = objectAnswer(answer).get('outputs')
      if (!isJsonArray(outputs)) throw failed("the server's answer has no outputs", response)
      return { outputs: outputs.filter(isJsonObject).map(tensorOf), response }
    },
  }
}

function infosOf(list: Json | undefined): TensorInfo[] {
  return isJsonArray(list) ? list.filter(isJsonObject).map(infoOf) : []
}

function infoOf(json: JsonObject): TensorInfo {
  const shape = json.get('shape')
  return {
    name: textOf(json.get('name')),
    datatype: textOf(json.get('datatype')),
    shape: isJsonArray(shape) ? shape.map(Number) : [],
  }
}

function tensorOf(json: JsonObject): Tensor {
  return { ...infoOf(json), data: flat(json.get('data') ?? []) }
}

/** Some servers write a tensor as lists within lists. */
function flat(json: Json): TensorValue[] {
  if (isJsonArray(json)) return json.flatMap(flat)
  if (json instanceof ExactNumber) return [json.toNumber()]
  return typeof json === 'string' || typeof json === 'boolean' ? [json] : []
}

function textOf(json: Json | undefined): string {
  return typeof json === 'string' ? json : ''
}
