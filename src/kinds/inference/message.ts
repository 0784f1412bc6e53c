import type { InputFile, OutputFile } from '../../files/files.ts'
import { isJsonObject, type JsonObject } from '../../core/json.ts'
import type { Payload } from '../../models/protocol.ts'
import * as read from '../fields.ts'
import { readJobMessage } from '../job-message.ts'
import { inputsOf, outputsOf } from '../file-fields.ts'
import { MODES, PROTOCOLS, type Mode, type ServerProtocol } from './settings.ts'

/** What a job asks of the machine; what is left out is the config's. */
export interface Resources {
  gpus?: number
  /** The least memory of its GPU, for whoever chooses machines. */
  gpuMemoryBytes?: number
  cpus?: number
  memoryBytes?: number
  shmBytes?: number
}

/** How the container of jsonl and server mode is started and kept; what is left out is the config's. */
export interface ServerWishes {
  port?: number
  healthPath?: string
  startupTimeoutMs?: number
  /** Infinity = for ever. */
  keepAliveMs?: number
  maxConcurrency?: number
  args?: readonly string[]
  env?: Readonly<Record<string, string>>
}

/** One call of a model, as its sender wants it. */
export interface InferenceRequest {
  id: string
  /** Undefined = the one of the config. */
  image: string | undefined
  mode: Mode | undefined
  protocol: ServerProtocol | undefined
  path: string | undefined
  method: string | undefined
  headers: Readonly<Record<string, string>>
  /** A location holds the body. */
  content: Payload | { location: string }
  outputLocation: string | undefined
  inputs: readonly InputFile[]
  outputs: readonly OutputFile[]
  resources: Resources
  server: ServerWishes
  /** Of the call alone. */
  timeoutMs: number | undefined
  deadline: Date | undefined
  metadata: JsonObject
}

/** What a message holds: a job, or what is wrong with one. */
export type InferenceMessage =
  | { id: string; request: InferenceRequest }
  /** One sentence for its sender. */
  | { id: string; problem: string; metadata: JsonObject }

const CONTENTS = ['body', 'prompt', 'messages', 'input', 'input_location'] as const
const KEYS = [
  ...['id', 'image', 'mode', 'protocol', 'path', 'method', 'headers', ...CONTENTS, 'output_location'],
  ...['inputs', 'outputs', 'resources', 'server', 'timeout_s', 'deadline', 'metadata'],
]
const RESOURCE_KEYS = ['gpus', 'gpu_memory_mb', 'cpus', 'memory_mb', 'shm_mb']
const SERVER_KEYS = [
  ...['port', 'health_path', 'startup_timeout_s', 'keep_alive_s', 'max_concurrency', 'args', 'env'],
]
const MEBI = 1024 ** 2
const LONGEST_SECONDS = 43_200
const MOST_ARGS = 256
const MOST_ENV = 64
const MOST_HEADERS = 64
const MOST_WORD_BYTES = 64 * 1024
const LONGEST_PATH = 2048
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']
/** They are the connection's affair. */
const OWN_HEADERS = ['host', 'content-length', 'transfer-encoding', 'connection', 'upgrade', 'te', 'trailer']

/**
 * Reads the body of a message. One with an id that is wrong otherwise is a job with a problem; PoisonError when it has no
 * readable id.
 */
export function parseInferenceMessage(body: string): InferenceMessage {
  const { id, object } = readJobMessage(body)
  try {
    return { id, request: toRequest(id, object) }
  } catch (error) {
    if (!(error instanceof read.RequestError)) throw error
    return { id, problem: error.message, metadata: metadataIfReadable(object) }
  }
}

function metadataIfReadable(object: JsonObject): JsonObject {
  try {
    return read.metadata(object)
  } catch {
    return new Map()
  }
}

function toRequest(id: string, object: JsonObject): InferenceRequest {
  read.onlyKeys(object, KEYS, '')
  const mode = read.choice(object, 'mode', MODES)
  return {
    id,
    image: read.isGiven(object, 'image') ? read.name(object, 'image') : undefined,
    mode,
    protocol: read.choice(object, 'protocol', PROTOCOLS),
    path: pathOf(object, 'path', ''),
    method: methodOf(object),
    headers: headersOf(object),
    content: contentOf(object),
    outputLocation: locationOf(object, 'output_location'),
    inputs: inputsOf(object),
    outputs: outputsOf(object),
    resources: resourcesOf(object),
    server: serverOf(object),
    timeoutMs: milliseconds(object, 'timeout_s', '', { above: 0 }),
    deadline: read.date(object, 'deadline'),
    metadata: read.metadata(object),
  }
}

/** Exactly one of the ways to say what is asked; an explicit null is a body like any other. */
function contentOf(object: JsonObject): InferenceRequest['content'] {
  const given = CONTENTS.filter((key) => (key === 'body' ? object.has(key) : read.isGiven(object, key)))
  const [key] = given
  if (key === undefined) throw new read.RequestError(`no input is given: add one of ${CONTENTS.join(', ')}`)
  if (given.length > 1)
    throw new read.RequestError(
      `${given.join(' and ')} exclude each other: give one of ${CONTENTS.join(', ')}`,
    )
  switch (key) {
    case 'body':
      return { body: object.get('body') ?? null }
    case 'prompt':
      return { prompt: read.text(object, 'prompt') }
    case 'messages':
      return { messages: messagesOf(object) }
    case 'input':
      return { input: object.get('input') ?? null }
    case 'input_location':
      return { location: locationOf(object, 'input_location') ?? '' }
  }
}

