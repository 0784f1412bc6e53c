import type { OutputChunk, Task, TaskExit, TaskInput, Usage } from './executor.ts'

/** A parked task had ended before its input reached it: its end says nothing about the job, which needs another. */
export class EndedBeforeInputError extends Error {
  override readonly name = 'EndedBeforeInputError'
}

export interface PooledTaskEvents {
  endedBeforeInput(): void
  disposed(): void
}

/**
 * A task that was started before its job was known. As long as nothing proves that its program was alive when the
 * input arrived, its end is taken for the end of an idle wait, and `wait` throws EndedBeforeInputError (once all output has been read). The proof is
 * the engine's word or output that came later; never an exit code, which the program chooses.
 */
export class PooledTask implements Task {
  readonly #task: Task
  readonly #on: PooledTaskEvents
  #inputSent = false
  #isProven = false
  #checked: Promise<void> | undefined
  #endOutput: () => void = () => undefined
  readonly #outputEnded = new Promise<void>((resolve) => {
    this.#endOutput = resolve
  })

  constructor(task: Task, on: PooledTaskEvents) {
    this.#task = task
    this.#on = on
  }

  get id(): string {
    return this.#task.id
  }

  get name(): string {
    return this.#task.name
  }

  get logsCommand(): string {
    return this.#task.logsCommand
  }

  rename(name: string): Promise<void> {
    return this.#task.rename(name)
  }

  isRunning(): Promise<boolean> {
    return this.#task.isRunning()
  }

  memoryUsage(): Promise<number | undefined> {
    return this.#task.memoryUsage()
  }

  async usage(): Promise<Usage> {
    return (await this.#task.usage?.()) ?? {}
  }

  async send(input: TaskInput): Promise<void> {
    await this.#task.send(this.#watched(input))
  }

  async *output(): AsyncGenerator<OutputChunk> {
    try {
      for await (const chunk of this.#task.output()) {
        if (this.#inputSent) this.#isProven = true
        yield chunk
      }
    } finally {
      this.#endOutput()
    }
  }

  async wait(): Promise<TaskExit> {
    const exit = await this.#task.wait()
    await this.#checked
    // What it printed last may come after the news of its end.
    if (!this.#isProven) await this.#outputEnded
    if (this.#isProven) return exit
    this.#on.endedBeforeInput()
    throw new EndedBeforeInputError('The parked task had ended before its input came')
  }

  async kill(graceSeconds: number): Promise<void> {
    // What we end ourselves has not ended before.
    this.#isProven = true
    await this.#task.kill(graceSeconds)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#task[Symbol.asyncDispose]()
    } finally {
      this.#on.disposed()
    }
  }

  /** The same input; when its first part has been written, asks whether anybody was there to get it. */
  async *#watched(input: TaskInput): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const part of input instanceof Uint8Array ? [input] : input) {
      this.#checked ??= this.#check()
      yield part
    }
    // An input without parts is only its end.
    await (this.#checked ??= this.#check())
  }

  async #check(): Promise<void> {
    // The part is written in this turn of the event loop, once it is handed out.
    await new Promise<void>((resolve) => setImmediate(resolve))
    this.#inputSent = true
    if (await this.#task.isRunning()) this.#isProven = true
  }
}
