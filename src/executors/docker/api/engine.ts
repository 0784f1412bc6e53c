import http, { type IncomingMessage } from 'node:http'
import type https from 'node:https'
import { createRequire } from 'node:module'
import { isIP, type Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { EngineError, transportError } from './errors.ts'
import { SshAgent, type SshTarget } from './ssh-connection.ts'

/** Where an engine listens, and what it takes to get in. */
export type EngineAddress = { socketPath: string } | TcpAddress | { ssh: SshTarget }

export interface TcpAddress {
  hostname: string
  port: number
  /** What stands in front of every path, e.g. of a proxy. */
  basePath?: string
  tls?: TlsFiles
}

/** The texts of the PEM files that are there. */
export interface TlsFiles {
  ca?: string
  cert?: string
  key?: string
  /** Whether the engine must prove who it is. */
  verify: boolean
}

export interface RequestOptions {
  query?: Readonly<Record<string, string | readonly string[]>>
  /** Sent as JSON, or as it comes when it is a stream. */
  body?: object | Readable
  headers?: Readonly<Record<string, string>>
  /** Gives up with the signal's reason. */
  signal?: AbortSignal | undefined
  /** Longest silence on the wire in milliseconds; 0 = for ever. */
  silenceMs?: number
  /** Uses a connection of its own, so that the answer proves that the engine still takes new ones. */
  fresh?: boolean
}

const SILENCE_MS = 120_000
/** A connection that was silent for so long is tried. */
const KEEP_ALIVE_MS = 30_000
const MAX_ERROR_BYTES = 64 * 1024

/**
 * The engine's HTTP API over one long-lived agent. Every method throws EngineError for an answer that says no and
 * RetryableError('engine') when there is no answer. Paths carry no version: the engine then speaks its newest.
 */
export class Engine {
  /** For people, e.g. `unix:///var/run/docker.sock`. */
  readonly label: string
  readonly #transport: typeof http | typeof https
  readonly #createAgent: (options: http.AgentOptions) => http.Agent
  readonly #agent: http.Agent
  readonly #address: http.RequestOptions
  readonly #basePath: string

  constructor(address: EngineAddress) {
    this.label = labelOf(address)
    const transport = 'tls' in address ? loadHttps() : http
    this.#transport = transport
    this.#createAgent = (options) =>
      'ssh' in address ? new SshAgent(address.ssh, options) : new transport.Agent(options)
    this.#agent = this.#createAgent({ keepAlive: true })
    this.#address = connectOptions(address)
    this.#basePath = ('basePath' in address ? address.basePath : undefined) ?? ''
  }

  /** The whole answer, parsed; undefined when it is empty. */
  async json(method: string, path: string, options: RequestOptions = {}): Promise<unknown> {
    const response = await this.open(method, path, options)
    return await this.readJson(response, options.signal)
  }

  /** The rest of a response of `open`, parsed; undefined when it is empty. */
  async readJson(response: IncomingMessage, signal?: AbortSignal): Promise<unknown> {
    let body: string
    try {
      body = await text(response)
    } catch (error) {
      signal?.throwIfAborted()
      throw transportError(error, this.label)
    }
    if (body.trim() === '') return undefined
    try {
      return JSON.parse(body) as unknown
    } catch (error) {
      // What is not JSON was cut off, or comes from something that is no engine.
      throw transportError(error, this.label)
    }
  }

  /** Resolves when the engine has begun to answer; the caller reads the body to its end or destroys it. */
  async open(method: string, path: string, options: RequestOptions = {}): Promise<IncomingMessage> {
    const { signal } = options
    signal?.throwIfAborted()
    try {
      return await this.#send(method, path, options)
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof EngineError) throw error
      throw transportError(error, this.label)
    }
  }

  /** Turns a POST request into a raw two-way stream. */
  async hijack(path: string, options: Pick<RequestOptions, 'query' | 'signal'> = {}): Promise<Socket> {
    const { signal } = options
    signal?.throwIfAborted()
    try {
      return await this.#upgrade(path, options)
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof EngineError) throw error
      throw transportError(error, this.label)
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  async #send(method: string, path: string, options: RequestOptions): Promise<IncomingMessage> {
    const { body, silenceMs = SILENCE_MS } = options
    const stream = isStream(body) ? body : undefined
    const payload = body === undefined || stream !== undefined ? undefined : JSON.stringify(body)
    for (;;) {
      const request = this.#request(method, path, options, {
        ...(payload === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(stream === undefined
          ? { 'Content-Length': payload === undefined ? 0 : Buffer.byteLength(payload) }
          : { 'Content-Type': 'application/x-tar' }),
      })
      try {
        const response = await new Promise<IncomingMessage>((resolve, reject) => {
          request.once('response', resolve)
          request.once('error', reject)
          if (silenceMs > 0) {
            request.setTimeout(silenceMs, () => {
              request.destroy(new Error(`no answer for ${silenceMs / 1000} seconds`))
            })
          }
          if (stream === undefined) request.end(payload)
          else {
            stream.once('error', (error) => request.destroy(error))
            stream.pipe(request)
          }
        })
        // From here on an error shows on the response; the request must not throw it a second time.
        request.on('error', () => undefined)
        const status = response.statusCode ?? 0
        // 304: it is so already, such as a container that was started by a request whose answer was lost.
        if (status >= 300 && !(method === 'POST' && status === 304))
          throw new EngineError(status, ...(await readMessage(response)))
        return response
      } catch (error) {
        // A kept connection that the engine closed meanwhile; most likely nothing of the request was read.
        if (request.reusedSocket && stream === undefined && isReset(error)) continue
        throw error
      }
    }
  }

  async #upgrade(path: string, options: RequestOptions): Promise<Socket> {
    // No body: what follows the headers is the job's own input, and some engines would take a body for it.
    const { signal, query = {} } = options
    const request = this.#request(
      'POST',
      path,
      { query, fresh: true },
      {
        Connection: 'Upgrade',
        Upgrade: 'tcp',
        'Content-Length': 0,
      },
    )
    const abort = (): void => {
      request.destroy(new Error('aborted'))
    }
    signal?.addEventListener('abort', abort, { once: true })
    try {
      return await new Promise<Socket>((resolve, reject) => {
        request.once('upgrade', (_response, socket, head) => {
          request.setTimeout(0)
          socket.setTimeout(0)
          // A program may be silent for hours, and what stands between may forget a silent connection.
          socket.setKeepAlive(true, KEEP_ALIVE_MS)
          // Who reads it learns of it; until somebody does it must not end the process.
          socket.on('error', () => undefined)
          if (head.length > 0) socket.unshift(head)
          resolve(socket)
        })
        request.once('response', (response) => {
          const status = response.statusCode ?? 0
          readMessage(response).then(([message, isByEngine]) => {
            const said = status < 400 ? 'the engine did not hand over the stream' : message
            reject(new EngineError(status, said, isByEngine))
          }, reject)
        })
        request.once('error', reject)
        request.setTimeout(SILENCE_MS, () => {
          request.destroy(new Error(`no answer for ${SILENCE_MS / 1000} seconds`))
        })
        request.end()
      })
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  #request(
    method: string,
    path: string,
    { query = {}, headers, signal, fresh = false }: RequestOptions,
    own: Readonly<Record<string, string | number>>,
  ): http.ClientRequest {
    const search = new URLSearchParams()
    for (const [key, value] of Object.entries(query)) {
      for (const one of typeof value === 'string' ? [value] : value) search.append(key, one)
    }
    return this.#transport.request({
      ...this.#address,
      agent: fresh ? this.#createAgent({}) : this.#agent,
      method,
      path: this.#basePath + (search.size === 0 ? path : `${path}?${search.toString()}`),
      headers: { Host: 'docker', ...headers, ...own },
      ...(signal === undefined ? {} : { signal }),
    })
  }
}

