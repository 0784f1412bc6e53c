import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readForm } from './multipart.ts'

/** Something to be fetched: bytes, or so many generated ones. */
export type Content = Uint8Array | { generated: number; bytesPerSecond?: number }

export interface JobGiven {
  app?: { cmd?: unknown; env?: unknown }
  handler: Record<string, unknown>
  meta?: Record<string, unknown>
  hardware?: { cpu_cores?: number; memory?: number; gpu_model?: string; gpu_mem?: number }
}

export interface ToldStatus {
  status: string
  details: string | null
  at: number
}

/** A file that came back from a job. */
export interface Upload {
  job: string
  type: string
  basePath: string
  name: string
  bytes: number
  sha256: string
}

export interface Asked {
  method: string
  /** As it came over the wire. */
  path: string
  at: number
}

/** What is answered in place of the ordinary; 'cut' = the connection is closed, 'hang' = nothing is said. */
export type Fault = (asked: Asked) => { status: number; body?: unknown } | 'cut' | 'hang' | undefined

const CLIENT = 'standinclient'
const CHUNK = 64 * 1024

/** Bytes that depend on where they are, of any length. */
export function generated(length: number, offset = 0): Buffer {
  const chunk = Buffer.allocUnsafe(length)
  for (let n = 0; n < length; n += 1) chunk[n] = ((offset + n) * 31 + ((offset + n) >>> 13)) & 0xff
  return chunk
}

/** The checksum of a content. */
export function checksum(content: Content): string {
  const hash = createHash('sha256')
  if (content instanceof Uint8Array) hash.update(content)
  else
    for (let at = 0; at < content.generated; at += CHUNK)
      hash.update(generated(Math.min(CHUNK, content.generated - at), at))
  return hash.digest('hex')
}

/**
 * A worker-facing API on real sockets, with Cognito and, on a server of its own that refuses every token, a storage with
 * presigned addresses; or with a storage of its own that wants the token.
 */
