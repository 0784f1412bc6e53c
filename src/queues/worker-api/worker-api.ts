import type { Clock } from '../../core/clock.ts'
import { RetryableError } from '../../core/errors.ts'
import { fixedBearer, AccountBearer, type Bearer } from './bearer.ts'
import type { UserPool } from './cognito.ts'
import { asRecord, asText } from '../../core/unknown-json.ts'
import { ask, pathOf, queryOf, UnreachableError, type Answer, type Call } from './http.ts'
import { asSurroundings, isFault, patiently, RefusedError } from './troubles.ts'

/** What a job's status may be told to be. */
export type JobStatus = 'preprocessing' | 'running' | 'postprocessing' | 'finished' | 'error'

/** What a place for one job at a time has, as jobs are asked for. */
export interface Announcement {
  cpuCores: number
  memoryMib: number
  gpuModel?: string
  gpuMemoryMib?: number
  gpuArchitecture?: string
}

/** A request that moves a file, as the API tells it. */
export interface FileRequest {
  method: string
  url: string
  headers: Readonly<Record<string, string>>
  /** Fields of a form; undefined = none. */
  fields?: Readonly<Record<string, string>>
}

export interface WorkerApiOptions {
  url: URL
  /** A fixed token, or who to sign in as. */
  access: { token: string } | { username: string; password: string }
  /** Another server that speaks the protocol of Cognito; left out = Amazon's in the pool's region. */
  cognitoUrl?: string | undefined
  /** Only jobs of these groups; none = all. */
  groups: readonly string[]
  /** Only jobs that have waited for so many seconds. */
  olderThanSeconds?: number | undefined
  clock: Clock
}

const FETCH_TIMEOUT_MS = 30_000
const TIMEOUT_MS = 10_000
/** Answers to a request that is too long. */
const TOO_LONG: ReadonlySet<number> = new Set([400, 413, 414, 431])

/**
 * The calls of a worker-facing API. UnreachableError when another try may help, RefusedError when not,
 * RetryableError('credentials') when the account is refused.
 */
export class WorkerApi {
  readonly #o: WorkerApiOptions
  readonly #bearer: Bearer

  constructor(options: WorkerApiOptions) {
    this.#o = options
    const { access, clock } = options
    this.#bearer =
      'token' in access
        ? fixedBearer(access.token)
        : new AccountBearer({ pool: (signal) => this.#userPool(signal), account: access, clock })
  }

  /** Whether the API answers, and lets this account in. */
  async probe(signal: AbortSignal): Promise<void> {
    try {
      // Without an account it does not matter how one would sign in.
      if ('token' in this.#o.access) await this.#ask('GET', '/access_info', signal, {})
      else await this.#userPool(signal)
      await this.#admission(signal)
    } catch (error) {
      throw asSurroundings(error)
    }
  }

  /** The job that fits best into a place: its id and what the API says of it; undefined when there is none. */
  async fetchJob(
    offer: Announcement,
    signal: AbortSignal,
  ): Promise<{ id: string; specs: unknown } | undefined> {
    const { groups, olderThanSeconds } = this.#o
    const query = queryOf({
      memory: offer.memoryMib,
      cpu_cores: offer.cpuCores,
      gpu_model: offer.gpuModel,
      gpu_mem: offer.gpuMemoryMib,
      gpu_archi: offer.gpuArchitecture,
      limit: 1,
      older_than: olderThanSeconds,
      groups,
    })
    const answer = await this.#call('GET', `/jobs${query}`, signal, FETCH_TIMEOUT_MS)
    const { status, body } = this.#good(answer, 'asking for a job')
    // What stands before an API may answer in its place, and is not to pass for an empty queue.
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw new RefusedError(status, 'asking for a job: the API answered with no map of jobs')
    const [found] = Object.entries(asRecord(body))
    return found && { id: found[0], specs: found[1] }
  }

  /** Tells a job's status once. 'gone' = it was deleted or given to someone else. */
  async putStatus(
    id: string,
    status: JobStatus,
    details: string | undefined,
    signal: AbortSignal,
  ): Promise<'told' | 'gone'> {
    const path = pathOf`/jobs/${id}/status`
    try {
      const answer = await this.#call('PUT', path + queryOf({ status, runtime_details: details }), signal)
      if (answer.status === 404) return 'gone'
      // The details are part of the address, whose length servers and proxies limit each in its own way.
      if (TOO_LONG.has(answer.status) && details !== undefined)
        return await this.putStatus(id, status, halfOf(details), signal)
      this.#good(answer, `telling the status ${status}`)
      return 'told'
    } catch (error) {
      // A job that was deleted is told of once; from then on the API fails.
      if (isFault(error) && (await this.isGone(id, signal))) return 'gone'
      throw error
    }
  }

  /** Whether the API knows nothing of the job any more. False where that can't be told. */
  async isGone(id: string, signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.#call('GET', pathOf`/jobs/${id}/status`, signal)).status === 404
    } catch {
      signal.throwIfAborted()
      return false
    }
  }

  /** The request that fetches a file. */
  async downloadRequest(fileId: string, signal: AbortSignal): Promise<FileRequest> {
    const request = await this.#fileRequest('GET', signal, () =>
      this.#call('GET', pathOf`/files/${fileId}/url`, signal),
    )
    if (!this.#isOwn(request.url)) return request
    // The API tells its own address as it has read it: decoded.
    const [told, meant] = [`/files/${fileId}/`, pathOf`/files/${fileId}/`]
    const isEncoded = request.url.includes(meant)
    return isEncoded ? request : { ...request, url: request.url.replace(told, () => meant) }
  }

  /** The request that sends one file of a job; `folder` is the file's, relative to the job's. */
  async uploadRequest(id: string, type: string, folder: string, signal: AbortSignal): Promise<FileRequest> {
    const path = pathOf`/jobs/${id}/files/url` + queryOf({ type, base_path: folder })
    return await this.#fileRequest('POST', signal, async () => {
      try {
        return await this.#call('POST', path, signal)
      } catch (error) {
        // Of a job that was deleted the API knows nothing to say but that it failed.
        if (!isFault(error) || !(await this.isGone(id, signal))) throw error
        throw new RefusedError(404, 'the API knows nothing of the job any more')
      }
    })
  }

