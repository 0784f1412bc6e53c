import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock } from '../../core/clock.ts'
import { messageOf, RetryableError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import {
  ImageError,
  type OutputChunk,
  type Task,
  type TaskExit,
  type TaskInput,
  type TaskSpec,
} from '../executor.ts'
import { containerBody, type Ownership } from './container.ts'
import { demultiplex } from './demultiplex.ts'
import type { Engine } from './engine.ts'
import { EngineError, startError, surroundingError, transportError } from './errors.ts'
import { wasKilledFromOutside, type ContainerState } from './outside-kill.ts'
import { mismatchOf } from './platform.ts'
import type { Removals } from './removals.ts'

export interface TaskServices {
  engine: Engine
  removals: Removals
  ownership: Ownership
  /** For containers whose limits name none. */
  platform: string | undefined
  clock: Clock
  log: Logger
}

/** A SIGKILL that has done nothing for so long won't any more. */
const DEATH_MS = 30_000
/** Output that was not sent so long after the end of its container won't come any more. */
const LAST_OUTPUT_MS = 30_000
/** Longest time without an answer while a container is made or started. */
const START_SILENCE_MS = 300_000
/** What is kept of the first stderr, to recognise a program of another architecture. */
const SNIFF_BYTES = 512

/** Creates a container, attaches to it, starts it. When that fails nothing is left behind. */
export async function startTask(
  services: TaskServices,
  spec: TaskSpec,
  parent: AbortSignal,
  onPhase: (phase: 'create' | 'start') => void,
): Promise<Task> {
  const { engine, removals } = services
  onPhase('create')
  const id = await create(services, spec, parent)
  const opened: { destroy(): unknown }[] = []
  // The caller's signal is for the start only: what is opened here lives longer.
  const starting = new AbortController()
  const cancel = (): void => {
    starting.abort(parent.reason)
  }
  parent.addEventListener('abort', cancel, { once: true })
  if (parent.aborted) cancel()
  const { signal } = starting
  try {
    // Two connections: when a program ends without reading its input, the broken one must not take output along.
    const output = await engine.hijack(`/containers/${id}/attach`, { query: STREAM_OUTPUT, signal })
    opened.push(output)
    const input = await engine.hijack(`/containers/${id}/attach`, { query: STREAM_INPUT, signal })
    opened.push(input)
    const query = { condition: 'next-exit' }
    // Its headers come when the engine has noted that we wait; only then can no end be missed.
    const exit = await engine.open('POST', `/containers/${id}/wait`, { query, silenceMs: 0, signal })
    opened.push(exit)
    onPhase('start')
    await start(engine, id, spec.image, signal)
    return new DockerTask(services, spec, id, { input, output, exit })
  } catch (error) {
    for (const connection of opened) connection.destroy()
    await removals.remove(id)
    parent.throwIfAborted()
    throw error
  } finally {
    parent.removeEventListener('abort', cancel)
  }
}

const STREAM_OUTPUT = { stream: '1', stdout: '1', stderr: '1' }
const STREAM_INPUT = { stream: '1', stdin: '1' }

/** The id of a new container. Not cut by `signal`: whether the container is there would be unknown. */
async function create(services: TaskServices, spec: TaskSpec, signal: AbortSignal): Promise<string> {
  const { engine, removals, ownership } = services
  signal.throwIfAborted()
  const platform = spec.limits.platform ?? services.platform
  const query = { name: spec.name, ...(platform === undefined ? {} : { platform }) }
  const body = containerBody(spec, ownership)
  try {
    const answer = await engine.json('POST', '/containers/create', {
      query,
      body,
      silenceMs: START_SILENCE_MS,
    })
    return (answer as { Id: string }).Id
  } catch (error) {
    // Without an answer it may be there all the same.
    if (!(error instanceof EngineError)) await removals.remove(spec.name)
    throw startError(error, spec.image)
  }
}

async function start(engine: Engine, id: string, image: string, signal: AbortSignal): Promise<void> {
  try {
    await engine.json('POST', `/containers/${id}/start`, { signal, silenceMs: START_SILENCE_MS })
  } catch (error) {
    throw startError(error, image)
  }
}

interface Connections {
  input: Socket
  output: Socket
  /** The answer to `wait`; its body comes when the container has ended. */
  exit: IncomingMessage
}

class DockerTask implements Task {
  readonly id: string
  readonly name: string
  readonly logsCommand: string
  readonly #services: TaskServices
  readonly #spec: TaskSpec
  readonly #connections: Connections
  /** Its exit code as soon as the engine tells; rejects when the engine went away. */
  readonly #end: Promise<number>
  #exit: Promise<TaskExit> | undefined
  #hasEnded = false
  #isKilled = false
  #stderrHead = ''

  constructor(services: TaskServices, spec: TaskSpec, id: string, connections: Connections) {
    this.id = id
    this.name = spec.name
    this.logsCommand = `docker logs ${spec.name}`
    this.#services = services
    this.#spec = spec
    this.#connections = connections
    // A program that ends without reading breaks this connection, which is no error by itself.
    connections.input.on('error', () => undefined)
    connections.input.resume()
    // The reader learns of it; there may be none.
    connections.output.on('error', () => undefined)
    this.#end = this.#awaitEnd()
    this.#end.catch(() => undefined)
  }

  async send(input: TaskInput): Promise<void> {
    const stream = this.#connections.input
    const over = new Promise<'over'>((resolve) => {
      const end = (): void => {
        resolve('over')
      }
      stream.once('close', end)
      // A container that never reads keeps the connection open, whatever becomes of it.
      this.#end.then(end, end)
    })
    const parts = input instanceof Uint8Array ? [input] : input
    const iterator = Symbol.asyncIterator in parts ? parts[Symbol.asyncIterator]() : parts[Symbol.iterator]()
    for (;;) {
      const next = await Promise.race([iterator.next(), over])
      if (next === 'over') break
      if (next.done === true) {
        const finished = new Promise<void>((resolve) => stream.end(resolve))
        await Promise.race([finished, over])
        return
      }
      if (stream.destroyed) break
      if (stream.write(next.value)) continue
      const drained = new Promise<void>((resolve) => stream.once('drain', resolve))
      if ((await Promise.race([drained, over])) === 'over') break
    }
    // Not awaited: a source that hangs would hang us.
    void Promise.resolve(iterator.return?.()).catch(() => undefined)
  }

  async *output(): AsyncGenerator<OutputChunk> {
    try {
      for await (const chunk of demultiplex(this.#connections.output)) {
        if (chunk.stream === 'stderr' && this.#stderrHead.length < SNIFF_BYTES) {
          this.#stderrHead += Buffer.from(chunk.data.subarray(0, SNIFF_BYTES)).toString('latin1')
        }
        yield chunk
      }
    } catch (error) {
      throw transportError(error, this.#services.engine.label)
    }
  }

  async wait(): Promise<TaskExit> {
    this.#exit ??= this.#end.then((exitCode) => this.#judge(exitCode))
    return await this.#exit
  }

  async kill(graceSeconds: number): Promise<void> {
    this.#isKilled = true
    if (graceSeconds > 0) {
      await this.#signal('SIGTERM')
      if (await this.#endsWithin(graceSeconds * 1000)) return
    }
    await this.#signal('SIGKILL')
    if (!(await this.#endsWithin(DEATH_MS))) {
      throw new RetryableError('engine', `Container ${this.name} does not end, though it was killed`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { input, output, exit } = this.#connections
    // First: output that nobody reads makes the engine's kill and removal hang.
    for (const connection of [output, input, exit]) connection.destroy()
    if (!this.#spec.keep) {
      await this.#services.removals.remove(this.id)
    } else if (!this.#hasEnded) {
      this.#isKilled = true
      await this.#signal('SIGKILL').catch((error: unknown) => {
        this.#services.log.warn('A container could not be killed', {
          container: this.name,
          error: messageOf(error),
        })
      })
    }
  }

  async #awaitEnd(): Promise<number> {
    const { engine } = this.#services
    const answer = await engine.readJson(this.#connections.exit)
    const { StatusCode, Error: failure } = (answer ?? {}) as {
      StatusCode?: number
      Error?: { Message?: string } | null
    }
    if (StatusCode === undefined)
      throw transportError(new Error('it does not tell how the container ended'), engine.label)
    if (failure?.Message)
      throw new RetryableError('engine', `Container ${this.name} failed: ${failure.Message}`)
    this.#hasEnded = true
    const { output } = this.#connections
    output.setTimeout(LAST_OUTPUT_MS, () => {
      output.destroy(new Error('the last output did not come'))
    })
    return StatusCode
  }

  /** What the end means: the program's own doing, or the engine's. */
  async #judge(exitCode: number): Promise<TaskExit> {
    const { engine, clock } = this.#services
    const { image } = this.#spec
    try {
      const answer = (await engine.json('GET', `/containers/${this.id}/json`)) as {
        State: ContainerState
        Image: string
      }
      if (!this.#isKilled && (await wasKilledFromOutside(engine, this.id, answer.State, clock.date()))) {
        throw new RetryableError(
          'engine',
          `Container ${this.name} was stopped by somebody else or by the engine's own stop`,
        )
      }
      if (exitCode !== 0 && /exec format error/.test(this.#stderrHead)) {
        const mismatch = await mismatchOf(engine, answer.Image)
        if (mismatch !== undefined)
          throw new ImageError('platform_mismatch', `Image ${image} is ${mismatch}: exec format error`)
      }
      return { exitCode, oomKilled: answer.State.OOMKilled }
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) {
        throw new RetryableError('engine', `Container ${this.name} was removed by somebody else`, {
          cause: error,
        })
      }
      throw surroundingError(error)
    }
  }

  async #signal(name: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    try {
      await this.#services.engine.json('POST', `/containers/${this.id}/kill`, { query: { signal: name } })
    } catch (error) {
      // Refused: it has ended already, or can't be signalled; what follows will show.
      if (!(error instanceof EngineError)) throw error
    }
  }

  async #endsWithin(ms: number): Promise<boolean> {
    const timer = new AbortController()
    const late = this.#services.clock.sleep(ms, timer.signal).then(
      () => false,
      () => false,
    )
    try {
      return await Promise.race([this.#end.then(() => true), late])
    } finally {
      timer.abort()
    }
  }
}
