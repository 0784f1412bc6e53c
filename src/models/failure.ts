import { isJsonArray, isJsonObject, JsonSyntaxError, parseJson, type Json } from '../core/json.ts'
import { escapeControls, truncateMiddle } from '../core/text.ts'
import { ModelError, type ModelErrorType, type ModelResponse } from './protocol.ts'

const LONGEST_MESSAGE = 2000
/** Of a text that is to become a message. */
const LONGEST_READ = 65_536
const GPU_OOM =
  /OutOfMemoryError|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED/
const OUT_OF_MEMORY = /out of memory/i
const GPU = /cuda|\b(?:hip|gpu)\b/i
const GPU_LOST = /Failed to initialize NVML/i

/** Whether a text of a failed program says that the memory of its GPU was too small. */
export function isGpuOom(text: string): boolean {
  // The two words in one line: a program may well speak of its GPU, and run out of the machine's memory.
  return GPU_OOM.test(text) || text.split('\n').some((line) => OUT_OF_MEMORY.test(line) && GPU.test(line))
}

/** Whether it says that it can't see its GPU any more: known cures are a new container only. */
export function isGpuLost(text: string): boolean {
  return GPU_LOST.test(text)
}

/** What failed by the server's own fault; what its text says about its GPU decides. */
export function failed(message: string, response?: ModelResponse): ModelError {
  const text = response === undefined ? message : `${message}\n${response.body}`
  const type: ModelErrorType = isGpuOom(text) ? 'gpu_oom' : isGpuLost(text) ? 'gpu_unavailable' : 'generation'
  return new ModelError(type, message, { response })
}

/** The sentence in a server's error answer, in one of the forms that such servers have; its text where it has none. */
export function errorText(body: string): string {
  const json = jsonOf(body)
  const text = json === undefined ? body : (sentence(json) ?? body)
  return truncateMiddle(escapeControls(text.slice(0, LONGEST_READ).trim()), LONGEST_MESSAGE)
}

/** What a text says as JSON; undefined when it is none. */
export function jsonOf(text: string): Json | undefined {
  try {
    return parseJson(text)
  } catch (error) {
    if (error instanceof JsonSyntaxError) return undefined
    throw error
  }
}

/** The `error` of an answer, in words; undefined when there is none (absent, null, false, or an empty text). */
export function reportedError(json: Json | undefined): string | undefined {
  const error = isJsonObject(json) ? json.get('error') : undefined
  if (error === undefined || error === null || error === false || error === '') return undefined
  return truncateMiddle(
    escapeControls((sentence(error) ?? 'the server reports an error').slice(0, LONGEST_READ)),
    LONGEST_MESSAGE,
  )
}

/** {error}, {error: {message}}, {message}, {detail}, {detail: [{loc, msg}]} and the text itself. */
function sentence(json: Json): string | undefined {
  if (typeof json === 'string') return json === '' ? undefined : json
  if (isJsonArray(json)) {
    const parts = json.map(sentence).filter((part) => part !== undefined)
    return parts.length === 0 ? undefined : parts.join('; ')
  }
  if (!isJsonObject(json)) return undefined
  const place = json.get('loc')
  const problem = json.get('msg')
  if (isJsonArray(place) && typeof problem === 'string') return `${place.map(String).join('.')}: ${problem}`
  for (const key of ['error', 'message', 'detail', 'msg']) {
    const text = sentence(json.get(key) ?? null)
    if (text !== undefined) return text
  }
  return undefined
}
