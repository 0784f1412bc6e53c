import type { Task } from '../../executors/executor.ts'
import { KeptFailure, type OutputListener } from '../../executors/kept-pool.ts'
import {
  ModelError,
  type ModelAnswer,
  type ModelCall,
  type ModelServer,
  type Protocol,
} from '../../models/protocol.ts'

/** What is said to the model in one kept container, whatever it speaks. */
export interface ModelSession extends OutputListener {
  /** What it says can't be told apart any more: it had better be replaced. */
  readonly isBroken: boolean
  /** Throws KeptFailure when the model says that it will never be ready. */
  readiness(signal: AbortSignal): Promise<'ready' | 'loading'>
  /** After an abandoned call: is it healthy, and works on nothing any more? */
  isIdle(signal: AbortSignal): Promise<boolean>
  /** Throws ModelError, or the signal's reason. */
  call(call: ModelCall, signal: AbortSignal): Promise<ModelAnswer>
}

interface ServerSessionOptions {
  protocol: () => Promise<Protocol>
  healthPath: string | undefined
  model: string | undefined
  /** Most bytes of one answer. */
  maxBytes: number
}

/** Speaks to the server in a container. */
export class ServerSession implements ModelSession {
  readonly isBroken = false
  readonly #task: Task
  readonly #options: ServerSessionOptions
  #server: Promise<ModelServer> | undefined

  constructor(task: Task, options: ServerSessionOptions) {
    this.#task = task
    this.#options = options
    // As without a terminal: whoever reads it finds its end.
    task.send(new Uint8Array()).catch(() => undefined)
  }

  onOutput(): void {
    // Its end is kept by the pool; nothing in it is an answer.
  }

  async readiness(signal: AbortSignal): Promise<'ready' | 'loading'> {
    const server = await this.#connected()
    try {
      // A busy one is healthy: it will answer when its turn comes.
      return (await server.readiness(signal)) === 'loading' ? 'loading' : 'ready'
    } catch (error) {
      if (!(error instanceof ModelError) || error.type !== 'setup_failed') throw error
      throw new KeptFailure('setup_failed', error.message, '', { cause: error })
    }
  }

  async isIdle(signal: AbortSignal): Promise<boolean> {
    return await (await this.#connected()).isIdle(signal)
  }

  async call(call: ModelCall, signal: AbortSignal): Promise<ModelAnswer> {
    return await (await this.#connected()).call(call, signal)
  }

  #connected(): Promise<ModelServer> {
    this.#server ??= this.#connect().catch((error: unknown) => {
      this.#server = undefined
      throw error
    })
    return this.#server
  }

  async #connect(): Promise<ModelServer> {
    const { protocol, healthPath, model, maxBytes } = this.#options
    if (this.#task.endpoint === undefined) throw new TypeError('the task serves nothing')
    const [spoken, endpoint] = await Promise.all([protocol(), this.#task.endpoint()])
    return spoken.connect(endpoint, {
      maxBytes,
      ...(healthPath === undefined ? {} : { healthPath }),
      ...(model === undefined ? {} : { model }),
    })
  }
}
