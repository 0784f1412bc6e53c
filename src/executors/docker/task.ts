import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { retryPauseMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { messageOf, RetryableError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import {
  ImageError,
  TaskKilledError,
  type Endpoint,
  type OutputChunk,
  type Task,
  type TaskExit,
  type TaskInput,
  type Usage,
} from '../executor.ts'
import type { ContainerSpec } from './container.ts'
import { demultiplex } from './api/demultiplex.ts'
import type { Engine } from './api/engine.ts'
import { EngineError, surroundingError, transportError } from './api/errors.ts'
import type { Seat } from './network/holders.ts'
import { feed } from './api/feed.ts'
import type { HostProcess } from './host/host-process.ts'
import type { HostView } from './host/host-view.ts'
import { ranOutOfMemory } from './host/kernel-log.ts'
import { killStragglers } from './host/stragglers.ts'
import {
  notesOf,
  spanByOurClock,
  spanOf,
  type ContainerState,
  type Notes,
  type Span,
} from './outside-kill.ts'
import { mismatchOf } from './images/platform.ts'
import type { Removals } from './removals.ts'
import type { Meter } from './walls/usage.ts'

export interface TaskServices {
  engine: Engine
  host: HostView
  removals: Removals
  /** A task is disposed of only when its container is gone. */
  awaitsRemoval: boolean
  clock: Clock
  log: Logger
}

/** A SIGKILL that has done nothing for so long won't any more. */
const DEATH_MS = 30_000
/** Output that was not sent so long after the end of its container won't come any more. */
const LAST_OUTPUT_MS = 30_000
const LARGEST_EXIT_CODE = 255
/** Exit code of a program that was ended by SIGKILL. */
const KILLED = 137
const LATE_NEWS_MS = 200
/** News of an end that has not come so long after it won't come any more. */
const LOST_NEWS_MS = 30_000
/** Tries of a signal, and the pauses between them. */
const SIGNAL_TRIES = 4
const KILL_SILENCE_MS = 30_000
const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 1000
/** Some engines measure for seconds before they answer. */
const STATS_MS = 1000
/** What is kept of the first stderr, to recognise a program of another architecture. */
const SNIFF_BYTES = 512

export interface Connections {
  input: Socket
  output: Socket
  /** The answer to `wait`; its body comes when the container has ended. */
  exit: IncomingMessage
}

/** What is read of an inspected container. */
interface Inspected {
  State: ContainerState
  /** Id of its image. */
  Image: string
}

/** What a task is made of. */
export interface Started {
  spec: ContainerSpec
  /** Of the container. */
  id: string
  /** Wall clock before its container was made. */
  createdAt: Date
  seat: Seat
  connections: Connections
  /** Undefined = nobody asks what it uses. */
  meter: Meter | undefined
}

/** A container that has been started. */
export class DockerTask implements Task {
  readonly id: string
  readonly #services: TaskServices
  readonly #spec: ContainerSpec
  readonly #createdAt: Date
  readonly #seat: Seat
  readonly #connections: Connections
  readonly #meter: Meter | undefined
  /** Its exit code as soon as the engine tells; rejects when the engine went away. */
  readonly #end: Promise<number>
  #exit: Promise<TaskExit> | undefined
  /** How it was when its output had ended; undefined = nobody asked, or the engine could not say. */
  #seen: Promise<Inspected | undefined> | undefined
  /** Its exit code, where the engine owes us the news of its end. */
  #endWithoutNews: (exitCode: number) => void = () => undefined
  #hasEnded = false
  #isKilled = false
  #hasInput = false
  #hasBroken = false
  #name: string
  /** Undefined = not looked for yet, or not found the last time. */
  #process: Promise<HostProcess | undefined> | undefined
  #stderrHead = ''

  constructor(services: TaskServices, { spec, id, createdAt, seat, connections, meter }: Started) {
    this.id = id
    this.#name = spec.name
    this.#services = services
    this.#spec = spec
    this.#createdAt = createdAt
    this.#seat = seat
    this.#connections = connections
    this.#meter = meter
    // A program that ends without reading breaks this connection, which is no error by itself.
    connections.input.on('error', () => undefined)
    connections.input.resume()
    // The reader learns of it; there may be none.
    connections.output.on('error', () => undefined)
    this.#end = this.#awaitEnd()
    this.#end.catch(() => {
      this.#hasBroken = true
    })
  }

  get name(): string {
    return this.#name
  }

  get logsCommand(): string {
    return `docker logs ${this.#name}`
  }

  get gpuIds(): readonly string[] {
    const { gpus } = this.#spec
    return typeof gpus === 'object' ? gpus : []
  }

  async endpoint(): Promise<Endpoint> {
    const { serving } = this.#spec
    if (serving === undefined) throw new Error(`Container ${this.name} serves nothing`)
    try {
      return await serving.endpoint(this.id)
    } catch (error) {
      throw surroundingError(error)
    }
  }

  async rename(name: string): Promise<void> {
    try {
      await this.#services.engine.json('POST', `/containers/${this.id}/rename`, { query: { name } })
      this.#name = name
    } catch (error) {
      this.#services.log.debug('A container could not be renamed', {
        container: this.#name,
        error: messageOf(error),
      })
    }
  }

  async isRunning(): Promise<boolean> {
    if (!this.#canServe()) return false
    try {
      const process = await this.#findProcess()
      const isAlive =
        process === undefined ? (await this.#inspect()).State.Running === true : process.isAlive()
      // Asked last: the news may have come meanwhile.
      return isAlive && this.#canServe()
    } catch {
      return false
    }
  }

  async memoryUsage(): Promise<number | undefined> {
    if (this.#isOver) return undefined
    try {
      const process = await this.#findProcess()
      return process === undefined ? await this.#memoryByEngine() : process.memoryBytes()
    } catch {
      return undefined
    }
  }

  usage(): Promise<Usage> {
    return Promise.resolve(this.#meter?.usage() ?? {})
  }

  async send(input: TaskInput): Promise<void> {
    this.#hasInput = true
    await feed(this.#connections.input, input, this.#end)
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
    await this.#assertEnded()
  }

  async wait(): Promise<TaskExit> {
    this.#exit ??= this.#end.then((exitCode) => this.#judge(exitCode))
    return await this.#exit
  }

  async kill(graceSeconds: number): Promise<void> {
    this.#isKilled = true
    if (graceSeconds > 0) {
      await this.#signal('SIGTERM').catch(unlessUnreachable)
      if (await this.#endsWithin(graceSeconds * 1000)) return
    }
    await Promise.all([this.#signal('SIGKILL').catch(unlessUnreachable), this.#killDirectly()])
    if (!(await this.#endsWithin(DEATH_MS))) {
      throw new RetryableError('engine', `Container ${this.name} does not end, though it was killed`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { input, output, exit } = this.#connections
    // First: output that nobody reads makes the engine's kill and removal hang.
    for (const connection of [output, input, exit]) connection.destroy()
    const { removals, awaitsRemoval } = this.#services
    let isDead = this.#hasEnded
    if (this.#spec.keep) {
      if (!isDead) await this.#killKept()
    } else if (isDead && !awaitsRemoval) removals.later(this.id)
    else {
      const directly = this.#killDirectly()
      isDead = await removals.remove(this.id)
      await directly
    }
    this.#seat.leave(isDead)
    this.#meter?.close()
    await this.#spec.serving?.close()
  }

  async #killKept(): Promise<void> {
    this.#isKilled = true
    await Promise.all([this.#signal('SIGKILL'), this.#killDirectly()]).catch((error: unknown) => {
      this.#services.log.warn('A container that is kept could not be killed, and may run on', {
        container: this.name,
        error: messageOf(error),
      })
    })
  }

  /** Its end is known, or nothing will be known of it any more. */
  get #isOver(): boolean {
    return this.#hasEnded || this.#hasBroken
  }

  /** Its end is not known, and no stream was cut off. That of the input may end once there was one. */
  #canServe(): boolean {
    const { input, output } = this.#connections
    return !this.#isOver && !isClosed(output) && (this.#hasInput || !isClosed(input))
  }

  async #findProcess(): Promise<HostProcess | undefined> {
    this.#process ??= this.#services.host.processOf(this.id)
    try {
      return await this.#process
    } catch (error) {
      this.#process = undefined
      throw error
    }
  }

  async #inspect(): Promise<Inspected> {
    return (await this.#services.engine.json('GET', `/containers/${this.id}/json`)) as Inspected
  }

  /** How it is now that it has ended; asked once where that is known already. */
  async #inspectEnded(): Promise<Inspected> {
    const seen = await this.#seen
    this.#seen = undefined
    return seen?.State.Running === false ? seen : await this.#inspect()
  }

  async #memoryByEngine(): Promise<number | undefined> {
    const answer = (await this.#services.engine.json('GET', `/containers/${this.id}/stats`, {
      query: { stream: 'false', 'one-shot': 'true' },
      signal: AbortSignal.timeout(STATS_MS),
    })) as { memory_stats?: { usage?: number } }
    return answer.memory_stats?.usage
  }

  /**
   * An engine ends the output with the container, whatever the program does with its descriptors: an output that ends
   * before it was cut off on its way, and what is missing of it must not be taken for what the program printed.
   */
  async #assertEnded(): Promise<void> {
    if (this.#isOver) return
    const { engine } = this.#services
    // Docker has noted the end before it can answer, so that there is no moment in between.
    const seeing = this.#inspect()
    this.#seen = seeing.catch(() => undefined)
    let state: ContainerState
    try {
      state = (await seeing).State
    } catch (error) {
      // `wait` meets the same, and says it.
      if (error instanceof EngineError) return
      throw error
    }
    // What comes of that `kill` says.
    if (this.#isKilled) return
    const { Running: isRunning, ExitCode: exitCode } = state
    if (isRunning === true)
      throw transportError(new Error('the output ended before the program'), engine.label)
    if (exitCode === undefined) return
    this.#endsWithin(LOST_NEWS_MS).then(
      (isKnown) => {
        if (!isKnown) this.#endWithoutNews(exitCode)
      },
      () => undefined,
    )
  }

  async #awaitEnd(): Promise<number> {
    const withoutNews = new Promise<number>((resolve) => {
      this.#endWithoutNews = resolve
    })
    const exitCode = await Promise.race([this.#news(), withoutNews])
    this.#hasEnded = true
    const { output } = this.#connections
    const late = (): void => {
      // Where some waits to be read it is the reader who takes his time.
      if (output.readableLength === 0) output.destroy(new Error('the last output did not come'))
      else output.setTimeout(LAST_OUTPUT_MS, late)
    }
    output.setTimeout(LAST_OUTPUT_MS, late)
    return exitCode <= LARGEST_EXIT_CODE ? exitCode : await this.#endForReal()
  }

  /** Its exit code, when the engine tells it. */
  async #news(): Promise<number> {
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
    return StatusCode
  }

  /** No program can choose such an exit code: the engine has lost sight of one that lives on. */
  async #endForReal(): Promise<number> {
    const processes = await killStragglers(this.id)
    this.#services.log.warn('The engine took a program for ended that was not', {
      container: this.name,
      killed: processes,
    })
    return LARGEST_EXIT_CODE
  }

  /** What the end means: the program's own doing, or the engine's. */
  async #judge(exitCode: number): Promise<TaskExit> {
    const { engine } = this.#services
    const { image } = this.#spec
    try {
      const hadNetwork = this.#seat.holder?.isAlive() ?? true
      const { answer, notes } = await this.#askEngine(exitCode)
      if (notes.kill) {
        throw new TaskKilledError(
          `Container ${this.name} was stopped by somebody else or by the engine's own stop`,
          exitCode,
        )
      }
      if (!hadNetwork) {
        throw new RetryableError('engine', `Container ${this.name} lost its network while it ran`)
      }
      if (exitCode !== 0 && /exec format error/.test(this.#stderrHead)) {
        const mismatch = await mismatchOf(engine, answer.Image)
        if (mismatch !== undefined)
          throw new ImageError('platform_mismatch', `Image ${image} is ${mismatch}: exec format error`)
      }
      return { exitCode, oomKilled: answer.State.OOMKilled || notes.oom }
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) {
        throw new RetryableError('engine', `Container ${this.name} was removed by somebody else`, {
          cause: error,
        })
      }
      throw surroundingError(error)
    }
  }

  /** How the container is now, and what the engine has noted of it; both at a time where the clock is ours. */
  async #askEngine(exitCode: number): Promise<{ answer: Inspected; notes: Notes }> {
    const { engine, host, clock } = this.#services
    const noted = async (span: Span): Promise<Notes> =>
      this.#isKilled ? { kill: false, oom: false } : await notesOf(engine, this.id, span)
    const ask = async (): Promise<{ answer: Inspected; notes: Notes }> => {
      if (host.isShared) {
        const span = spanByOurClock(this.#createdAt, clock.date())
        const both = await Promise.all([this.#inspectEnded(), noted(span)])
        return { answer: both[0], notes: both[1] }
      }
      const answer = await this.#inspectEnded()
      return { answer, notes: await noted(spanOf(answer.State, clock.date())) }
    }
    const found = await ask()
    const isExplained = found.answer.State.OOMKilled || found.notes.oom || found.notes.kill || this.#isKilled
    if (exitCode !== KILLED || isExplained) return found
    if (host.isShared && ranOutOfMemory(this.id)) return { ...found, notes: { kill: false, oom: true } }
    // News of memory that ran out may come after the news of the end that it brought.
    await clock.sleep(LATE_NEWS_MS)
    return await ask()
  }

  /** What is hostile keeps the machine busy, and the engine starts a program to send a signal. */
  async #killDirectly(): Promise<void> {
    if (this.#meter === undefined) return
    const process = await this.#findProcess().catch(() => undefined)
    process?.kill()
    this.#meter.hasten(this.id)
  }

  /** Tries it several times; throws why it can't be done. What has ended needs none. */
  async #signal(name: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const { engine, clock } = this.#services
    for (let n = 0; !this.#hasEnded; n += 1) {
      try {
        await engine.json('POST', `/containers/${this.id}/kill`, {
          query: { signal: name },
          silenceMs: KILL_SILENCE_MS,
        })
        return
      } catch (error) {
        if (error instanceof EngineError && error.isByEngine && [404, 409].includes(error.status)) return
        if (n + 1 === SIGNAL_TRIES) throw error
      }
      await clock.sleep(retryPauseMs(n, FIRST_PAUSE_MS, LONGEST_PAUSE_MS))
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

function isClosed(connection: Socket): boolean {
  return connection.destroyed || connection.readableEnded
}

/** What an engine has refused shows in what follows. */
function unlessUnreachable(error: unknown): void {
  if (!(error instanceof EngineError)) throw error
}
