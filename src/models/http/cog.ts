import { setTimeout as delay } from 'node:timers/promises'
import { formatJson, isJsonObject, type Json, type JsonObject } from '../../core/json.ts'
import { errorText, failed, jsonOf, reportedError } from '../failure.ts'
import { completionOf } from '../completion.ts'
import {
  ModelError,
  type ModelAnswer,
  type ModelCall,
  type Payload,
  type Protocol,
  type Readiness,
  type ServerOptions,
} from '../protocol.ts'
import { HttpClient, type HttpAnswer } from './client.ts'
import { ask, isSuccess, parametersOf, put, responseOf } from './talk.ts'

const HEALTH = '/health-check'
/** For the word that a call is abandoned. */
const CANCEL_MS = 2000
const POLL_MS = 200

/** Servers built by Cog. */
export const cog: Protocol = {
  name: 'cog',
  connect(endpoint, options) {
    const client = new HttpClient(endpoint, options)
    return {
      readiness: (signal) => readiness(client, options, signal),
      isIdle: async (signal) => {
        try {
          return (await readiness(client, options, signal)) === 'ready'
        } catch (error) {
          if (error instanceof ModelError) return false
          throw error
        }
      },
      call: (call, signal) => predict(client, call, signal),
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
  const answer = await ask(client, options.healthPath ?? HEALTH, signal)
  const health = isSuccess(answer) ? jsonOf(answer.body) : undefined
  if (!isJsonObject(health)) return 'loading'
  switch (health.get('status')) {
    case 'READY':
      return 'ready'
    case 'BUSY':
      return 'busy'
    case 'SETUP_FAILED':
      throw new ModelError('setup_failed', `the model's setup failed${setupLogs(health)}`)
    case 'DEFUNCT':
      throw new ModelError('setup_failed', 'the model is defunct')
    default:
      // STARTING, and UNHEALTHY, from which it may recover.
      return 'loading'
  }
}

function setupLogs(health: JsonObject): string {
  const setup = health.get('setup')
  const logs = isJsonObject(setup) ? setup.get('logs') : undefined
  return typeof logs === 'string' && logs !== '' ? `: ${errorText(logs)}` : ''
}

async function predict(client: HttpClient, call: ModelCall, signal: AbortSignal): Promise<ModelAnswer> {
  const path = `/predictions/${encodeURIComponent(call.id)}`
  try {
    const request = { method: 'PUT', path, body: bodyOf(call.payload) }
    let answer = await put(client, { ...call, headers: synchronous(call.headers) }, request, signal)
    for (;;) {
      const prediction = jsonOf(answer.body)
      if (!isJsonObject(prediction))
        throw failed("the server's answer is not a JSON object", responseOf(answer))
      if (!isUnderWay(prediction, answer)) return finished(prediction, answer, call.payload)
      await delay(POLL_MS, undefined, { signal })
      answer = await lookUp(client, call, request, signal)
    }
  } catch (error) {
    if (!signal.aborted) throw busyOr(error)
    await cancel(client, path)
    throw signal.reason
  }
}

/** The state of a prediction under way; servers that can't be asked say it when it is put to them again. */
async function lookUp(
  client: HttpClient,
  call: ModelCall,
  request: { method: string; path: string; body: Json },
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const answer = await client.request({ method: 'GET', path: request.path, headers: call.headers }, signal)
  return isSuccess(answer)
    ? answer
    : await put(client, { ...call, headers: synchronous(call.headers) }, request, signal)
}

function isUnderWay(prediction: JsonObject, answer: HttpAnswer): boolean {
  const status = prediction.get('status')
  return (
    status === 'starting' || status === 'processing' || (answer.statusCode === 202 && status === undefined)
  )
}

function finished(prediction: JsonObject, answer: HttpAnswer, payload: Payload): ModelAnswer {
  const status = prediction.get('status')
  const response = responseOf(answer)
  const error = reportedError(prediction)
  if (status === 'canceled') throw failed('the prediction was canceled by the server', response)
  if (status === 'failed' || error !== undefined) {
    throw failed(`the prediction failed${error === undefined ? '' : `: ${error}`}`, response)
  }
  if (status !== undefined && status !== 'succeeded') {
    throw failed(`the server's answer has an unknown status: ${formatJson(status).slice(0, 100)}`, response)
  }
  if (status === undefined && !prediction.has('output'))
    throw failed("the server's answer has no output", response)
  const output = prediction.get('output') ?? null
  const text = 'prompt' in payload ? textOf(output) : undefined
  return { output: text === undefined ? output : completionOf([{ text, finishReason: null }]), response }
}

/** Language models answer with a text, or with its parts. */
function textOf(output: Json): string | undefined {
  if (typeof output === 'string') return output
  return Array.isArray(output) && output.every((part) => typeof part === 'string')
    ? output.join('')
    : undefined
}

function bodyOf(payload: Payload): Json {
  if ('body' in payload) return payload.body
  if ('input' in payload) return new Map([['input', payload.input]])
  const member: [string, Json] =
    'prompt' in payload ? ['prompt', payload.prompt] : ['messages', payload.messages]
  return new Map([['input', new Map<string, Json>([member, ...parametersOf(payload)])]])
}

/** The answer is to come when it is whole. */
function synchronous(headers: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => !['prefer', 'accept'].includes(name.toLowerCase()))
  return Object.fromEntries(kept)
}

/** All its places are taken. */
function busyOr(error: unknown): unknown {
  if (!(error instanceof ModelError) || error.response?.statusCode !== 409) return error
  return new ModelError('overloaded', error.message, { cause: error, response: error.response })
}

async function cancel(client: HttpClient, path: string): Promise<void> {
  try {
    await client.request({ method: 'POST', path: `${path}/cancel` }, AbortSignal.timeout(CANCEL_MS))
  } catch {
    // The call is given up all the same; whoever keeps the server asks it whether it is idle.
  }
}