  /** Lets nobody wait for a sign-in any more. */
  close(): void {
    this.#bearer.close()
  }

  async #fileRequest(
    method: 'GET' | 'POST',
    signal: AbortSignal,
    call: () => Promise<Answer>,
  ): Promise<FileRequest> {
    const { url: base, clock } = this.#o
    const answer = await patiently(clock, signal, call)
    const body = asRecord(this.#good(answer, 'asking for the address of a file').body)
    const address = asText(body['url'])
    if (address === undefined) throw new RefusedError(answer.status, 'the API told no address of the file')
    const headers = asTexts(body['headers'])
    const fields = asTexts(body['data'])
    const verb = (asText(body['method']) ?? method).toUpperCase()
    // Its own storage wants to know who asks; the token is none of any other server's business.
    const url = URL.canParse(address) ? address : new URL(address, base).href
    // Neither this machine's files nor its AWS account are an API's to open.
    if (!/^https?:/i.test(url))
      throw new RefusedError(answer.status, 'the API told an address that is none of the web')
    const isNamed = Object.keys(headers).some((name) => name.toLowerCase() === 'authorization')
    const authorization = this.#isOwn(url) && !isNamed ? await this.#authorization(signal) : {}
    return {
      method: verb,
      url,
      headers: { ...headers, ...authorization },
      ...((verb === 'POST' || Object.keys(fields).length > 0) && { fields }),
    }
  }

  #isOwn(url: string): boolean {
    return new URL(url).origin === this.#o.url.origin
  }

  /** Throws when the account is not let in. No job has this id; whatever else is said of it will do. */
  async #admission(signal: AbortSignal): Promise<void> {
    try {
      const answer = await this.#call('GET', '/jobs/0/status', signal)
      if (answer.status === 403) this.#good(answer, 'asking whether the account is let in')
    } catch (error) {
      if (!(error instanceof UnreachableError) || error.status === undefined) throw error
    }
  }

  async #authorization(signal: AbortSignal): Promise<Record<string, string>> {
    return { Authorization: `Bearer ${await this.#bearer.token(signal)}` }
  }

  async #userPool(signal: AbortSignal): Promise<UserPool> {
    const answer = await this.#ask('GET', '/access_info', signal, {})
    const pool = asRecord(asRecord(this.#good(answer, 'asking how to sign in').body)['cognito'])
    const clientId = asText(pool['client_id'])
    const region = asText(pool['region']) ?? asText(pool['user_pool_id'])?.split('_', 1)[0]
    if (clientId === undefined || region === undefined || !/^[a-z0-9-]+$/.test(region)) {
      throw new RefusedError(answer.status, 'the API does not say how to sign in (/access_info)')
    }
    const url = this.#o.cognitoUrl ?? `https://cognito-idp.${region}.amazonaws.com`
    return { clientId, url: new URL(url) }
  }

  async #call(
    method: Call['method'],
    path: string,
    signal: AbortSignal,
    timeoutMs?: number,
  ): Promise<Answer> {
    const token = await this.#bearer.token(signal)
    const answer = await this.#ask(method, path, signal, { Authorization: `Bearer ${token}` }, timeoutMs)
    if (answer.status !== 401) return answer
    const other = await this.#bearer.another(token, signal)
    const again =
      other === undefined
        ? answer
        : await this.#ask(method, path, signal, { Authorization: `Bearer ${other}` }, timeoutMs)
    if (again.status !== 401) return again
    throw new RetryableError('credentials', `${this.#o.url.host} does not accept the token${saidBy(again)}`)
  }

  async #ask(
    method: Call['method'],
    path: string,
    signal: AbortSignal,
    headers: Readonly<Record<string, string>>,
    timeoutMs = TIMEOUT_MS,
  ): Promise<Answer> {
    return await ask({ method, base: this.#o.url, path, headers, timeoutMs, signal })
  }

  #good(answer: Answer, what: string): Answer {
    if (answer.status >= 200 && answer.status < 300) return answer
    throw new RefusedError(answer.status, `${what}: the API answered ${answer.status}${saidBy(answer)}`)
  }
}

/** The beginning and the end of a text; undefined = there is nothing to leave out any more. */
function halfOf(text: string): string | undefined {
  const characters = Array.from(text)
  const kept = Math.floor(characters.length / 4)
  return kept === 0 ? undefined : `${characters.slice(0, kept).join('')}…${characters.slice(-kept).join('')}`
}

/** FastAPI's word on an error. */
function saidBy({ body }: Answer): string {
  const { detail } = asRecord(body)
  if (detail === undefined) return ''
  return `: ${(typeof detail === 'string' ? detail : JSON.stringify(detail)).slice(0, 300)}`
}

function asTexts(value: unknown): Record<string, string> {
  const entries = Object.entries(asRecord(value))
  return Object.fromEntries(
    entries.flatMap(([name, each]) =>
      ['string', 'number', 'boolean'].includes(typeof each) ? [[name, String(each)]] : [],
    ),
  )
}
