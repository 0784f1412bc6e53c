import type { JsonObject } from '../core/json.ts'
import { completionOf, type TextChoice } from './completion.ts'
import { readCompletion } from './completion-request.ts'
import { failed } from './failure.ts'
import { ModelError, type ModelAnswer, type ModelResponse, type Tokenizer } from './protocol.ts'
import { textInputs } from './text-tensors.ts'
import { TOKEN_INPUT, tokenAnswer, tokenInputs } from './token-ids.ts'
import type { ModelInfo, TensorServer } from './tensors.ts'

/**
 * Completes what a request in the completions form asks for with a model of tensors: token ids where it takes those (and
 * there is a tokenizer), else text in BYTES.
 */
export async function completeByTensors(
  server: TensorServer,
  model: string,
  body: JsonObject,
  tokenizer: Tokenizer | undefined,
  signal: AbortSignal,
): Promise<ModelAnswer> {
  const info = await server.describe(model, signal)
  if (!info.inputs.some(({ name }) => name === TOKEN_INPUT))
    return await byText(server, model, info, body, signal)
  if (tokenizer === undefined) {
    throw new ModelError(
      'validation',
      `model ${model} takes token ids: set tokenizer to its tokenizer.json, or send its inputs as body`,
    )
  }
  return await byTokens(server, model, info, body, tokenizer, signal)
}

async function byTokens(
  server: TensorServer,
  model: string,
  info: ModelInfo,
  body: JsonObject,
  tokenizer: Tokenizer,
  signal: AbortSignal,
): Promise<ModelAnswer> {
  const request = readCompletion(body)
  const choices: TextChoice[] = []
  let promptTokens = 0
  let completionTokens = 0
  let response: ModelResponse = { statusCode: 200, body: '' }
  for (const prompt of request.prompts) {
    const ids = typeof prompt === 'string' ? tokenizer.encode(prompt, true) : prompt
    if (ids.length === 0) throw new ModelError('validation', 'prompt: it has no token')
    const answer = await server.infer(model, tokenInputs(info, ids, request, tokenizer), signal)
    const made = tokenAnswer(answer.outputs, ids, request, tokenizer, answer.response)
    response = answer.response
    choices.push(...made.choices)
    promptTokens += ids.length
    completionTokens += made.completionTokens
  }
  const usage = { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens }
  return { output: completionOf(choices), usage, response }
}

async function byText(
  server: TensorServer,
  model: string,
  info: ModelInfo,
  body: JsonObject,
  signal: AbortSignal,
): Promise<ModelAnswer> {
  const { outputs, response } = await server.infer(model, textInputs(model, info, body), signal)
  const texts = outputs.filter(({ datatype }) => datatype === 'BYTES')
  const output = texts.find(({ name }) => name === 'text_output') ?? texts[0]
  if (output === undefined) throw failed("the server's answer has no text", response)
  const choices = output.data.map((text) => ({ text: String(text), finishReason: null }))
  return { output: completionOf(choices), response }
}
