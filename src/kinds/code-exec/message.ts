import { ExactNumber } from '../../core/exact-number.ts'
import { isJsonObject, type JsonObject } from '../../core/json.ts'
import type { GpuRequest } from '../../executors/executor.ts'
import type { InputFile, OutputFile } from '../../files/files.ts'
import * as read from '../fields.ts'
import { inputsOf, outputsOf } from '../file-fields.ts'
import { readJobMessage } from '../job-message.ts'
import { LIMIT_NAMES, type Limits } from './settings.ts'

/** A file that the program finds in its working folder. */
export interface File {
  /** Relative, with slashes. */
  path: string
  content: Uint8Array
}

/** One program and all that it is to be run with. */
export interface CodeExecRequest {
  id: string
  program: { language: string } | { image: string; command: readonly string[] }
  /** '' where there is none, which only a program with its own image may do without. */
  code: string
  files: readonly File[]
  stdin: string
  args: readonly string[]
  env: Readonly<Record<string, string>>
  /** Fetched before the start. */
  inputs: readonly InputFile[]
  /** Files and folders of the working folder, and what is printed (`PRINTED`), that are sent after the end. */
  outputs: readonly OutputFile[]
  /** Patterns of files in the working folder that are wanted back. */
  artifacts: readonly string[]
  allowInternet: boolean
  /** What is left out is the config's. */
  limits: Partial<Limits>
  gpus: GpuRequest
  deadline: Date | undefined
  metadata: JsonObject
}

/** What a message holds: a job, or what is wrong with one. */
export type CodeExecMessage =
  | { id: string; request: CodeExecRequest }
  /** One sentence for its sender. */
  | { id: string; problem: string }

const KEYS = [
  ...['id', 'language', 'image', 'command', 'code', 'files', 'stdin', 'args', 'env', 'inputs', 'outputs'],
  ...['artifacts', 'allow_internet', 'limits', 'resources', 'deadline', 'metadata'],
]
const MOST_FILES = 256
const MOST_ARGS = 256
const MOST_ENV = 64
/** The kernel takes no longer word, and a program with these still starts. */
const MOST_WORD_BYTES = 64 * 1024
const MOST_PATTERNS = 32
/** Outputs that stand for what the program prints, and not for files. */
export const PRINTED = { '/dev/stdout': 'stdout', '/dev/stderr': 'stderr' } as const
/** The item tells of each. */
const MOST_OUTPUTS = 16
const NO_CODE = 'code is missing: give the program as text'

/**
 * Reads the body of a message. One with an id that is wrong otherwise is a job with a problem; PoisonError when it has no
 * readable id.
 */
export function parseCodeExecMessage(body: string): CodeExecMessage {
  const { id, object } = readJobMessage(body)
  return readCodeExecRequest(id, object)
}

/** Reads what a message says beside its id. */
function readCodeExecRequest(id: string, object: JsonObject): CodeExecMessage {
  try {
    return { id, request: toRequest(id, object) }
  } catch (error) {
    if (!(error instanceof read.RequestError)) throw error
    return { id, problem: error.message }
  }
}

function toRequest(id: string, object: JsonObject): CodeExecRequest {
  read.onlyKeys(object, KEYS, '')
  const program = programOf(object)
  if (!read.isGiven(object, 'code') && 'language' in program) throw new read.RequestError(NO_CODE)
  const outputs = outputsOf(object, Object.keys(PRINTED))
  if (outputs.length > MOST_OUTPUTS) {
    throw new read.RequestError(
      `outputs holds more than ${MOST_OUTPUTS}: a folder stands for all files below it`,
    )
  }
  const args = read.texts(object, 'args', MOST_ARGS)
  const env = environmentOf(object)
  const words = [...args, ...Object.entries(env).map((pair) => pair.join('='))]
  for (const word of words) read.assertNoNul(word, 'args and env')
  if (words.reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0) > MOST_WORD_BYTES) {
    throw new read.RequestError(`args and env together are longer than ${MOST_WORD_BYTES} bytes`)
  }
  return {
    id,
    program,
    code: read.text(object, 'code'),
    files: filesOf(object),
    stdin: read.text(object, 'stdin'),
    args,
    env,
    inputs: inputsOf(object),
    outputs,
    artifacts: read
      .texts(object, 'artifacts', MOST_PATTERNS)
      .map((pattern) => read.path(pattern, 'artifacts')),
    allowInternet: read.flag(object, 'allow_internet'),
    limits: limitsOf(object),
    gpus: gpusOf(object),
    deadline: read.date(object, 'deadline'),
    metadata: read.metadata(object),
  }
}

