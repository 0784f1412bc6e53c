import type { Json, JsonObject } from '../core/json.ts'
import type { Endpoint } from '../executors/executor.ts'

/** What a model server can speak. 'kserve-grpc' is for servers that run already. */
export type ProtocolName = 'openai' | 'kserve' | 'triton-generate' | 'cog' | 'raw' | 'kserve-grpc'

/** Speaks one protocol; holds nothing. */
export interface Protocol {
  readonly name: ProtocolName
  /** Opens no connection yet; whoever calls it closes what it returns. */
  connect(endpoint: Endpoint, options: ServerOptions): ModelServer
}

export interface ServerOptions {
  /** Asked for readiness in place of the protocol's own path. */
  healthPath?: string
  /** The model for requests that name none. Left out = the server is asked, where the protocol can. */
  model?: string
  /** Most bytes of one answer. */
  maxBytes: number
  /** Sent with every request, and under those of the call: e.g. a key for a server that runs already. */
  headers?: Readonly<Record<string, string>>
  /** Before every path, e.g. `/openai`. */
  basePath?: string
  isTls?: boolean
  /** Turns prompts into the tensors of models that take token ids (kserve and kserve-grpc). */
  tokenizer?: Tokenizer
}

/** 'busy' = healthy, with a call in hand: it takes no other one now. */
export type Readiness = 'ready' | 'loading' | 'busy'

/** One server. All that may last take a signal, and throw its reason when it is aborted. */
export interface ModelServer {
  /**
   * A server that doesn't answer (yet), or answers nonsense, is 'loading'. Throws ModelError('setup_failed') when it
   * says that it will never be ready.
   */
  readiness(signal: AbortSignal): Promise<Readiness>
  /**
   * After an abandoned call: has it proved that it is healthy and works on nothing any more? Where the protocol has no
   * word for it, the server must answer a call of one token; false where not even that can be asked. Never throws but
   * for the signal.
   */
  isIdle(signal: AbortSignal): Promise<boolean>
  /** Throws ModelError. When the signal is aborted the server is told, as far as the protocol can. */
  call(call: ModelCall, signal: AbortSignal): Promise<ModelAnswer>
  /** Cuts its connections, calls in flight included. */
  close(): void
}

/** What a server is asked, whatever it speaks. */
export interface ModelCall {
  /** Of its job; a call that comes again with it is the same call, where the protocol knows that (cog). */
  id: string
  /** Left out = what the protocol has for such a payload. */
  path?: string
  method?: string
  headers: Readonly<Record<string, string>>
  payload: Payload
}

/** Exactly one form. A body goes to the server as it is, but for streaming, which is turned off. */
export type Payload =
  | { body: Json }
  /** A completion; `parameters` are more members of the request (`max_tokens` …), by the names of the completions form. */
  | { prompt: string; parameters?: JsonObject }
  | { messages: readonly Json[]; parameters?: JsonObject }
  /** What cog has; elsewhere the whole body, unless the protocol says otherwise. */
  | { input: Json }

export interface TokenUsage {
  promptTokens?: number
  completionTokens?: number
  totalTokens?: number
}

export interface ModelResponse {
  /** Of HTTP; gRPC's own codes are put into the nearest one. */
  statusCode: number
  /** As it came; bytes that are no UTF-8 are replaced. */
  body: string
}

export interface ModelAnswer {
  /**
   * What the model said. Completions and chats: `{choices: [{index, text | message, finish_reason}]}`, whatever the
   * protocol; else the answer's own JSON, or its text where it is none.
   */
  output: Json
  /** Left out when the server doesn't tell. */
  usage?: TokenUsage
  response: ModelResponse
}

/**
 * Who is at fault. The job: 'validation' (the request can't be put to this server, or it refused it), 'generation' (the
 * server failed at it), 'gpu_oom', 'output_too_large', 'setup_failed' (readiness only). To be retried: 'overloaded',
 * 'model_unavailable' (it can't be reached) and 'gpu_unavailable' (it lost sight of its GPU).
 */
export type ModelErrorType =
  | 'validation'
  | 'generation'
  | 'gpu_oom'
  | 'output_too_large'
  | 'setup_failed'
  | 'overloaded'
  | 'model_unavailable'
  | 'gpu_unavailable'

const RETRIABLE: readonly ModelErrorType[] = ['overloaded', 'model_unavailable', 'gpu_unavailable']

/** A server's answer was none. The message is fit for the job's sender. */
export class ModelError extends Error {
  override readonly name = 'ModelError'
  readonly type: ModelErrorType
  /** Another try, later, may well succeed. */
  readonly isRetriable: boolean
  /** The server asks for a pause of so long. */
  readonly retryAfterSeconds: number | undefined
  /** Whoever keeps the server had better replace it: its GPU is of no use to it any more. */
  readonly shouldReplace: boolean
  /** The connection ended before the answer did: the server may just have died. */
  readonly isCut: boolean
  /** What it answered, where it did. */
  readonly response: ModelResponse | undefined

  constructor(
    type: ModelErrorType,
    message: string,
    options: ErrorOptions & {
      retryAfterSeconds?: number | undefined
      isCut?: boolean
      response?: ModelResponse | undefined
    } = {},
  ) {
    super(message, options)
    this.type = type
    this.isRetriable = RETRIABLE.includes(type)
    this.retryAfterSeconds = options.retryAfterSeconds
    this.shouldReplace = type === 'gpu_oom' || type === 'gpu_unavailable'
    this.isCut = options.isCut ?? false
    this.response = options.response
  }
}

/** Text to token ids and back. */
export interface Tokenizer {
  /** The ids of a text, with what the tokenizer puts around it only when `isWhole`. */
  encode(text: string, isWhole: boolean): readonly number[]
  /** Marks such as an end of text are left out. */
  decode(ids: readonly number[]): string
  /** The token with which a text ends, where the tokenizer names one. */
  readonly endId: number | undefined
}
