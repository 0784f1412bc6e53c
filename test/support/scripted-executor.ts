import { setTimeout as delay } from 'node:timers/promises'
import {
  ImageError,
  type Capacity,
  type Executor,
  type ImageInfo,
  type OutputChunk,
  type Task,
  type TaskExit,
  type TaskInput,
  type TaskSpec,
} from '../../src/executors/executor.ts'

/** What a scripted task does with its input. */
export interface ScriptedRun {
  stdout?: string | Uint8Array
  stderr?: string | Uint8Array
  /** Default 0. */
  exitCode?: number
  /** Before it prints. Default 0. */
  delayMs?: number
  oomKilled?: boolean
  /** Prints, then runs until it is killed. */
  neverEnds?: boolean
  /** Goes on after SIGTERM. */
  ignoresTerm?: boolean
  /** Thrown by `wait`: the engine went away. */
  waitError?: Error
}

export type Script = (
  input: string,
  environment: Readonly<Record<string, string>>,
  spec: TaskSpec,
) => ScriptedRun | Promise<ScriptedRun>

/** An executor without an engine: each image is a function from input and environment to output. */
export class ScriptedExecutor implements Executor {
  readonly name = 'scripted'
  /** Image → what its tasks do. */
  readonly images: Map<string, Script>
  /** Specs of all tasks ever started. */
  readonly started: TaskSpec[] = []
  /** Names of tasks that are there now: running, or kept. */
  readonly present = new Set<string>()
  /** Images asked for by `pull`. */
  readonly pulls: string[] = []
  /** Thrown by `pull`, `start` and `probe` while set. */
  failure: Error | undefined
  isClosed = false

  constructor(images: Readonly<Record<string, Script>> = {}) {
    this.images = new Map(Object.entries(images))
  }

  probe(): Promise<void> {
    return this.#check()
  }

  async pull(image: string, signal: AbortSignal): Promise<ImageInfo> {
    signal.throwIfAborted()
    await this.#check()
    this.pulls.push(image)
    if (!this.images.has(image)) throw new ImageError('not_found', `Image ${image} does not exist`)
    return { id: `sha256:${image}` }
  }

  async start(
    spec: TaskSpec,
    signal: AbortSignal,
    onPhase: (phase: 'create' | 'start') => void = () => undefined,
  ): Promise<Task> {
    signal.throwIfAborted()
    await this.#check()
    onPhase('create')
    const script = this.images.get(spec.image)
    if (script === undefined) throw new ImageError('not_found', `Image ${spec.image} does not exist`)
    if (this.present.has(spec.name)) throw new Error(`The name ${spec.name} is taken`)
    onPhase('start')
    this.started.push(spec)
    this.present.add(spec.name)
    return new ScriptedTask(spec, script, this.present)
  }

  capacity(): Promise<Capacity> {
    return Promise.resolve({ cpus: 2, memoryBytes: 8 * 1024 ** 3, gpus: [] })
  }

  reap(): Promise<number> {
    return Promise.resolve(0)
  }

  close(): Promise<void> {
    this.isClosed = true
    return Promise.resolve()
  }

  #check(): Promise<void> {
    return this.failure === undefined ? Promise.resolve() : Promise.reject(this.failure)
  }
}

class ScriptedTask implements Task {
  readonly id: string
  name: string
  readonly #spec: TaskSpec
  readonly #script: Script
  readonly #present: Set<string>
  readonly #killed = new AbortController()
  readonly #run: Promise<ScriptedRun>
  #hasEnded = false
  #giveInput: (input: string) => void = () => undefined

  constructor(spec: TaskSpec, script: Script, present: Set<string>) {
    this.id = `id-${spec.name}`
    this.name = spec.name
    this.#spec = spec
    this.#script = script
    this.#present = present
    this.#run = this.#play()
    this.#run.catch(() => undefined)
  }

  get logsCommand(): string {
    return `docker logs ${this.name}`
  }

  rename(name: string): Promise<void> {
    if (this.#present.delete(this.name)) this.#present.add(name)
    this.name = name
    return Promise.resolve()
  }

  isRunning(): Promise<boolean> {
    return Promise.resolve(!this.#hasEnded && !this.#killed.signal.aborted)
  }

  memoryUsage(): Promise<number | undefined> {
    return Promise.resolve(this.#hasEnded ? undefined : 10 * 1024 ** 2)
  }

  async send(input: TaskInput): Promise<void> {
    const parts: Uint8Array[] = []
    for await (const part of input instanceof Uint8Array ? [input] : input) parts.push(part)
    this.#giveInput(Buffer.concat(parts).toString('utf8'))
  }

  async *output(): AsyncGenerator<OutputChunk> {
    const { stdout = '', stderr = '', neverEnds = false } = await this.#run
    if (stderr.length > 0) yield { stream: 'stderr', data: Buffer.from(stderr) }
    if (stdout.length > 0) yield { stream: 'stdout', data: Buffer.from(stdout) }
    if (neverEnds) await this.#death()
  }

  async wait(): Promise<TaskExit> {
    const { exitCode = 0, oomKilled = false, neverEnds = false, waitError } = await this.#run
    if (waitError !== undefined) throw waitError
    if (neverEnds) await this.#death()
    this.#hasEnded = true
    return this.#killed.signal.aborted ? { exitCode: 137, oomKilled: false } : { exitCode, oomKilled }
  }

  async kill(graceSeconds: number): Promise<void> {
    const nothing: ScriptedRun = {}
    const { ignoresTerm = false } = await Promise.race([this.#run, delay(0, nothing)])
    if (ignoresTerm) await delay(graceSeconds * 1000)
    this.#killed.abort()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#killed.abort()
    if (!this.#spec.keep) this.#present.delete(this.name)
    return Promise.resolve()
  }

  async #play(): Promise<ScriptedRun> {
    const input = await new Promise<string>((resolve) => {
      this.#giveInput = resolve
      this.#killed.signal.addEventListener('abort', () => {
        resolve('')
      })
    })
    if (this.#killed.signal.aborted) return {}
    const run = await this.#script(input, this.#spec.environment, this.#spec)
    try {
      await delay(run.delayMs ?? 0, undefined, { signal: this.#killed.signal })
    } catch {
      return {}
    }
    return run
  }

  async #death(): Promise<void> {
    if (this.#killed.signal.aborted) return
    await new Promise((resolve) => {
      this.#killed.signal.addEventListener('abort', resolve, { once: true })
    })
  }
}
