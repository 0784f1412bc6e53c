import { LeaseLostError, RetryableError } from '../../core/errors.ts'
import { UnreachableError } from './http.ts'
import { asSurroundings, patiently } from './troubles.ts'
import type { FileRequest, JobStatus, WorkerApi } from './worker-api.ts'
import type { Clock } from '../../core/clock.ts'

interface Told {
  status: JobStatus
  details?: string | undefined
}

/** For requests that nobody stops. */
const NEVER = new AbortController().signal

/**
 * What the API knows of one job that is ours. Its status is told by one request at a time, so that none overtakes
 * another; once the last word is confirmed nothing more is said.
 */
export class JobSession {
  readonly id: string
  readonly #api: WorkerApi
  readonly #clock: Clock
  #current: Told = { status: 'preprocessing' }
  #isOver = false
  #isGone = false
  #last: Promise<unknown> = Promise.resolve()
  #why = 'the worker was stopped before the job began'

  constructor(id: string, api: WorkerApi, clock: Clock) {
    this.id = id
    this.#api = api
    this.#clock = clock
  }

  /** Tells a status, which keep-alives repeat from now on. LeaseLostError when the job is not ours any more. */
  async enter(status: JobStatus, signal: AbortSignal): Promise<void> {
    this.#current = { status }
    try {
      await this.#tell(signal)
    } catch (error) {
      // The next keep-alive says it as well.
      if (!(error instanceof UnreachableError)) throw asSurroundings(error)
    }
  }

  /** Tells the current status once more. */
  async keepAlive(signal: AbortSignal): Promise<void> {
    try {
      await this.#tell(signal)
    } catch (error) {
      throw asSurroundings(error)
    }
  }

  /** The last word, tried for some minutes until `signal`; keep-alives repeat it meanwhile. */
  async finish(status: 'finished' | 'error', details: string, signal: AbortSignal): Promise<void> {
    this.#current = { status, details: details === '' ? undefined : details }
    try {
      await patiently(this.#clock, signal, () => this.#tell(NEVER))
    } catch (error) {
      throw asSurroundings(error)
    }
  }

  /** What is told when the job is given up. */
  set why(text: string) {
    this.#why = text
  }

  /** Says once that the job ends here undone; nothing where its end is told already. */
  async abandon(signal: AbortSignal): Promise<void> {
    if (this.#current.status !== 'finished' && this.#current.status !== 'error')
      this.#current = { status: 'error', details: this.#why }
    await this.keepAlive(signal)
  }

  /** The request that fetches an input. */
  async downloadRequest(fileId: string, signal: AbortSignal): Promise<FileRequest> {
    return await this.#api.downloadRequest(fileId, signal)
  }

  /** The request that sends an output; LeaseLostError when the job is not ours any more. */
  async uploadRequest(type: string, folder: string, signal: AbortSignal): Promise<FileRequest> {
    try {
      return await this.#api.uploadRequest(this.id, type, folder, signal)
    } catch (error) {
      if (this.#isGone || (isNotFound(error) && (await this.#api.isGone(this.id, signal)))) throw this.#lost()
      throw error
    }
  }

  async #tell(signal: AbortSignal): Promise<void> {
    const turn = this.#last.then(async () => {
      if (this.#isGone) throw this.#lost()
      if (this.#isOver) return
      const told = this.#current
      const answer = await this.#api.putStatus(this.id, told.status, told.details, signal)
      if (answer === 'gone') throw this.#lost()
      this.#isOver = told.status === 'finished' || told.status === 'error'
    })
    this.#last = turn.catch(() => undefined)
    await turn
  }

  #lost(): LeaseLostError {
    this.#isGone = true
    return new LeaseLostError('the job was deleted, or given to someone else')
  }
}

function isNotFound(error: unknown): boolean {
  return !(error instanceof RetryableError) && (error as { status?: unknown }).status === 404
}
