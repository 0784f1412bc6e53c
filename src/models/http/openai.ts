import { ExactNumber } from '../../core/exact-number.ts'
import { isJsonArray, isJsonObject, type Json, type JsonObject } from '../../core/json.ts'
import { failed, jsonOf } from '../failure.ts'
import {
  ModelError,
  type ModelAnswer,
  type ModelCall,
  type ModelResponse,
  type Payload,
  type Protocol,
  type Readiness,
  type ServerOptions,
  type TokenUsage,
} from '../protocol.ts'
import { HttpClient } from './client.ts'
import {
  ask,
  isSuccess,
  isUnknownPath,
  objectAnswer,
  plainBody,
  put,
  responseOf,
  withoutStreaming,
} from './talk.ts'

const HEALTH = '/health'
const MODELS = '/v1/models'
const COMPLETIONS = '/v1/completions'
const CHAT = '/v1/chat/completions'
/** How usual servers tell in their metrics that they work on something. */
const RUNNING =
  /^(?:vllm:num_requests_(?:running|waiting)|sglang:num_(?:running|queue)_reqs|llamacpp:requests_(?:processing|deferred)|tgi_batch_current_size|tgi_queue_size)(?:\{[^\n]*\})?[ \t]+(\S+)/gm

/** OpenAI's completions and chats, as vLLM, llama.cpp, TGI, Ollama and others serve them. */
export const openai: Protocol = {
  name: 'openai',
  connect(endpoint, options) {
    const client = new HttpClient(endpoint, options)
    let modelId = options.model
    const knownModel = async (signal: AbortSignal): Promise<string | undefined> => {
      modelId ??= await firstModel(client, signal)
      return modelId
    }
    return {
      readiness: (signal) => readiness(client, options, signal),
      isIdle: async (signal) => {
        if ((await readiness(client, options, signal)) !== 'ready') return false
        return (
          (await isWorkless(client, signal)) ??
          (await answersOneToken(client, await knownModel(signal), signal))
        )
      },
      call: async (call, signal) => {
        const body = requestBody(call.payload)
        const model = body.has('model') ? undefined : await knownModel(signal)
        return await complete(
          client,
          call,
          model === undefined ? body : new Map([...body, ['model', model]]),
          signal,
        )
      },
      close: () => {
        client.close()
      },
    }
  },
}

async function readiness(
  client: HttpClient,
  options: ServerOptions,
  signal: AbortSignal,
): Promise<Readiness> {
  const path = options.healthPath ?? HEALTH
  const health = await ask(client, path, signal)
  const isSilent = path === HEALTH && isUnknownPath(health)
  if (!isSuccess(health) && !isSilent) return 'loading'
  const models = await ask(client, MODELS, signal)
  // Who has a health of its own need not list models.
  return isSuccess(models) || (!isSilent && isUnknownPath(models)) ? 'ready' : 'loading'
}

/** The first model that the server lists; undefined where it lists none, and may not want a name. */
async function firstModel(client: HttpClient, signal: AbortSignal): Promise<string | undefined> {
  const answer = await ask(client, MODELS, signal)
  const list = isSuccess(answer) ? jsonOf(answer.body) : undefined
  const data = isJsonObject(list) ? list.get('data') : undefined
  const id = isJsonArray(data) && isJsonObject(data[0]) ? data[0].get('id') : undefined
  return typeof id === 'string' ? id : undefined
}

/** What the server's metrics say; undefined when it has none that tell. */
async function isWorkless(client: HttpClient, signal: AbortSignal): Promise<boolean | undefined> {
  const metrics = await ask(client, '/metrics', signal)
  if (!isSuccess(metrics)) return undefined
  const counts = [...metrics.body.matchAll(RUNNING)].map((match) => Number(match[1]))
  return counts.length === 0 ? undefined : counts.every((count) => count === 0)
}

async function answersOneToken(
  client: HttpClient,
  model: string | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const parameters = new Map<string, Json>([['max_tokens', ExactNumber.of(1)]])
  if (model !== undefined) parameters.set('model', model)
  const probes: Payload[] = [
    { prompt: 'a', parameters },
    {
      messages: [
        new Map([
          ['role', 'user'],
          ['content', 'a'],
        ]),
      ],
      parameters,
    },
  ]
  for (const payload of probes) {
    try {
      await complete(client, { id: 'probe', headers: {}, payload }, requestBody(payload), signal)
      return true
    } catch (error) {
      if (!(error instanceof ModelError)) throw error
      // Some serve chats only.
      if (error.response === undefined || ![404, 405, 501].includes(error.response.statusCode)) return false
    }
  }
  return false
}

function requestBody(payload: Payload): JsonObject {
  const body = plainBody(payload)
  if (!isJsonObject(body)) throw new ModelError('validation', 'body must be an object for protocol openai')
  return withoutStreaming(body)
}

async function complete(
  client: HttpClient,
  call: ModelCall,
  body: JsonObject,
  signal: AbortSignal,
): Promise<ModelAnswer> {
  const request = { method: 'POST', path: body.has('messages') ? CHAT : COMPLETIONS, body }
  const answer = await put(client, call, request, signal)
  const json = objectAnswer(answer)
  const response = responseOf(answer)
  const isCompletion = (call.path ?? request.path).split('?', 1)[0]?.endsWith('/completions') ?? false
  const output = isCompletion || json.has('choices') ? normalised(json.get('choices'), response) : json
  const usage = usageOf(json.get('usage'))
  return { output, response, ...(usage === undefined ? {} : { usage }) }
}

/** Each choice's text or message, and why it ended; throws where there is none. */
function normalised(choices: Json | undefined, response: ModelResponse): Json {
  if (!isJsonArray(choices) || choices.length === 0)
    throw failed("the server's answer has no choices", response)
  const list = choices.map((choice, index) => {
    const text = isJsonObject(choice) ? choice.get('text') : undefined
    const message = isJsonObject(choice) ? choice.get('message') : undefined
    if (!isJsonObject(choice) || (typeof text !== 'string' && !isJsonObject(message))) {
      throw failed(`choice ${index} of the server's answer has neither a text nor a message`, response)
    }
    return new Map<string, Json>([
      ['index', choice.get('index') ?? ExactNumber.of(index)],
      ...(typeof text === 'string' ? ([['text', text]] as const) : []),
      ...(isJsonObject(message) ? ([['message', message]] as const) : []),
      ['finish_reason', choice.get('finish_reason') ?? null],
    ])
  })
  return new Map([['choices', list]])
}

function usageOf(usage: Json | undefined): TokenUsage | undefined {
  if (!isJsonObject(usage)) return undefined
  const result: TokenUsage = {}
  const prompt = count(usage.get('prompt_tokens'))
  const completion = count(usage.get('completion_tokens'))
  const total = count(usage.get('total_tokens'))
  if (prompt !== undefined) result.promptTokens = prompt
  if (completion !== undefined) result.completionTokens = completion
  if (total !== undefined) result.totalTokens = total
  return Object.keys(result).length === 0 ? undefined : result
}

function count(value: Json | undefined): number | undefined {
  if (!(value instanceof ExactNumber)) return undefined
  const number = value.toNumber()
  return Number.isSafeInteger(number) && number >= 0 ? number : undefined
}
