import { formatJson, isJsonObject, JsonSyntaxError, parseJson, type Json } from '../../core/json.ts'
import type { OutputChunk, Task } from '../../executors/executor.ts'
import { failed, reportedError } from '../../models/failure.ts'
import { ModelError, type ModelAnswer, type ModelCall } from '../../models/protocol.ts'
import { answerOf } from './answer.ts'
import { requestObject } from './payload.ts'
import type { ModelSession } from './session.ts'

interface Waiting {
  resolve: (answer: ModelAnswer) => void
  reject: (error: unknown) => void
}

const LF = 0x0a

/** One JSON object with an id goes in, one with the same id comes out; the lines of several calls may cross. */
export class JsonlSession implements ModelSession {
  readonly takesStdout = true
  isBroken = false
  readonly #task: Task
  readonly #maxLineBytes: number
  readonly #input = new Lines()
  /** Calls that somebody waits for. */
  readonly #waiting = new Map<string, Waiting>()
  /** Calls that nobody waits for any more, and that are not answered yet. */
  readonly #abandoned = new Set<string>()
  #open: Uint8Array[] = []
  #openBytes = 0

  /** It says itself when it has loaded, by a line of its own. */
  readonly #saysReady: boolean
  #hasSaidReady = false

  constructor(task: Task, { maxLineBytes, saysReady }: { maxLineBytes: number; saysReady: boolean }) {
    this.#task = task
    this.#maxLineBytes = maxLineBytes
    this.#saysReady = saysReady
    // Ends with the container, whose end the pool tells.
    task.send(this.#input).catch(() => undefined)
  }

  async readiness(): Promise<'ready' | 'loading'> {
    if (this.#saysReady && !this.#hasSaidReady) return 'loading'
    return (await this.#task.isRunning()) ? 'ready' : 'loading'
  }

  async isIdle(): Promise<boolean> {
    return !this.isBroken && this.#waiting.size + this.#abandoned.size === 0 && (await this.#task.isRunning())
  }

  async call({ id: wanted, payload }: ModelCall, signal: AbortSignal): Promise<ModelAnswer> {
    signal.throwIfAborted()
    const id = this.#freeId(wanted)
    const line = new Map<string, Json>(requestObject(payload))
    line.delete('id')
    const text = formatJson(new Map<string, Json>([['id', id], ...line]))
    let onAbort: () => void = () => undefined
    try {
      return await new Promise<ModelAnswer>((resolve, reject) => {
        onAbort = () => {
          this.#abandoned.add(id)
          reject(signal.reason as Error)
        }
        signal.addEventListener('abort', onAbort, { once: true })
        this.#waiting.set(id, { resolve, reject })
        this.#input.push(Buffer.from(`${text}\n`))
      })
    } finally {
      this.#waiting.delete(id)
      signal.removeEventListener('abort', onAbort)
    }
  }

  onOutput({ stream, data }: OutputChunk): void {
    if (stream !== 'stdout') return
    let from = 0
    for (let end = data.indexOf(LF); end >= 0; end = data.indexOf(LF, from)) {
      this.#keep(data.subarray(from, end))
      this.#finishLine()
      from = end + 1
    }
    this.#keep(data.subarray(from))
  }

  /** Two deliveries of one job may be in one container at the same time. */
  #freeId(wanted: string): string {
    let id = wanted
    for (let n = 2; this.#waiting.has(id) || this.#abandoned.has(id); n += 1) id = `${wanted}#${n}`
    return id
  }

  #keep(part: Uint8Array): void {
    this.#openBytes += part.length
    // Of a line that is too long only its length is known.
    if (this.#openBytes > this.#maxLineBytes) this.#open = []
    else if (part.length > 0) this.#open.push(Uint8Array.from(part))
  }

  #finishLine(): void {
    const bytes = Buffer.concat(this.#open)
    const isTooLong = this.#openBytes > this.#maxLineBytes
    this.#open = []
    this.#openBytes = 0
    if (isTooLong) {
      const what = `The model printed a line that is longer than ${this.#maxLineBytes} bytes.`
      this.#failAll(new ModelError('output_too_large', what))
      return
    }
    const text = bytes.toString('utf8').trim()
    if (text !== '') this.#take(text)
  }

  #take(text: string): void {
    const answer = objectOf(text)
    if (answer?.get('ready') === true && !answer.has('id')) {
      this.#hasSaidReady = true
      return
    }
    const id = answer?.get('id')
    if (answer === undefined || typeof id !== 'string') {
      const what = answer === undefined ? 'that is no JSON object' : 'without the id of its call'
      this.#failAll(new ModelError('generation', `The model printed a line ${what}.`))
      return
    }
    if (this.#abandoned.delete(id)) return
    const call = this.#waiting.get(id)
    if (call === undefined) {
      this.#failAll(new ModelError('generation', 'The model answered with the id of no call.'))
      return
    }
    const error = reportedError(answer)
    if (error !== undefined) {
      call.reject(failed(error))
      return
    }
    const rest = new Map(answer)
    rest.delete('id')
    call.resolve({ ...answerOf(rest), response: { statusCode: 200, body: text } })
  }

  /** Nobody can tell whose answer it was to be. */
  #failAll(error: ModelError): void {
    this.isBroken = true
    for (const call of this.#waiting.values()) call.reject(error)
  }
}

function objectOf(text: string): ReadonlyMap<string, Json> | undefined {
  try {
    const value = parseJson(text)
    return isJsonObject(value) ? value : undefined
  } catch (error) {
    if (error instanceof JsonSyntaxError) return undefined
    throw error
  }
}

/** Lines for the standard input of a container, as they come; never ends. */
class Lines implements AsyncIterable<Uint8Array> {
  readonly #queue: Uint8Array[] = []
  #wake: () => void = () => undefined

  push(line: Uint8Array): void {
    this.#queue.push(line)
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const line = this.#queue.shift()
      if (line !== undefined) yield line
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
    }
  }
}