/** Only who needs it pays for it. */
function loadHttps(): typeof https {
  return createRequire(import.meta.url)('node:https') as typeof https
}

function labelOf(address: EngineAddress): string {
  if ('socketPath' in address) return `unix://${address.socketPath}`
  if ('ssh' in address) {
    const { user, host, port } = address.ssh
    return `ssh://${user === undefined ? '' : `${user}@`}${host}${port === undefined ? '' : `:${port}`}`
  }
  const { hostname, port, basePath = '' } = address
  return `tcp://${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}${basePath}`
}

function connectOptions(address: EngineAddress): https.RequestOptions {
  if ('ssh' in address) return {}
  if ('socketPath' in address) return { socketPath: address.socketPath }
  const { hostname, port, tls } = address
  if (tls === undefined) return { hostname, port }
  const { verify, ...keys } = tls
  // Said explicitly, since node would take the Host header for the name that the certificate must bear.
  return {
    hostname,
    port,
    servername: isIP(hostname) === 0 ? hostname : '',
    rejectUnauthorized: verify,
    ...keys,
  }
}

function isStream(body: object | undefined): body is Readable {
  return body !== undefined && 'pipe' in body
}

function isReset(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return code === 'ECONNRESET' || code === 'EPIPE'
}

/** What an error's body says, and whether that is in the engine's own form. */
async function readMessage(response: IncomingMessage): Promise<[message: string, isByEngine: boolean]> {
  let body = ''
  response.setEncoding('utf8')
  for await (const part of response) {
    body += part as string
    if (body.length > MAX_ERROR_BYTES) break
  }
  try {
    const parsed: unknown = JSON.parse(body)
    if (
      parsed !== null &&
      typeof parsed === 'object' &&
      'message' in parsed &&
      typeof parsed.message === 'string'
    ) {
      return [parsed.message, true]
    }
  } catch {
    // Not JSON: a proxy, perhaps; its text will do. Or it is only the beginning of what the engine says.
  }
  return [body.trim().slice(0, 2000), /^\{\s*"message":/.test(body)]
}
