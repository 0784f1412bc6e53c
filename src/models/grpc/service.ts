import type { Client, Metadata, ServiceError } from '@grpc/grpc-js'
import type { ServiceDefinition } from '@grpc/proto-loader'
import type { Endpoint } from '../../executors/executor.ts'
import { failed, isGpuLost, isGpuOom } from '../failure.ts'
import { ModelError, type ServerOptions } from '../protocol.ts'
import { KSERVE } from './descriptor.ts'

interface WireTensorInfo {
  name: string
  datatype: string
  shape: number[]
}

interface WireContents {
  boolContents: boolean[]
  intContents: number[]
  int64Contents: number[]
  uintContents: number[]
  uint64Contents: number[]
  fp32Contents: number[]
  fp64Contents: number[]
  bytesContents: Buffer[]
}

/** What is asked and answered, by the method's name. */
interface Methods {
  ServerReady: [request: object, answer: { ready: boolean }]
  ModelReady: [request: { name: string }, answer: { ready: boolean }]
  ModelMetadata: [request: { name: string }, answer: { inputs: WireTensorInfo[]; outputs: WireTensorInfo[] }]
  ModelInfer: [
    request: {
      modelName: string
      id: string
      inputs: { name: string; datatype: string; shape: readonly number[] }[]
      rawInputContents: Buffer[]
    },
    answer: {
      outputs: (WireTensorInfo & { contents: WireContents | null })[]
      rawOutputContents: Buffer[]
    },
  ]
}

type NetworkEndpoint = Exclude<Endpoint, { socketPath: string }>

/** One channel to a server. The libraries are loaded with the first request. */
export class KserveService {
  readonly #endpoint: NetworkEndpoint
  readonly #options: ServerOptions
  #open: Promise<Channel> | undefined
  #isClosed = false

  /** A socket file is a container's, and gRPC would follow a link in its place. */
  constructor(endpoint: Endpoint, options: ServerOptions) {
    if ('socketPath' in endpoint) throw new TypeError('kserve-grpc is for servers that run already')
    this.#endpoint = endpoint
    this.#options = options
  }

  /** Throws ModelError, and the signal's reason. */
  async ask<M extends keyof Methods>(
    method: M,
    request: Methods[M][0],
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Methods[M][1]> {
    signal.throwIfAborted()
    this.#open ??= openChannel(this.#endpoint, this.#options)
    const channel = await this.#open
    signal.throwIfAborted()
    if (this.#isClosed) throw new ModelError('model_unavailable', 'the connection was closed')
    const metadata = channel.metadata({ ...this.#options.headers, ...headers })
    const definition = channel.service[method]
    if (definition === undefined) throw new Error(`no method ${method}`)
    return await new Promise((resolve, reject) => {
      const call = channel.client.makeUnaryRequest<object, object>(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        request,
        metadata,
        {},
        (error, answer) => {
          signal.removeEventListener('abort', cancel)
          if (signal.aborted) reject(asError(signal.reason))
          else if (error !== null) reject(problem(error, this.#options.maxBytes))
          // The loader makes it by the descriptor, with all fields.
          else resolve(answer as Methods[M][1])
        },
      )
      const cancel = () => {
        call.cancel()
      }
      signal.addEventListener('abort', cancel, { once: true })
    })
  }

  close(): void {
    this.#isClosed = true
    this.#open?.then(
      ({ client }) => {
        client.close()
      },
      () => undefined,
    )
  }
}

interface Channel {
  client: Client
  service: ServiceDefinition
  metadata: (headers: Readonly<Record<string, string>>) => Metadata
}

async function openChannel(endpoint: NetworkEndpoint, options: ServerOptions): Promise<Channel> {
  const [grpc, loader] = await Promise.all([import('@grpc/grpc-js'), import('@grpc/proto-loader')])
  const packages = loader.fromJSON(KSERVE, { longs: Number, defaults: true, arrays: true })
  const credentials =
    options.isTls === true ? grpc.credentials.createSsl() : grpc.credentials.createInsecure()
  return {
    client: new grpc.Client(hostPort(endpoint), credentials, {
      'grpc.enable_http_proxy': 0,
      'grpc.max_receive_message_length': options.maxBytes,
      'grpc.max_send_message_length': -1,
    }),
    service: packages['inference.GRPCInferenceService'] as ServiceDefinition,
    metadata: (headers) => metadataOf(new grpc.Metadata(), headers),
  }
}

function hostPort({ host, port }: NetworkEndpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function metadataOf(metadata: Metadata, headers: Readonly<Record<string, string>>): Metadata {
  for (const [name, value] of Object.entries(headers)) {
    try {
      metadata.set(name, value)
    } catch (error) {
      throw new ModelError('validation', `headers: ${name} can't be sent over gRPC`, { cause: error })
    }
  }
  return metadata
}

/** Of gRPC's status codes; the library's own enum would have to be loaded for them. */
const RESOURCE_EXHAUSTED: number = 8
const UNAVAILABLE: number = 14
/** The nearest of HTTP, by gRPC's code: from an invalid argument to a caller who isn't known. */
const HTTP_STATUS = new Map<number, number>([
  [3, 400],
  [4, 504],
  [5, 404],
  [7, 403],
  [RESOURCE_EXHAUSTED, 429],
  [9, 400],
  [11, 400],
  [12, 501],
  [UNAVAILABLE, 503],
  [16, 401],
])

function problem(error: ServiceError, maxBytes: number): ModelError {
  const { details } = error
  const code: number = error.code
  if (code === RESOURCE_EXHAUSTED && details.startsWith('Received message larger than max')) {
    return new ModelError('output_too_large', `the answer is larger than ${maxBytes} bytes`, { cause: error })
  }
  const statusCode = HTTP_STATUS.get(code) ?? 500
  const message = `the server answered with gRPC code ${code}: ${details}`
  const response = { statusCode, body: details }
  if (isGpuOom(details) || isGpuLost(details)) return failed(message, response)
  if (code === UNAVAILABLE) {
    return new ModelError('model_unavailable', `the server can't be reached: ${details}`, { cause: error })
  }
  if (statusCode === 429) return new ModelError('overloaded', message, { cause: error, response })
  if (statusCode === 501 || (statusCode >= 400 && statusCode < 500)) {
    return new ModelError('validation', message, { cause: error, response })
  }
  return failed(message, response)
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason))
}
