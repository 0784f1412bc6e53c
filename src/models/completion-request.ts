import { ExactNumber } from '../core/exact-number.ts'
import { isJsonArray, type Json, type JsonObject } from '../core/json.ts'
import { ModelError } from './protocol.ts'

/** A request in the completions form, read for models that don't speak it themselves. */
export interface CompletionRequest {
  /** Texts, or token ids; each is completed on its own. */
  prompts: readonly (string | readonly number[])[]
  maxTokens: number
  temperature: number
  topP: number
  topK: number
  repetitionPenalty: number
  /** Completions of each prompt. */
  n: number
  stop: readonly string[]
  seed: number | undefined
}

const MOST_COPIES = 128
const MOST_STOPS = 64

/** Members that change nothing here (`user`, `stream` …) are passed over; what can't be fulfilled is a ModelError. */
export function readCompletion(body: JsonObject): CompletionRequest {
  for (const key of ['echo', 'suffix']) {
    const value = body.get(key)
    if (value !== undefined && value !== null && value !== false && value !== '') {
      throw new ModelError('validation', `${key}: a model that takes token ids can't do that`)
    }
  }
  return {
    prompts: promptsOf(body.get('prompt')),
    maxTokens: number(body, 'max_tokens', 16, { least: 1, most: 1_000_000, isWhole: true }),
    temperature: number(body, 'temperature', 1, { least: 0, most: 100 }),
    topP: number(body, 'top_p', 1, { least: 0, most: 1 }),
    topK: number(body, 'top_k', 0, { least: 0, most: 1_000_000, isWhole: true }),
    repetitionPenalty: number(body, 'repetition_penalty', 1, { least: 0, most: 100 }),
    n: number(body, 'n', 1, { least: 1, most: MOST_COPIES, isWhole: true }),
    stop: stopsOf(body.get('stop')),
    seed: isLeftOut(body.get('seed'))
      ? undefined
      : number(body, 'seed', 0, { least: 0, most: 2 ** 31 - 1, isWhole: true }),
  }
}

function promptsOf(prompt: Json | undefined): CompletionRequest['prompts'] {
  if (typeof prompt === 'string') return [prompt]
  if (isJsonArray(prompt) && prompt.length > 0) {
    const ids = idsOf(prompt)
    if (ids !== undefined) return [ids]
    return prompt.map((member) => {
      const one = typeof member === 'string' ? member : isJsonArray(member) ? idsOf(member) : undefined
      if (one === undefined) throw new ModelError('validation', 'prompt: a list must hold texts or token ids')
      return one
    })
  }
  throw new ModelError('validation', 'prompt must be a text, token ids, or a list of such')
}

function idsOf(list: readonly Json[]): number[] | undefined {
  const ids = list.map((member) => (member instanceof ExactNumber ? member.toNumber() : Number.NaN))
  return ids.every((id) => Number.isInteger(id) && id >= 0 && id < 2 ** 32) ? ids : undefined
}

function stopsOf(stop: Json | undefined): string[] {
  if (stop === undefined || stop === null) return []
  const list = typeof stop === 'string' ? [stop] : stop
  if (!isJsonArray(list) || list.length > MOST_STOPS || !list.every((text) => typeof text === 'string')) {
    throw new ModelError('validation', `stop must be a text or a list of at most ${MOST_STOPS} texts`)
  }
  return list.filter((text) => text !== '')
}

function number(
  body: JsonObject,
  key: string,
  otherwise: number,
  bounds: { least: number; most: number; isWhole?: boolean },
): number {
  const json = body.get(key)
  if (isLeftOut(json)) return otherwise
  const value = json instanceof ExactNumber ? json.toNumber() : Number.NaN
  const isRight = value >= bounds.least && value <= bounds.most
  if (!isRight || (bounds.isWhole === true && !Number.isInteger(value))) {
    const sort = bounds.isWhole === true ? 'an integer' : 'a number'
    throw new ModelError('validation', `${key} must be ${sort} from ${bounds.least} to ${bounds.most}`)
  }
  return value
}

function isLeftOut(value: Json | undefined): value is null | undefined {
  return value === undefined || value === null
}
