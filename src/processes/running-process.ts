import { messageOf } from '../core/errors.ts'
import type { LogFields, Logger } from '../core/log.ts'
import type { JobOutcome, JobView, WorkerObserver, WorkerState } from '../core/observer.ts'
import { redact } from '../core/redact.ts'
import { removeEntry, writeEntry } from './folder.ts'
import { SIGN_OF_LIFE_MS, type ProcessRecord, type Stopping } from './record.ts'

/** Live numbers are for people: more often would only wear the disk. */
const WRITE_EVERY_MS = 1_000
const LONGEST_MESSAGE = 500

/** This process's own record: kept up to date by what its worker does, removed by `close`. */
export class RunningProcess implements WorkerObserver {
  readonly #path: string
  readonly #record: ProcessRecord
  readonly #log: Logger
  readonly #secrets: readonly string[]
  readonly #heartbeat: NodeJS.Timeout
  #timer: NodeJS.Timeout | undefined
  #lastWriteAt = 0
  #writing = Promise.resolve()
  #closed = false
  #complained = false

  /** For a record that is written already. None of `secrets` gets into it later. */
  constructor(path: string, record: ProcessRecord, log: Logger, secrets: readonly string[]) {
    this.#path = path
    this.#record = record
    this.#log = log
    this.#secrets = secrets
    this.#lastWriteAt = performance.now()
    this.#heartbeat = setInterval(() => {
      this.#changed()
    }, SIGN_OF_LIFE_MS).unref()
  }

  get name(): string {
    return this.#record.name
  }

  jobStarted(): void {
    this.#record.jobs.active += 1
    this.#changed()
  }

  jobEnded(_job: JobView, outcome: JobOutcome): void {
    const { jobs } = this.#record
    jobs.active = Math.max(0, jobs.active - 1)
    if (outcome === 'succeeded' || outcome === 'settled') jobs.done += 1
    if (outcome === 'failed') jobs.failed += 1
    this.#changed()
  }

  stateChanged(state: WorkerState, reason?: string): void {
    this.#record.state = state
    if (reason === undefined) delete this.#record.reason
    else {
      this.#record.reason = this.#clean(reason)
      this.#note(reason)
    }
    this.#changed()
  }

  /** Tells the others at once that this process has been asked to stop. */
  stopping(how: Stopping): void {
    this.#record.stopping = how
    this.#changed(true)
  }

  /** A logger that passes everything on, and keeps the last error for `status`. */
  watch(log: Logger): Logger {
    const keep = (msg: string, fields: LogFields = {}): void => {
      const why = [fields['error'], fields['reason']].find((each) => typeof each === 'string')
      this.#note(why === undefined ? msg : `${msg}: ${why}`)
      this.#changed()
    }
    return {
      ...log,
      error: (msg, fields) => {
        keep(msg, fields)
        log.error(msg, fields)
      },
      critical: (msg, fields) => {
        keep(msg, fields)
        log.critical(msg, fields)
      },
      child: (fields) => this.watch(log.child(fields)),
    }
  }

  /** Removes the record. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#heartbeat)
    clearTimeout(this.#timer)
    await this.#writing
    await removeEntry(this.#path).catch((error: unknown) => {
      this.#log.debug('The file of this process could not be removed', { error: messageOf(error) })
    })
  }

  #note(message: string): void {
    this.#record.lastError = { at: new Date().toISOString(), message: this.#clean(message) }
  }

  #clean(text: string): string {
    const clean = redact(text, this.#secrets)
    return clean.length > LONGEST_MESSAGE ? `${clean.slice(0, LONGEST_MESSAGE - 3)}...` : clean
  }

  /** Writes soon, and not too often. */
  #changed(now = false): void {
    if (this.#closed) return
    if (now) clearTimeout(this.#timer)
    else if (this.#timer !== undefined) return
    const wait = now ? 0 : Math.max(0, WRITE_EVERY_MS - (performance.now() - this.#lastWriteAt))
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#lastWriteAt = performance.now()
      this.#writing = this.#writing.then(() => this.#write())
    }, wait).unref()
  }

  async #write(): Promise<void> {
    if (this.#closed) return
    this.#record.seenAt = new Date().toISOString()
    try {
      await writeEntry(this.#path, this.#record)
      this.#complained = false
    } catch (error) {
      // Jobs matter more than what `status` shows of them.
      if (!this.#complained)
        this.#log.warn('`status` can show nothing new of this process', { error: messageOf(error) })
      this.#complained = true
    }
  }
}