export class WorkerApiStandIn implements AsyncDisposable {
  readonly users = new Map([['worker', 'correct horse']])
  readonly queue: { id: string; job: JobGiven }[] = []
  /** Jobs that somebody has. */
  readonly given = new Map<string, JobGiven>()
  readonly files = new Map<string, Content>()
  readonly statuses = new Map<string, ToldStatus[]>()
  readonly uploads: Upload[] = []
  readonly asked: Asked[] = []
  /** Requests for jobs, as their parameters. */
  readonly fetches: URLSearchParams[] = []
  /** Mistakes of the worker: a token where none belongs, a form that is cut. */
  readonly wrong: string[] = []
  storage: 's3' | 'local' = 's3'
  fault: Fault | undefined
  lifeSeconds = 3600
  #deleted = new Map<string, 'to be told' | 'told'>()
  readonly #tokens = new Map<string, number>()
  #issued = 0
  readonly #name: string
  readonly #api = createServer((request, response) => {
    void this.#serveApi(request, response)
  })
  readonly #store = createServer((request, response) => {
    void this.#serveStore(request, response)
  })

  private constructor(name: string) {
    this.#name = name
  }

  /** `name` is the one that its addresses have, for those to whom this machine has another. */
  static async start(host = '127.0.0.1', name = '127.0.0.1'): Promise<WorkerApiStandIn> {
    const standIn = new WorkerApiStandIn(name)
    for (const server of [standIn.#api, standIn.#store]) {
      server.listen(0, host)
      await once(server, 'listening')
    }
    return standIn
  }

  get url(): string {
    return urlOf(this.#api, this.#name)
  }

  get storeUrl(): string {
    return urlOf(this.#store, this.#name)
  }

  add(id: string, job: JobGiven): void {
    this.queue.push({ id, job })
  }

  /** Its worker is told so once; from then on the API fails when asked about it. */
  delete(id: string): void {
    this.given.delete(id)
    this.#deleted.set(id, 'to be told')
  }

  /** No token issued so far is good any more. */
  endTokens(): void {
    this.#tokens.clear()
  }

  told(id: string): ToldStatus[] {
    return this.statuses.get(id) ?? []
  }

  /** The statuses in their order, each run of the same one once. */
  phases(id: string): string[] {
    return this.told(id)
      .map(({ status }) => status)
      .filter((status, n, all) => status !== all[n - 1])
  }

  /** Longest time between two words about a job, in ms. */
  longestSilence(id: string): number {
    const times = this.told(id).map(({ at }) => at)
    return Math.max(0, ...times.slice(1).map((at, n) => at - (times[n] ?? 0)))
  }

  async stop(): Promise<void> {
    for (const server of [this.#api, this.#store]) {
      if (!server.listening) continue
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #serveApi(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '/'
    const asked = { method: request.method ?? '', path, at: performance.now() }
    this.asked.push(asked)
    const fault = this.fault?.(asked)
    if (fault === 'hang') return
    if (fault === 'cut') {
      request.destroy()
      return
    }
    try {
      if (fault !== undefined) {
        request.resume()
        answer(response, fault.status, fault.body ?? {})
        return
      }
      await this.#route(request, response, path)
    } catch (error) {
      this.wrong.push(String(error))
      answer(response, 500, { detail: String(error) })
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const [bare = '', query = ''] = path.split('?')
    const parameters = new URLSearchParams(query)
    if (bare === '/' && request.method === 'POST') {
      await this.#signIn(request, response)
      return
    }
    if (bare === '/access_info') {
      const cognito = { user_pool_id: 'eu-central-1_StandIn01', client_id: CLIENT, region: 'eu-central-1' }
      answer(response, 200, { cognito })
      return
    }
    if (!this.#isAuthorized(request)) {
      request.resume()
      answer(response, 401, { detail: 'Not authenticated' })
      return
    }
    const [, id = ''] = /^\/jobs\/([^/]+)\//.exec(bare) ?? []
    const job = decodeURIComponent(id)
    if (bare === '/jobs') answer(response, 200, this.#fetch(parameters))
    else if (bare.endsWith('/status')) this.#status(request, response, job, parameters)
    else if (bare.endsWith('/files/url')) this.#uploadUrl(request, response, job, parameters)
    else if (bare.endsWith('/files/upload')) await this.#receive(request, response, job, parameters)
    else if (bare.startsWith('/files/') && bare.endsWith('/url'))
      this.#downloadUrl(request, response, bare.slice(7, -4))
    else if (bare.startsWith('/files/') && bare.endsWith('/download'))
      await this.#send(request, response, decodeURIComponent(bare.slice(7, -9)))
    else answer(response, 404, { detail: 'Not Found' })
  }

  async #signIn(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const body = JSON.parse(Buffer.concat(parts).toString()) as {
      AuthFlow: string
      ClientId: string
      AuthParameters: Record<string, string>
    }
    const { USERNAME: name = '', PASSWORD: password, REFRESH_TOKEN: refresh } = body.AuthParameters
    const isGood =
      body.ClientId === CLIENT &&
      (body.AuthFlow === 'REFRESH_TOKEN_AUTH' ? refresh === 'refresh-1' : this.users.get(name) === password)
    if (!isGood) {
      answer(response, 400, { __type: 'NotAuthorizedException', message: 'Incorrect username or password.' })
      return
    }
    const token = `id-token-${++this.#issued}`
    this.#tokens.set(token, Date.now() + this.lifeSeconds * 1000)
    answer(response, 200, {
      AuthenticationResult: {
        AccessToken: 'no-access-token',
        IdToken: token,
        ExpiresIn: this.lifeSeconds,
        ...(body.AuthFlow === 'USER_PASSWORD_AUTH' && { RefreshToken: 'refresh-1' }),
      },
    })
  }

  #isAuthorized(request: IncomingMessage): boolean {
    const token = (request.headers.authorization ?? '').replace(/^Bearer /, '')
    return token === 'fixed-token' || (this.#tokens.get(token) ?? 0) > Date.now()
  }

  #fetch(parameters: URLSearchParams): Record<string, unknown> {
    this.fetches.push(parameters)
    const has = (name: string): number => Number(parameters.get(name) ?? 0)
    const at = this.queue.findIndex(({ job: { hardware = {} } }) => {
      const { cpu_cores: cpus = 0, memory = 0, gpu_model: model, gpu_mem: gpuMemory = 0 } = hardware
      const fits = cpus <= has('cpu_cores') && memory <= has('memory') && gpuMemory <= has('gpu_mem')
      return fits && (model === undefined || model === parameters.get('gpu_model'))
    })
    const [found] = at < 0 ? [] : this.queue.splice(at, 1)
    if (found === undefined) return {}
    this.given.set(found.id, found.job)
    const { app = {}, handler, meta, hardware = {} } = found.job
    return {
      [found.id]: {
        app,
        handler,
        meta: { job_id: 4711, date_created: new Date().toISOString(), ...meta },
        hardware,
      },
    }
  }

  #status(request: IncomingMessage, response: ServerResponse, id: string, parameters: URLSearchParams): void {
    request.resume()
    const deleted = this.#deleted.get(id)
    if (request.method === 'GET') {
      answer(response, this.given.has(id) ? 200 : 404, this.told(id).at(-1)?.status ?? 'pulled')
      return
    }
    if (deleted === 'to be told') {
      this.#deleted.set(id, 'told')
      answer(response, 404, {})
      return
    }
    const told = {
      status: parameters.get('status') ?? '',
      details: parameters.get('runtime_details'),
      at: performance.now(),
    }
    if (deleted === 'told') this.wrong.push(`${told.status} was told of ${id}, which is deleted`)
    if (!this.given.has(id)) {
      answer(response, 500, {})
      return
    }
    this.statuses.set(id, [...this.told(id), told])
    response.writeHead(204).end()
  }

  #uploadUrl(
    request: IncomingMessage,
    response: ServerResponse,
    id: string,
    parameters: URLSearchParams,
  ): void {
    const [type, basePath] = [parameters.get('type') ?? '', parameters.get('base_path')]
    if (basePath === null || !['output', 'log', 'artifact'].includes(type)) {
      answer(response, 422, { detail: 'base_path or type is missing' })
      return
    }
    if (!this.given.has(id)) {
      answer(response, 500, {})
      return
    }
    const query = `type=${type}&base_path=${encodeURIComponent(basePath)}`
    if (this.storage === 'local') {
      const url = `${this.url}/jobs/${encodeURIComponent(id)}/files/upload?${query}`
      answer(response, 201, { method: 'post', url, headers: ownHeaders(request), data: {} })
      return
    }
    const data = {
      key: `${id}/${type}/${basePath}/\${filename}`,
      policy: 'cG9saWN5',
      'x-amz-signature': 'abc',
    }
    answer(response, 201, { method: 'post', url: `${this.storeUrl}/bucket`, headers: {}, data })
  }

  #downloadUrl(request: IncomingMessage, response: ServerResponse, encoded: string): void {
    const id = decodeURIComponent(encoded)
    if (!this.files.has(id)) {
      answer(response, 404, { detail: 'no such file' })
      return
    }
    if (this.storage === 'local') {
      // The address that it was asked by, as it has read it: decoded.
      const url = `${this.url}/files/${id}/download`
      answer(response, 200, { method: 'get', url, headers: ownHeaders(request), data: {} })
      return
    }
    const url = `${this.storeUrl}/bucket/object?id=${encodeURIComponent(id)}&X-Amz-Signature=abc`
    answer(response, 200, { method: 'get', url, headers: {}, data: {} })
  }

  async #serveStore(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.headers.authorization !== undefined) this.wrong.push('a token came to the storage')
    const url = new URL(request.url ?? '/', this.storeUrl)
    if (request.method === 'GET') {
      await this.#send(request, response, url.searchParams.get('id') ?? '')
      return
    }
    try {
      const form = await readForm(request)
      const [id = '', type = '', ...folder] = (form.fields['key'] ?? '')
        .replace('/${filename}', '')
        .split('/')
      const isGood =
        form.file?.isLast === true && form.file.field === 'file' && form.fields['policy'] === 'cG9saWN5'
      if (!isGood) this.wrong.push('a form is not as it was told')
      this.#keep(id, type, folder.join('/'), form.file)
      response.writeHead(204).end()
    } catch (error) {
      this.wrong.push(String(error))
      response.writeHead(400).end()
    }
  }

  async #receive(
    request: IncomingMessage,
    response: ServerResponse,
    id: string,
    parameters: URLSearchParams,
  ): Promise<void> {
    const form = await readForm(request)
    this.#keep(id, parameters.get('type') ?? '', parameters.get('base_path') ?? '', form.file)
    answer(response, 201, null)
  }

  #keep(
    job: string,
    type: string,
    basePath: string,
    file: { name: string; bytes: number; sha256: string } | undefined,
  ): void {
    if (file === undefined) throw new Error('a form without a file')
    this.uploads.push({ job, type, basePath, name: file.name, bytes: file.bytes, sha256: file.sha256 })
  }

  async #send(request: IncomingMessage, response: ServerResponse, id: string): Promise<void> {
    const content = this.files.get(id)
    if (content === undefined) {
      answer(response, 404, {})
      return
    }
    const size = content instanceof Uint8Array ? content.length : content.generated
    const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    response.writeHead(from > 0 ? 206 : 200, {
      ETag: '"v1"',
      'Content-Length': size - from,
      ...(from > 0 && { 'Content-Range': `bytes ${from}-${size - 1}/${size}` }),
    })
    if (content instanceof Uint8Array) {
      response.end(content.subarray(from))
      return
    }
    const since = performance.now()
    for (let at = from; at < size && !response.destroyed; at += CHUNK) {
      if (!response.write(generated(Math.min(CHUNK, size - at), at))) {
        const heard = new AbortController()
        const events = ['drain', 'close'].map((event) => once(response, event, { signal: heard.signal }))
        await Promise.race(events).finally(() => {
          heard.abort()
        })
        await Promise.allSettled(events)
      }
      const rate = content.bytesPerSecond
      const aheadMs = rate === undefined ? 0 : ((at - from) / rate) * 1000 - (performance.now() - since)
      // The kernel may take all at once: whoever else asks is to be heard meanwhile.
      if (aheadMs > 20) await new Promise((resolve) => setTimeout(resolve, aheadMs))
      else await new Promise((resolve) => setImmediate(resolve))
    }
    response.end()
  }
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
}

/** What its own storage wants to see again. */
function ownHeaders({ headers }: IncomingMessage): Record<string, string> {
  return headers.authorization === undefined ? {} : { authorization: headers.authorization }
}

function urlOf(server: Server, name: string): string {
  return `http://${name}:${(server.address() as AddressInfo).port}`
}
