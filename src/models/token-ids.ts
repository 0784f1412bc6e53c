import { randomInt } from 'node:crypto'
import type { TextChoice } from './completion.ts'
import type { CompletionRequest } from './completion-request.ts'
import { failed } from './failure.ts'
import type { ModelResponse, Tokenizer } from './protocol.ts'
import type { ModelInfo, Tensor, TensorValue } from './tensors.ts'

/** The name under which a model takes token ids. */
export const TOKEN_INPUT = 'input_ids'

/** What a model said to one prompt. */
export interface TokenAnswer {
  choices: TextChoice[]
  completionTokens: number
}

/**
 * The inputs of a FasterTransformer model (FauxPilot's), one row for each completion; only those that it has, in the types
 * that it wants.
 */
export function tokenInputs(
  model: ModelInfo,
  ids: readonly number[],
  request: CompletionRequest,
  tokenizer: Tokenizer,
): Tensor[] {
  const rows = request.n
  const one = (value: TensorValue) => ({ shape: [rows, 1], data: repeat([value], rows) })
  // Greedy: the one most likely token, at any temperature that can be divided by.
  const isGreedy = request.temperature === 0
  const seed = request.seed
  const known: Record<string, { shape: number[]; data: TensorValue[] } | undefined> = {
    [TOKEN_INPUT]: { shape: [rows, ids.length], data: repeat(ids, rows) },
    input_lengths: one(ids.length),
    request_output_len: one(request.maxTokens),
    temperature: one(isGreedy ? 1 : request.temperature),
    runtime_top_k: one(isGreedy ? 1 : request.topK),
    runtime_top_p: one(request.topP),
    beam_search_diversity_rate: one(0),
    // Each row its own, or all completions of a prompt would be the same.
    random_seed: {
      shape: [rows, 1],
      data: Array.from({ length: rows }, (_, row) =>
        seed === undefined ? randomInt(2 ** 31 - 1) : (seed + row) % 2 ** 31,
      ),
    },
    len_penalty: one(1),
    repetition_penalty: one(request.repetitionPenalty),
    is_return_log_probs: one(false),
    beam_width: one(1),
    start_id: tokenizer.endId === undefined ? undefined : one(tokenizer.endId),
    end_id: tokenizer.endId === undefined ? undefined : one(tokenizer.endId),
    bad_words_list: wordList([], rows),
    stop_words_list: wordList(
      request.stop.map((text) => tokenizer.encode(text, false)),
      rows,
    ),
  }
  return model.inputs.flatMap(({ name, datatype }) => {
    const input = Object.hasOwn(known, name) ? known[name] : undefined
    return input === undefined ? [] : [{ name, datatype, ...input }]
  })
}

/** The texts in a model's answer to `tokenInputs`. */
export function tokenAnswer(
  outputs: readonly Tensor[],
  ids: readonly number[],
  request: CompletionRequest,
  tokenizer: Tokenizer,
  response: ModelResponse,
): TokenAnswer {
  const output = outputs.find(({ name }) => name === 'output_ids')
  const width = output?.shape.at(-1) ?? 0
  const beams = output === undefined || output.shape.length < 3 ? 1 : (output.shape.at(-2) ?? 1)
  if (output === undefined || output.data.length < request.n * beams * width) {
    throw failed("the server's answer has no output_ids for each completion", response)
  }
  const lengths = outputs.find(({ name }) => name === 'sequence_length')?.data
  const base = tokenizer.decode(ids)
  let completionTokens = 0
  const choices = Array.from({ length: request.n }, (_, row) => {
    const at = row * beams * width
    const all = output.data.slice(at, at + width).map(Number)
    const sequence = all.slice(0, Number(lengths?.[row * beams] ?? width))
    // Models give the prompt back before what they made of it.
    const made = ids.every((id, index) => all[index] === id) ? sequence.slice(ids.length) : sequence
    const end = tokenizer.endId === undefined ? -1 : made.indexOf(tokenizer.endId)
    const tokens = made.slice(0, end === -1 ? request.maxTokens : Math.min(end, request.maxTokens))
    completionTokens += tokens.length
    const text = continuation(tokenizer, base, ids, tokens)
    const cut = firstStop(text, request.stop)
    const isStopped = cut !== -1 || tokens.length < request.maxTokens
    return { text: cut === -1 ? text : text.slice(0, cut), finishReason: isStopped ? 'stop' : 'length' }
  })
  return { choices, completionTokens }
}

/** Decoded after its prompt, since some tokenizers drop the space before a text's first word. */
function continuation(
  tokenizer: Tokenizer,
  base: string,
  ids: readonly number[],
  tokens: readonly number[],
): string {
  const whole = tokenizer.decode([...ids, ...tokens])
  return whole.startsWith(base) ? whole.slice(base.length) : tokenizer.decode(tokens)
}

/** Where the first of the stop texts begins; -1 when there is none. */
function firstStop(text: string, stops: readonly string[]): number {
  const places = stops.map((stop) => text.indexOf(stop)).filter((place) => place !== -1)
  return places.length === 0 ? -1 : Math.min(...places)
}

/** Two rows: the ids of all words, and where each word ends; padded with 0 and -1. */
function wordList(words: readonly (readonly number[])[], rows: number): { shape: number[]; data: number[] } {
  const known = words.filter((word) => word.length > 0)
  const flat = known.flat()
  let end = 0
  const ends = known.map((word) => (end += word.length))
  const width = Math.max(1, flat.length)
  const row = [...flat, ...repeat([0], width - flat.length), ...ends, ...repeat([-1], width - ends.length)]
  return { shape: [rows, 2, width], data: repeat(row, rows) }
}

function repeat<T>(values: readonly T[], times: number): T[] {
  return Array.from({ length: times }, () => values).flat()
}