function messagesOf(object: JsonObject): JsonObject[] {
  const list = read.list(object, 'messages')
  if (list.length === 0) throw new read.RequestError('messages must hold at least one message')
  return list.map((each, index) => {
    if (!isJsonObject(each)) throw new read.RequestError(`messages[${index}] must be an object`)
    if (typeof each.get('role') !== 'string')
      throw new read.RequestError(`messages[${index}].role must be text, such as user`)
    return each
  })
}

function locationOf(object: JsonObject, key: string): string | undefined {
  if (!read.isGiven(object, key)) return undefined
  const location = read.text(object, key)
  if (/^(?:s3|https?|file):\/\/[^\s\p{Cc}]+$/u.test(location) && location.length <= 8192) return location
  throw new read.RequestError(
    `${key} must be an address such as s3://bucket/key or https://…, not ${read.shown(location)}`,
  )
}

function pathOf(object: JsonObject, key: string, prefix: string): string | undefined {
  if (!read.isGiven(object, key)) return undefined
  const path = read.text(object, key)
  if (/^\/[\x21-\x7e]*$/.test(path) && !path.startsWith('//') && path.length <= LONGEST_PATH) return path
  throw new read.RequestError(`${prefix}${key} must be a path such as /v1/completions`)
}

function methodOf(object: JsonObject): string | undefined {
  if (!read.isGiven(object, 'method')) return undefined
  const method = read.text(object, 'method').toUpperCase()
  if (METHODS.includes(method)) return method
  throw new read.RequestError(`method must be one of ${METHODS.join(', ')}`)
}

function headersOf(object: JsonObject): Record<string, string> {
  const headers = read.object(object, 'headers')
  if (headers.size > MOST_HEADERS)
    throw new read.RequestError(`headers holds more than ${MOST_HEADERS} headers`)
  return Object.fromEntries(
    Array.from(headers.keys(), (name) => {
      const value = read.text(headers, name, 'headers')
      if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/.test(name))
        throw new read.RequestError(`headers.${read.shown(name)} is no name of a header`)
      if (OWN_HEADERS.includes(name.toLowerCase()))
        throw new read.RequestError(`headers.${name} is not allowed: it is the connection's own`)
      if (!/^[\t\x20-\x7e\x80-\xff]{0,8192}$/.test(value))
        throw new read.RequestError(`headers.${name} holds what no header can hold`)
      return [name, value]
    }),
  )
}

function resourcesOf(object: JsonObject): Resources {
  const given = read.object(object, 'resources')
  read.onlyKeys(given, RESOURCE_KEYS, 'resources.')
  const size = (key: string, min: number): number | undefined => {
    const megabytes = read.number(given, key, 'resources', { min, max: 2 ** 30 })
    return megabytes === undefined ? undefined : Math.round(megabytes * MEBI)
  }
  return read.defined({
    gpus: read.number(given, 'gpus', 'resources', { min: 0, max: 64, isWhole: true }),
    gpuMemoryBytes: size('gpu_memory_mb', 0),
    cpus: read.number(given, 'cpus', 'resources', { above: 0, max: 10_000 }),
    memoryBytes: size('memory_mb', 6),
    shmBytes: size('shm_mb', 1),
  })
}

function serverOf(object: JsonObject): ServerWishes {
  const given = read.object(object, 'server')
  read.onlyKeys(given, SERVER_KEYS, 'server.')
  const port = read.number(given, 'port', 'server', { min: 1, max: 65_535, isWhole: true })
  const keepAlive = read.number(given, 'keep_alive_s', 'server', { min: -1, max: 10_000_000 })
  const args = read.isGiven(given, 'args') ? read.texts(given, 'args', MOST_ARGS) : undefined
  const env = read.isGiven(given, 'env') ? environmentOf(given) : undefined
  const words = [...(args ?? []), ...Object.entries(env ?? {}).map((pair) => pair.join('='))]
  for (const word of words) read.assertNoNul(word, 'server.args and server.env')
  if (words.reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0) > MOST_WORD_BYTES) {
    throw new read.RequestError(
      `server.args and server.env together are longer than ${MOST_WORD_BYTES} bytes`,
    )
  }
  return read.defined({
    port,
    healthPath: pathOf(given, 'health_path', 'server.'),
    startupTimeoutMs: milliseconds(given, 'startup_timeout_s', 'server', { above: 0 }),
    keepAliveMs: keepAlive === undefined ? undefined : keepAlive < 0 ? Infinity : keepAlive * 1000,
    maxConcurrency: read.number(given, 'max_concurrency', 'server', { min: 1, max: 1000, isWhole: true }),
    args,
    env,
  })
}

function environmentOf(server: JsonObject): Record<string, string> {
  const env = read.object(server, 'env')
  if (env.size > MOST_ENV) throw new read.RequestError(`server.env holds more than ${MOST_ENV} variables`)
  for (const name of env.keys()) {
    if (!/^[A-Za-z_]\w{0,127}$/.test(name)) {
      throw new read.RequestError(
        `server.env.${read.shown(name)} is no name of a variable: use letters, digits and underscores`,
      )
    }
    if (/^NVIDIA_/.test(name))
      throw new read.RequestError(`server.env.${name} is not allowed: nor is any other NVIDIA_*`)
  }
  return Object.fromEntries(Array.from(env.keys(), (name) => [name, read.text(env, name, 'server.env')]))
}

function milliseconds(
  object: JsonObject,
  key: string,
  where: string,
  bounds: { above: number },
): number | undefined {
  const seconds = read.number(object, key, where, { ...bounds, max: LONGEST_SECONDS })
  return seconds === undefined ? undefined : Math.max(1, Math.round(seconds * 1000))
}
