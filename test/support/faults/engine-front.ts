import { once } from 'node:events'
import { rename, rm } from 'node:fs/promises'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import net, { type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { Injected, noFaults, type Plan } from './plan.ts'

export const ENGINE_OPERATIONS = [
  'create',
  'attach',
  'attach-input',
  'start',
  'wait',
  'kill',
  'remove',
  'inspect',
  'list',
  'rename',
  'events',
  'pull',
  'ping',
  'other',
] as const
export type EngineOperation = (typeof ENGINE_OPERATIONS)[number]

/** What can go wrong between a client and the engine. Times in milliseconds. */
export type EngineFault =
  | { kind: 'delay'; ms: number } // forwarded later
  | { kind: 'late'; ms: number } // forwarded at once, answered later
  | { kind: 'refuse'; ms: number } // for so long nobody listens
  | { kind: 'error' } // 500, and nothing happened
  | { kind: 'error-after' } // 500, although it happened
  | { kind: 'reset-before' } // the connection ends, and nothing happened
  | { kind: 'reset-after' } // it happened, and the answer is lost
  | { kind: 'cut' } // the connection ends in the middle of the answer
  | { kind: 'hang'; ms: number } // no answer, and nothing happened; ends by a reset

export interface EngineFrontOptions {
  /** Where to listen; short, since a socket's path is. */
  path: string
  /** The engine's own socket. */
  upstream: string
  plan?: Plan<EngineFault>
}

const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade'])
/** A stream that is to be cut in its middle and says nothing is cut after so long. */
const SILENT_CUT_MS = 300

/** A front of an engine's socket that passes everything through but what its plan spoils. */
export class EngineFront implements AsyncDisposable {
  readonly injected = new Injected()
  plan: Plan<EngineFault>
  readonly #path: string
  readonly #upstream: string
  readonly #agent = new http.Agent({ keepAlive: true })
  readonly #sockets = new Set<Socket>()
  readonly #closing = new AbortController()
  #server: http.Server | undefined
  #reopening: Promise<void> = Promise.resolve()

  private constructor({ path, upstream, plan = noFaults }: EngineFrontOptions) {
    this.#path = path
    this.#upstream = upstream
    this.plan = plan
  }

  static async start(options: EngineFrontOptions): Promise<EngineFront> {
    const front = new EngineFront(options)
    await front.#listen()
    return front
  }

  /** For DOCKER_HOST. */
  get host(): string {
    return `unix://${this.#path}`
  }

  /** For `ms` connections are refused; those that are open live on. */
  refuse(ms: number): void {
    this.#reopening = this.#reopening.then(async () => {
      await this.#unlisten()
      await delay(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined)
      if (!this.#closing.signal.aborted) await this.#listen()
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    await this.#reopening
    for (const socket of this.#sockets) socket.destroy()
    await this.#unlisten()
    await rm(this.#path, { force: true })
    this.#agent.destroy()
  }

  async #listen(): Promise<void> {
    await rm(this.#path, { force: true })
    const server = http.createServer({ keepAliveTimeout: 75_000, requestTimeout: 0 }, (request, response) => {
      void this.#answer(request, response)
    })
    server.on('upgrade', (request, socket, head) => {
      void this.#hijack(request, socket, head)
    })
    server.on('clientError', (_error, socket) => socket.destroy())
    server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    server.listen(this.#path)
    await once(server, 'listening')
    this.#server = server
  }

  /** Leaves a socket on which nobody listens, as a daemon that has ended does. */
  async #unlisten(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    const kept = `${this.#path}~`
    await rename(this.#path, kept).catch(() => undefined)
    server.close()
    server.closeIdleConnections()
    await rename(kept, this.#path).catch(() => undefined)
  }

  #nextFault(request: IncomingMessage): EngineFault | undefined {
    const operation = operationOf(request.method ?? '', request.url ?? '')
    const fault = this.plan.next(operation)
    if (fault !== undefined) this.injected.add(operation, fault.kind)
    return fault
  }

  /** What happens instead of forwarding; true = the request is done with. */
  async #before(fault: EngineFault | undefined, client: Duplex, refuse: () => void): Promise<boolean> {
    switch (fault?.kind) {
      case 'delay':
        await this.#pause(fault.ms)
        return client.destroyed
      case 'hang':
        await this.#pause(fault.ms)
        client.destroy()
        return true
      case 'refuse':
        this.refuse(fault.ms)
        client.destroy()
        return true
      case 'reset-before':
        client.destroy()
        return true
      case 'error':
        refuse()
        return true
      default:
        return false
    }
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined)
  }

  #forward(request: IncomingMessage): http.ClientRequest {
    return http.request({
      socketPath: this.#upstream,
      method: request.method,
      path: request.url,
      headers: request.headers,
      agent: this.#agent,
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const client = request.socket
    const fault = this.#nextFault(request)
    const refuse = (): void => {
      request.resume()
      response.writeHead(500, { 'content-type': 'application/json' }).end(INJECTED)
    }
    if (await this.#before(fault, client, refuse)) return
    const forwarded = this.#forward(request)
    response.once('close', () => forwarded.destroy())
    forwarded.on('error', () => client.destroy())
    request.pipe(forwarded)
    const [answer] = (await once(forwarded, 'response').catch(() => [])) as [IncomingMessage?]
    if (answer === undefined) return
    answer.on('error', () => client.destroy())
    if (fault?.kind === 'late') await this.#pause(fault.ms)
    if (fault?.kind === 'error-after') {
      answer.resume()
      refuse()
    } else if (fault?.kind === 'reset-after') client.destroy()
    else if (fault?.kind === 'cut') cutAnswer(answer, response, client)
    else {
      response.writeHead(answer.statusCode ?? 500, passedOn(answer.headers))
      response.flushHeaders()
      answer.pipe(response)
    }
  }

  /** A request that becomes a raw stream both ways. */
  async #hijack(request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
    client.on('error', () => undefined)
    const fault = this.#nextFault(request)
    const refuse = (): void => {
      client.end(rawHead(500, 'Internal Server Error', { 'content-length': INJECTED.length }) + INJECTED)
    }
    if (await this.#before(fault, client, refuse)) return
    const engine = net.connect({ path: this.#upstream, allowHalfOpen: true })
    // What it said before its end is still on its way to the client.
    engine.on('error', () => {
      if (!engine.readableEnded) client.destroy()
    })
    client.once('close', () => engine.destroy())
    engine.write(rawRequest(request))
    if (head.length > 0) engine.write(head)
    // Raw from the first byte: status line, headers and stream pass as the engine writes them.
    if (fault?.kind === 'late') await this.#pause(fault.ms)
    if (fault?.kind === 'reset-after' || fault?.kind === 'error-after') {
      engine.once('data', () => {
        if (fault.kind === 'error-after') refuse()
        else client.destroy()
        engine.destroy()
      })
      return
    }
    client.pipe(engine)
    if (fault?.kind === 'cut') cutStream(engine, client)
    else engine.pipe(client)
  }
}

const INJECTED = JSON.stringify({ message: 'injected by the front' })

/** Which step of a container's life a request is; `attach-input` = standard input alone. */
export function operationOf(method: string, url: string): EngineOperation {
  const [whole = '', query = ''] = url.split('?', 2)
  const path = whole.replace(/^\/v\d+\.\d+(?=\/)/, '')
  const [, verb] = /^\/containers\/[^/]+\/(attach|start|wait|kill|rename)$/.exec(path) ?? []
  if (verb === 'attach' && /stdin=(1|true)/i.test(query) && !/stdout=(1|true)/i.test(query))
    return 'attach-input'
  if (verb !== undefined) return verb as EngineOperation
  if (method === 'DELETE' && /^\/containers\/[^/]+$/.test(path)) return 'remove'
  if (/^\/containers\/[^/]+\/json$/.test(path)) return 'inspect'
  switch (path) {
    case '/containers/create':
      return 'create'
    case '/containers/json':
      return 'list'
    case '/images/create':
      return 'pull'
    case '/events':
      return 'events'
    case '/_ping':
      return 'ping'
    default:
      return 'other'
  }
}

function cutAnswer(answer: IncomingMessage, response: ServerResponse, client: Socket): void {
  const status = answer.statusCode ?? 500
  if (status === 204 || answer.headers['content-length'] === '0') {
    answer.resume()
    client.write(`HTTP/1.1 ${status}`, () => client.destroy())
    return
  }
  response.writeHead(status, passedOn(answer.headers))
  response.flushHeaders()
  answer.once('data', (chunk: Buffer) => {
    response.write(chunk.subarray(0, Math.floor(chunk.length / 2)), () => {
      client.destroy()
    })
  })
  answer.once('end', () => client.destroy())
}

/** Passes the headers and half of what comes first, then ends both sides. */
function cutStream(engine: Socket, client: Duplex): void {
  let isHead = true
  let timer: NodeJS.Timeout | undefined
  const end = (): void => {
    clearTimeout(timer)
    client.destroy()
    engine.destroy()
  }
  const pass = (body: Buffer): void => {
    client.write(body.subarray(0, Math.floor(body.length / 2)), end)
  }
  engine.on('data', (chunk: Buffer) => {
    if (!isHead) {
      pass(chunk)
      return
    }
    isHead = false
    const bodyAt = chunk.indexOf('\r\n\r\n') + 4
    client.write(chunk.subarray(0, bodyAt))
    if (bodyAt < chunk.length) pass(chunk.subarray(bodyAt))
    else timer = setTimeout(end, SILENT_CUT_MS)
  })
}

function passedOn(headers: http.IncomingHttpHeaders): http.OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name)))
}

function rawRequest(request: IncomingMessage): string {
  const lines = [`${request.method ?? ''} ${request.url ?? ''} HTTP/1.1`]
  for (let n = 0; n + 1 < request.rawHeaders.length; n += 2) {
    lines.push(`${request.rawHeaders[n] ?? ''}: ${request.rawHeaders[n + 1] ?? ''}`)
  }
  return `${lines.join('\r\n')}\r\n\r\n`
}

function rawHead(status: number, reason: string, headers: Record<string, string | number>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}`)
  return [`HTTP/1.1 ${status} ${reason}`, ...lines, 'connection: close', '', ''].join('\r\n')
}
