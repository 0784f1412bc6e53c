import { PoisonError } from '../../core/errors.ts'
import { pathProblem } from '../../files/paths.ts'

/** The sorts of outputs, as the API names them. */
export const OUTPUT_TYPES = ['output', 'log', 'artifact'] as const
export type OutputType = (typeof OUTPUT_TYPES)[number]

/** The least that a job needs. */
export interface Hardware {
  cpuCores?: number
  memoryMib?: number
  gpuModel?: string
  gpuMemoryMib?: number
}

/** A job as its API describes it. */
export interface FetcherJob {
  image: string
  /** Takes the place of the image's own. */
  entrypoint: readonly string[] | undefined
  /** Undefined = the image's own. */
  command: readonly string[] | undefined
  environment: Readonly<Record<string, string>>
  /** Paths are relative to the job's folder. */
  inputs: readonly { path: string; fileId: string }[]
  /** A folder '' is the job's own. */
  outputs: readonly { type: OutputType; folder: string }[]
  hardware: Hardware
}

/** A job of the API, or what keeps it from being one that can be run. */
export type FetcherPayload = { id: string } & ({ job: FetcherJob } | { problem: string })

/** What is wrong with a job, fit for whoever has handed it in. */
class SpecsError extends Error {}

/** Ids are names of folders. */
const SAFE_ID = /^[A-Za-z0-9][\w.-]{0,127}$/

/** Reads what the queue says of a job. What its maker did wrong is in the payload; PoisonError for what no job is. */
export function parseFetcherMessage(body: string): FetcherPayload {
  const { id, specs } = JSON.parse(body) as { id?: unknown; specs?: unknown }
  if (typeof id !== 'string') throw new PoisonError('it has no id')
  try {
    if (!SAFE_ID.test(id))
      throw new SpecsError(`the id ${JSON.stringify(id.slice(0, 100))} is no name of a folder`)
    return { id, job: readSpecs(specs) }
  } catch (error) {
    if (!(error instanceof SpecsError)) throw error
    return { id, problem: `The job can't be run: ${error.message}` }
  }
}

function readSpecs(specs: unknown): FetcherJob {
  const { app, handler, hardware } = asMap(specs, 'the job')
  const { cmd, env } = asMap(app ?? {}, 'app')
  const { image_url: image, entrypoint, files_down: down, files_up: up } = asMap(handler, 'handler')
  if (typeof image !== 'string' || image === '') throw new SpecsError('handler.image_url is missing')
  return {
    image,
    entrypoint: entrypointOf(entrypoint ?? undefined),
    command: wordsOf(cmd ?? undefined, 'app.cmd'),
    environment: Object.fromEntries(
      Object.entries(asMap(env ?? {}, 'app.env')).map(([name, value]) => [name, variableOf(name, value)]),
    ),
    inputs: Object.entries(asMap(down ?? {}, 'handler.files_down')).map(([path, fileId]) => {
      if (typeof fileId !== 'string' || fileId === '')
        throw new SpecsError(`handler.files_down has no file id for ${JSON.stringify(path)}`)
      return { path: safePath(path, 'handler.files_down'), fileId }
    }),
    outputs: Object.entries(asMap(up ?? {}, 'handler.files_up')).map(([type, folder]) => {
      const known = OUTPUT_TYPES.find((each) => each === type)
      if (known === undefined)
        throw new SpecsError(`handler.files_up knows ${OUTPUT_TYPES.join(', ')}, not ${JSON.stringify(type)}`)
      if (typeof folder !== 'string') throw new SpecsError(`handler.files_up.${type} must be a folder`)
      return { type: known, folder: normal(folder) === '' ? '' : safePath(folder, 'handler.files_up') }
    }),
    hardware: readHardware(hardware ?? {}),
  }
}

function readHardware(value: unknown): Hardware {
  const found = asMap(value, 'hardware')
  const [cpuCores, memoryMib, gpuMemoryMib] = ['cpu_cores', 'memory', 'gpu_mem'].map((key) => found[key])
  const model = found['gpu_model']
  return {
    ...(typeof cpuCores === 'number' && { cpuCores }),
    ...(typeof memoryMib === 'number' && { memoryMib }),
    ...(typeof gpuMemoryMib === 'number' && { gpuMemoryMib }),
    ...(typeof model === 'string' && model !== '' && { gpuModel: model }),
  }
}

/** `./a//b/` is `a/b`; what leads out of the folder is refused. */
function safePath(path: string, where: string): string {
  const clean = normal(path)
  const problem = pathProblem(clean)
  if (problem === undefined) return clean
  const shown = JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}…` : path)
  throw new SpecsError(`${where} has the path ${shown}, which can't be used: ${problem}`)
}

function normal(path: string): string {
  const parts = path.split('/').filter((part, n) => part !== '.' && (part !== '' || n === 0))
  return parts.join('/')
}

function entrypointOf(value: unknown): readonly string[] | undefined {
  if (typeof value !== 'string') return wordsOf(value, 'handler.entrypoint')
  const words = splitWords(value)
  return words.length === 0 ? undefined : words
}

function wordsOf(value: unknown, where: string): readonly string[] | undefined {
  if (value === undefined) return undefined
  const words = typeof value === 'string' ? [value] : value
  if (!Array.isArray(words) || !words.every((word) => typeof word === 'string'))
    throw new SpecsError(`${where} must be a list of words`)
  return words.length === 0 ? undefined : words
}

function variableOf(name: string, value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new SpecsError(`the variable ${JSON.stringify(name)} in app.env is no text`)
}

function asMap(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  throw new SpecsError(`${where} is ${value === undefined || value === null ? 'missing' : 'no map'}`)
}

/** Words as a shell splits them: by blanks, save in quotes and behind a backslash. */
export function splitWords(text: string): string[] {
  const words: string[] = []
  for (const [word] of text.matchAll(/(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\s'"\\])+/gs)) {
    words.push(
      word.replace(
        /\\(.)|'([^']*)'|"((?:\\.|[^"\\])*)"/gs,
        (_all, escaped?: string, single?: string, double?: string) =>
          escaped ?? single ?? (double ?? '').replace(/\\(["\\$`])/g, '$1'),
      ),
    )
  }
  return words
}