function programOf(object: JsonObject): CodeExecRequest['program'] {
  const hasImage = read.isGiven(object, 'image') || read.isGiven(object, 'command')
  if (read.isGiven(object, 'language') === hasImage) {
    throw new read.RequestError('name either language, or image and command')
  }
  if (!hasImage) return { language: read.name(object, 'language') }
  for (const key of ['image', 'command']) {
    if (!read.isGiven(object, key))
      throw new read.RequestError(`${key} is missing: image and command go together`)
  }
  const command = read.texts(object, 'command', MOST_ARGS)
  if (command[0] === undefined || command[0] === '')
    throw new read.RequestError('command must hold at least one word')
  for (const word of command) read.assertNoNul(word, 'command')
  return { image: read.name(object, 'image'), command }
}

function filesOf(object: JsonObject): File[] {
  const list = read.list(object, 'files')
  if (list.length > MOST_FILES) throw new read.RequestError(`files holds more than ${MOST_FILES} files`)
  const files = list.map((each, index) => {
    const where = `files[${index}]`
    if (!isJsonObject(each)) throw new read.RequestError(`${where} must be an object with path and content`)
    read.onlyKeys(each, ['path', 'content', 'encoding'], `${where}.`)
    for (const key of ['path', 'content']) {
      if (!each.has(key)) throw new read.RequestError(`${where}.${key} is missing`)
    }
    const path = read.path(read.text(each, 'path', where), `${where}.path`)
    const content = read.text(each, 'content', where)
    const encoding = each.get('encoding') ?? 'utf8'
    if (encoding !== 'utf8' && encoding !== 'base64') {
      throw new read.RequestError(`${where}.encoding must be utf8 or base64`)
    }
    return {
      path,
      content: encoding === 'utf8' ? Buffer.from(content) : read.base64(content, `${where}.content`),
    }
  })
  read.assertApart(files.map(({ path }) => path))
  return files
}

function environmentOf(object: JsonObject): Record<string, string> {
  const env = read.object(object, 'env')
  if (env.size > MOST_ENV) throw new read.RequestError(`env holds more than ${MOST_ENV} variables`)
  for (const name of env.keys()) {
    if (!/^[A-Za-z_]\w{0,127}$/.test(name)) {
      throw new read.RequestError(
        `env.${read.shown(name)} is no name of a variable: use letters, digits and underscores`,
      )
    }
    if (/^(?:LD|NVIDIA)_/.test(name))
      throw new read.RequestError(`env.${name} is not allowed: nor is any other LD_* or NVIDIA_*`)
  }
  // Made by fromEntries, which takes `__proto__` for a name like any other.
  return Object.fromEntries(Array.from(env.keys(), (name) => [name, read.text(env, name, 'env')]))
}

function limitsOf(object: JsonObject): Partial<Limits> {
  const given = read.object(object, 'limits')
  read.onlyKeys(given, Object.keys(LIMIT_NAMES), 'limits.')
  const limits: Partial<Limits> = {}
  for (const [name, key] of Object.entries(LIMIT_NAMES)) {
    if (!given.has(name)) continue
    const value = given.get(name)
    const number = value instanceof ExactNumber ? value.toNumber() : NaN
    if (key === 'cpus' ? !(number > 0 && number < 10_000) : !(Number.isSafeInteger(number) && number > 0)) {
      throw new read.RequestError(`limits.${name} must be a${key === 'cpus' ? '' : ' whole'} number above 0`)
    }
    limits[key] = number
  }
  return limits
}

function gpusOf(object: JsonObject): GpuRequest {
  const resources = read.object(object, 'resources')
  read.onlyKeys(resources, ['gpus'], 'resources.')
  const gpus = resources.get('gpus') ?? ExactNumber.of(0)
  const count = gpus instanceof ExactNumber ? gpus.toNumber() : NaN
  if (!Number.isInteger(count) || count < 0 || count > 64) {
    throw new read.RequestError('resources.gpus must be a whole number from 0 to 64')
  }
  return count
}
