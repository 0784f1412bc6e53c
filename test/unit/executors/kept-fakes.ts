import { systemClock, type Clock } from '../../../src/core/clock.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import type {
  Capacity,
  Executor,
  ImageInfo,
  OutputChunk,
  Task,
  TaskExit,
  TaskSpec,
} from '../../../src/executors/executor.ts'
import type { KeptSpec } from '../../../src/executors/kept.ts'

/** A container that does what a test tells it to. */
export class FakeTask implements Task {
  readonly id: string
  readonly name: string
  readonly spec: TaskSpec
  readonly logsCommand = ''
  isDisposed = false
  /** What `isReady` and `isIdle` of `keptSpec` say about it. */
  isReady = true
  isIdle = true
  /** Questions that it was asked. */
  asked = 0
  readonly #chunks: OutputChunk[] = []
  #wake: () => void = () => undefined
  #hasEnded = false
  #end: (exit: TaskExit) => void = () => undefined
  #fail: (error: Error) => void = () => undefined
  readonly #exit: Promise<TaskExit>
  readonly #onDispose: (task: FakeTask) => Promise<void>

  constructor(spec: TaskSpec, onDispose: (task: FakeTask) => Promise<void>) {
    this.id = `id-${spec.name}`
    this.name = spec.name
    this.spec = spec
    this.#onDispose = onDispose
    this.#exit = new Promise<TaskExit>((resolve, reject) => {
      this.#end = resolve
      this.#fail = reject
    })
    this.#exit.catch(() => undefined)
  }

  get gpuIds(): readonly string[] {
    return typeof this.spec.gpus === 'object' ? this.spec.gpus : []
  }

  print(text: string, stream: 'stdout' | 'stderr' = 'stderr'): void {
    this.#chunks.push({ stream, data: Buffer.from(text) })
    this.#wake()
  }

  end(exit: Partial<TaskExit> = {}): void {
    this.#hasEnded = true
    this.#wake()
    this.#end({ exitCode: 1, oomKilled: false, ...exit })
  }

  loseEngine(error: Error): void {
    this.#hasEnded = true
    this.#wake()
    this.#fail(error)
  }

  rename(): Promise<void> {
    return Promise.resolve()
  }

  isRunning(): Promise<boolean> {
    return Promise.resolve(!this.#hasEnded)
  }

  memoryUsage(): Promise<undefined> {
    return Promise.resolve(undefined)
  }

  send(): Promise<void> {
    return Promise.resolve()
  }

  async *output(): AsyncGenerator<OutputChunk> {
    for (;;) {
      for (let next = this.#chunks.shift(); next !== undefined; next = this.#chunks.shift()) yield next
      if (this.#hasEnded) return
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  wait(): Promise<TaskExit> {
    return this.#exit
  }

  kill(): Promise<void> {
    this.end({ exitCode: 137 })
    return Promise.resolve()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end({ exitCode: 137 })
    await this.#onDispose(this)
    this.isDisposed = true
  }
}

/** Starts fake containers, and never two on one GPU. */
export class FakeExecutor implements Executor {
  readonly name = 'fake'
  readonly tasks: FakeTask[] = []
  readonly gpus: readonly string[]
  /** How often two containers had one GPU at a time. */
  collisions = 0
  /** Asked before each start; may throw, or wait. */
  beforeStart: (spec: TaskSpec, signal: AbortSignal) => Promise<void> = () => Promise.resolve()
  /** A new container as it comes into the world. */
  onStart: (task: FakeTask) => void = () => undefined

  constructor(gpus: readonly string[] = []) {
    this.gpus = gpus
  }

  get running(): FakeTask[] {
    return this.tasks.filter(({ isDisposed }) => !isDisposed)
  }

  probe(): Promise<void> {
    return Promise.resolve()
  }

  pull(image: string): Promise<ImageInfo> {
    return Promise.resolve({ id: `sha256:${image}` })
  }

  async start(
    spec: TaskSpec,
    signal: AbortSignal,
    onPhase: (phase: 'create' | 'start') => void = () => undefined,
  ): Promise<Task> {
    onPhase('create')
    await this.beforeStart(spec, signal)
    signal.throwIfAborted()
    onPhase('start')
    const task = new FakeTask(spec, async () => {
      await new Promise<void>((resolve) => setImmediate(resolve))
    })
    const used = this.running.flatMap(({ gpuIds }) => gpuIds)
    if (task.gpuIds.some((uuid) => used.includes(uuid))) this.collisions += 1
    this.tasks.push(task)
    this.onStart(task)
    return task
  }

  capacity(): Promise<Capacity> {
    return Promise.resolve({ cpus: 4, memoryBytes: 8 * 1024 ** 3, gpus: this.gpus })
  }

  reap(): Promise<number> {
    return Promise.resolve(0)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

let count = 0

export function fakeOf(task: Task): FakeTask {
  if (task instanceof FakeTask) return task
  throw new Error('not one of ours')
}

/** A model whose containers say themselves whether they are ready, and idle. */
export function keptSpec(key: string, rest: Partial<KeptSpec> & { gpus?: number } = {}): KeptSpec {
  const { gpus, ...more } = rest
  return {
    key,
    task: {
      kind: 'test',
      image: `image-${key}`,
      environment: {},
      limits: {},
      keep: false,
      ...(gpus === undefined ? {} : { gpus }),
    },
    name: () => `test-${key}-${(count += 1)}`,
    maxConcurrency: 1,
    keepAliveMs: Infinity,
    startupTimeoutMs: 60_000,
    open: () => undefined,
    isReady: (task) => {
      const fake = fakeOf(task)
      fake.asked += 1
      return Promise.resolve(fake.isReady ? 'ready' : 'loading')
    },
    isIdle: (task) => Promise.resolve(fakeOf(task).isIdle),
    ...more,
  }
}

/** A logger whose records can be looked at. */
export function recordingLog(): { log: ReturnType<typeof createLogger>; records: LogRecord[] } {
  const records: LogRecord[] = []
  return { log: createLogger((record) => records.push(record), 'DEBUG'), records }
}

/** The real time, a hundred times as quick. */
export const quickClock: Clock = {
  now: () => systemClock.now() * 100,
  date: () => new Date(),
  sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 2 ** 31) / 100, signal),
}
