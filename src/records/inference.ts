import { ExactNumber } from '../core/exact-number.ts'
import { fromPlain, isJsonArray, isJsonObject, type Json, type JsonObject } from '../core/json.ts'
import type { ModelResponse, TokenUsage } from '../models/protocol.ts'
import type { Item, Key } from '../stores/store.ts'
import { formatTime } from './result.ts'

/** How a call of a model has ended, for good. */
export const FINAL_INFERENCE_STATUSES = ['succeeded', 'failed', 'canceled', 'aborted'] as const
export type InferenceStatus = (typeof FINAL_INFERENCE_STATUSES)[number]

/** Why there is no answer. Those that are tried again are never stored, but shown to who calls ad hoc. */
export type InferenceErrorType =
  | 'validation'
  | 'setup_failed'
  | 'startup_timeout'
  | 'timeout'
  | 'deadline_exceeded'
  | 'canceled'
  | 'oom_killed'
  | 'gpu_oom'
  | 'generation'
  | 'output_too_large'
  | 'overloaded'
  | 'model_unavailable'
  | 'gpu_unavailable'
  | 'internal'

export interface InferenceFailure {
  type: InferenceErrorType
  message: string
  retriable: boolean
}

/** What ran the call. */
export interface CallRuntime {
  /** Null for a server that nobody here has started. */
  imageDigest: string | null
  gpuIds: readonly string[]
  isWarm: boolean
}

/** What came of a call, by whatever way it came. */
export interface InferenceOutcome {
  status: InferenceStatus
  /** Null where there is none. */
  output: Json
  usage?: TokenUsage | undefined
  /** What a server answered, as it came. */
  response?: ModelResponse | undefined
  error?: InferenceFailure
  /** The last that the container printed. */
  logsTail: string
  /** Where the output was written to. */
  outputLocation?: string
  /** Undefined when nothing was asked. */
  runtime?: CallRuntime
  /** Null when nothing was started. */
  coldStartMs: number | null
  /** Null when nothing was asked. */
  predictMs: number | null
}

/** What an item tells of a job besides its outcome. */
export interface InferenceRun {
  id: string
  /** Of the attempt that writes it. */
  token: string
  attempt: number
  /** The process that does. */
  worker: string
  queueMs: number | null
  pullMs: number | null
  totalMs: number
  createdAt: string
  startedAt: Date | undefined
  finishedAt: Date
  metadata: JsonObject
}

/** Bytes that an item may take; the table holds 409 600, and not all is counted here to the byte. */
const ITEM_BYTES = 400_000
/** What is left for those attributes whose length is bounded by itself. */
const FRAME_BYTES = 32_000
/** Of the last that a container printed. */
export const LOGS_TAIL_BYTES = 8192
const LONGEST_ERROR = 2048

/** Where the one item of a call stands. */
export function inferenceKey(id: string): Key {
  return { ID: `Inferences#${id}`, Trial: 'Job' }
}

/** The item of a call that nobody has begun. */
export function queuedInference(id: string, createdAt: Date): Item {
  return { ...inferenceKey(id), Status: 'queued', CreatedAt: formatTime(createdAt), IgnoreStream: true }
}

/** What an attempt says on its way: `starting` when it begins, `processing` when the model is asked. */
export function underway(
  run: Pick<InferenceRun, 'id' | 'token' | 'attempt' | 'worker' | 'createdAt'>,
  status: 'starting' | 'processing',
  startedAt?: Date,
): Item {
  return {
    ...inferenceKey(run.id),
    Status: status,
    Token: run.token,
    Runtime: fromPlain({ Worker: run.worker, Attempt: run.attempt }),
    CreatedAt: run.createdAt,
    ...(startedAt === undefined ? {} : { StartedAt: formatTime(startedAt) }),
    IgnoreStream: true,
  }
}

/** The item of a call that has ended. What a server answered is cut to the room that its output leaves. */
export function finishedInference(run: InferenceRun, outcome: InferenceOutcome): Item {
  const { output, usage, response, error, runtime } = outcome
  const logsTail = lastBytes(outcome.logsTail, LOGS_TAIL_BYTES)
  const rest = storedBytes(output) + Buffer.byteLength(logsTail) + storedBytes(run.metadata)
  return {
    ...inferenceKey(run.id),
    Status: outcome.status,
    Output: output,
    Usage: fromPlain(
      usage === undefined
        ? null
        : {
            prompt_tokens: usage.promptTokens,
            completion_tokens: usage.completionTokens,
            total_tokens: usage.totalTokens,
          },
    ),
    Response: responseJson(response, ITEM_BYTES - FRAME_BYTES - rest),
    Error: fromPlain(
      error === undefined
        ? null
        : {
            Type: error.type,
            Message: firstBytes(error.message, LONGEST_ERROR).text,
            Retriable: error.retriable,
          },
    ),
    Metrics: fromPlain({
      QueueMs: whole(run.queueMs),
      PullMs: whole(run.pullMs),
      ColdStartMs: whole(outcome.coldStartMs),
      PredictMs: whole(outcome.predictMs),
      TotalMs: whole(run.totalMs),
    }),
    Runtime: fromPlain({
      Worker: run.worker,
      ImageDigest: runtime?.imageDigest ?? null,
      GpuIds: runtime?.gpuIds ?? [],
      Warm: runtime?.isWarm ?? false,
      Attempt: run.attempt,
    }),
    CreatedAt: run.createdAt,
    StartedAt: run.startedAt === undefined ? null : formatTime(run.startedAt),
    FinishedAt: formatTime(run.finishedAt),
    LogsTail: logsTail,
    OutputLocation: outcome.outputLocation ?? null,
    Metadata: run.metadata,
    Token: run.token,
    IgnoreStream: true,
  }
}

/** Whether an output fits into the item of its job. */
export function fitsItem(output: Json, metadata: JsonObject): boolean {
  return storedBytes(output) + storedBytes(metadata) <= ITEM_BYTES - FRAME_BYTES - LOGS_TAIL_BYTES
}

/** Whether a job has its result. */
export function isFinalInference(item: Item): boolean {
  return FINAL_INFERENCE_STATUSES.some((status) => status === item['Status'])
}

/** Bytes of a value as a table counts them, never too few. */
function storedBytes(value: Json): number {
  if (typeof value === 'string') return Buffer.byteLength(value) + 1
  if (value instanceof ExactNumber) return Math.min(40, Math.ceil(value.text.length / 2) + 3)
  if (isJsonArray(value)) return value.reduce((sum: number, each) => sum + storedBytes(each) + 1, 4)
  if (!isJsonObject(value)) return 2
  let bytes = 4
  for (const [key, member] of value) bytes += Buffer.byteLength(key) + 2 + storedBytes(member)
  return bytes
}

function responseJson(response: ModelResponse | undefined, room: number): Json {
  if (response === undefined) return null
  const { text, isWhole } = firstBytes(response.body, Math.max(0, room))
  return fromPlain({
    StatusCode: response.statusCode,
    Body: text,
    ...(isWhole ? {} : { BodyTruncated: true }),
  })
}

function firstBytes(text: string, most: number): { text: string; isWhole: boolean } {
  const bytes = Buffer.from(text)
  if (bytes.length <= most) return { text: bytes.toString(), isWhole: true }
  let end = most
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return { text: bytes.subarray(0, end).toString(), isWhole: false }
}

function lastBytes(text: string, most: number): string {
  const bytes = Buffer.from(text)
  let start = Math.max(0, bytes.length - most)
  while (start > 0 && start < bytes.length && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1
  return bytes.subarray(start).toString()
}

function whole(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms)
}
