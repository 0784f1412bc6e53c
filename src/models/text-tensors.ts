import { ExactNumber } from '../core/exact-number.ts'
import { isJsonArray, type Json, type JsonObject } from '../core/json.ts'
import { ModelError } from './protocol.ts'
import type { ModelInfo, Tensor, TensorInfo, TensorValue } from './tensors.ts'

/** Names under which models usually take a prompt. */
const PROMPT_INPUTS = ['text_input', 'prompt', 'text', 'input']

/** A prompt, and those parameters that the model has inputs for, as tensors of one value each. */
export function textInputs(model: string, info: ModelInfo, body: JsonObject): Tensor[] {
  const prompt = body.get('prompt')
  if (typeof prompt !== 'string') throw new ModelError('validation', 'prompt must be a text for this model')
  const texts = info.inputs.filter(({ datatype }) => datatype === 'BYTES')
  const usual = PROMPT_INPUTS.map((name) => texts.find((input) => input.name === name)).find(
    (input) => input !== undefined,
  )
  const target = usual ?? (texts.length === 1 ? texts[0] : undefined)
  if (target === undefined) {
    throw new ModelError('validation', `model ${model} has no input for a prompt: send its inputs as body`)
  }
  return info.inputs.flatMap((input) => {
    const value = input === target ? prompt : valueOf(body.get(input.name))
    return value === undefined ? [] : [tensorOf(input, value)]
  })
}

function tensorOf({ name, datatype, shape }: TensorInfo, value: TensorValue): Tensor {
  return { name, datatype, shape: shape.length === 0 ? [1] : shape.map(() => 1), data: [value] }
}

function valueOf(json: Json | undefined): TensorValue | undefined {
  if (typeof json === 'string' || typeof json === 'boolean') return json
  if (json instanceof ExactNumber) return json.toNumber()
  if (isJsonArray(json) && json.length === 1) return valueOf(json[0])
  return undefined
}
