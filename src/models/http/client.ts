import {
  Agent,
  request as httpRequest,
  type ClientRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http'
import { Agent as TlsAgent, request as httpsRequest } from 'node:https'
import { messageOf } from '../../core/errors.ts'
import type { Endpoint } from '../../executors/executor.ts'
import { SocketFileAgent } from '../../net/socket-file.ts'
import { ModelError, type ModelResponse, type ServerOptions } from '../protocol.ts'

export interface HttpRequest {
  method: string
  path: string
  headers?: Readonly<Record<string, string>>
  body?: string
}

export interface HttpAnswer extends ModelResponse {
  /** Seconds, when the server asks for a pause. */
  retryAfterSeconds: number | undefined
}

/** After that a silent connection is asked by the system whether there is anybody at its other end. */
const PROBE_AFTER_MS = 15_000
/** Below the 5 s after which usual servers close an idle connection, so that no request meets one that is closing. */
const IDLE_MS = 4000
/** May be sent twice. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'PUT'])
/** These say how a body travels, which is this side's business. */
const OWN_HEADERS = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Connections to one server, kept between requests. No proxy, no redirects. */
export class HttpClient {
  readonly #endpoint: Endpoint
  readonly #options: ServerOptions
  readonly #agent: Agent

  constructor(endpoint: Endpoint, options: ServerOptions) {
    this.#endpoint = endpoint
    this.#options = options
    const settings = { keepAlive: true, keepAliveMsecs: PROBE_AFTER_MS, timeout: IDLE_MS }
    // A socket file is a container's: no link that stands in its place may be followed.
    if ('socketPath' in endpoint) this.#agent = new SocketFileAgent(endpoint.socketPath, settings)
    else this.#agent = options.isTls === true ? new TlsAgent(settings) : new Agent(settings)
  }

  /**
   * Any whole answer, whatever its status. Throws ModelError: 'model_unavailable' when nobody is there, 'generation' when
   * the connection is cut, 'output_too_large', 'validation' when it can't be asked so. Throws the signal's reason.
   */
  async request(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    signal.throwIfAborted()
    const headers = this.#headers(request)
    try {
      return await this.#send(request, headers, signal)
    } catch (error) {
      if (signal.aborted) throw signal.reason
      // The server may have closed the kept connection at the very moment.
      if (error instanceof StaleConnection && IDEMPOTENT.has(request.method))
        return await this.#send(request, headers, signal)
      throw error
    }
  }

  /** Cuts what is under way. */
  close(): void {
    this.#agent.destroy()
  }

  #headers(request: HttpRequest): Record<string, string> {
    const headers: Record<string, string> = { accept: 'application/json', 'accept-encoding': 'identity' }
    if (request.body !== undefined) headers['content-type'] = 'application/json'
    for (const [name, value] of Object.entries({ ...this.#options.headers, ...request.headers })) {
      const key = name.toLowerCase()
      if (OWN_HEADERS.has(key)) {
        throw new ModelError('validation', `headers: ${key} can't be set, it is up to the connection`)
      }
      headers[key] = value
    }
    if (request.body !== undefined) headers['content-length'] = String(Buffer.byteLength(request.body))
    return headers
  }

  #send(request: HttpRequest, headers: Record<string, string>, signal: AbortSignal): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => {
        reject(asError(signal.aborted ? signal.reason : error))
      }
      let isAnswered = false
      let isConnected = false
      const sent = this.#open(request, headers, signal)
      sent.on('socket', (socket) => {
        if (!socket.connecting) isConnected = true
        else socket.once('connect', () => (isConnected = true))
      })
      sent.on('response', (response) => {
        isAnswered = true
        readBody(response, this.#options.maxBytes).then(resolve, (error: unknown) => {
          sent.destroy()
          fail(error)
        })
      })
      sent.on('error', (error) => {
        // What breaks once the answer has begun is told by the answer.
        if (isAnswered) return
        if (!isConnected) fail(unreachable(error))
        else fail(sent.reusedSocket && isReset(error) ? new StaleConnection(error) : cut(error))
      })
      sent.end(request.body)
    })
  }

  #open(request: HttpRequest, headers: Record<string, string>, signal: AbortSignal): ClientRequest {
    const options: RequestOptions = {
      ...this.#endpoint,
      agent: this.#agent,
      method: request.method,
      path: `${this.#options.basePath ?? ''}${request.path}`,
      headers,
      signal,
    }
    // Where there is a socket file, the name is for the server's ears only.
    if ('socketPath' in this.#endpoint) options.host = 'localhost'
    try {
      return this.#options.isTls === true ? httpsRequest(options) : httpRequest(options)
    } catch (error) {
      // A header or a path with characters that can't be sent.
      throw new ModelError('validation', `the request can't be sent: ${messageOf(error)}`, { cause: error })
    }
  }
}

/** A kept connection turned out to be closed. */
class StaleConnection extends ModelError {
  constructor(cause: Error) {
    super('generation', cutMessage(cause), { cause, isCut: true })
  }
}

function cut(cause: Error): ModelError {
  return new ModelError('generation', cutMessage(cause), { cause, isCut: true })
}

function cutMessage(cause: Error): string {
  return `the server cut the connection before it answered: ${cause.message}`
}

function unreachable(cause: Error): ModelError {
  return new ModelError('model_unavailable', `the server can't be reached: ${cause.message}`, { cause })
}

/** Reads no more than `maxBytes` into memory, whatever the answer's length. */
async function readBody(response: IncomingMessage, maxBytes: number): Promise<HttpAnswer> {
  const announced = Number(response.headers['content-length'] ?? 0)
  if (announced > maxBytes) throw tooLarge(maxBytes, response)
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > maxBytes) throw tooLarge(maxBytes, response)
      chunks.push(chunk)
    }
  } catch (error) {
    if (error instanceof ModelError) throw error
    throw broken(bytes, announced, error)
  }
  if (!response.complete) throw broken(bytes, announced)
  return {
    statusCode: response.statusCode ?? 0,
    body: new TextDecoder().decode(Buffer.concat(chunks)),
    retryAfterSeconds: retryAfter(response.headers['retry-after']),
  }
}

function tooLarge(maxBytes: number, response: IncomingMessage): ModelError {
  return new ModelError('output_too_large', `the answer is larger than ${maxBytes} bytes`, {
    response: { statusCode: response.statusCode ?? 0, body: '' },
  })
}

function broken(bytes: number, announced: number, cause?: unknown): ModelError {
  const of = announced > 0 ? ` of ${announced}` : ''
  return new ModelError('generation', `the answer broke off after ${bytes}${of} bytes`, {
    cause,
    isCut: true,
  })
}

/** Seconds or a date. */
function retryAfter(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  if (/^\s*\d+(?:\.\d+)?\s*$/.test(header)) return Number(header)
  const date = Date.parse(header)
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - Date.now()) / 1000))
}

function isReset(error: Error): boolean {
  return 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason))
}
