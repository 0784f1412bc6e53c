import { RetryableError } from '../core/errors.ts'

/**
 * What starts tasks. Drivers are dumb: timeouts, output caps and verdicts live once in run-task.ts.
 * Vendor errors become RetryableError('engine' | 'registry' | 'disk'), ImageError, JobError or OperatorError.
 */
export interface Executor {
  readonly name: string
  /** Throws what is wrong with the engine. */
  probe(signal: AbortSignal): Promise<void>
  /**
   * Makes the image present by the pull policy, once at a time per image; says what it resolved to.
   * `platform` (os/arch[/variant]) is left out for the engine's own.
   */
  pull(image: string, signal: AbortSignal, platform?: string): Promise<ImageInfo>
  /**
   * Creates, attaches, then starts a task; `onPhase` hears when each of the two begins. Nothing is left behind when
   * it throws.
   */
  start(spec: TaskSpec, signal: AbortSignal, onPhase?: (phase: 'create' | 'start') => void): Promise<Task>
  /** What the engine's machine has in all. */
  capacity(signal: AbortSignal): Promise<Capacity>
  /** Removes what dead runners left behind; says how many tasks. */
  reap(signal: AbortSignal): Promise<number>
  /** Ends what is still under way, and tries once more to remove what could not be removed. */
  close(): Promise<void>
}

/** What a machine has in all, used or not. */
export interface Capacity {
  /** Cores. */
  cpus: number
  memoryBytes: number
  /** UUIDs, in the order of the driver; none where there is no GPU or no way to hand one over. */
  gpus: readonly string[]
  /** Why there is no GPU, or none can be seen. */
  noGpus?: string
}

/** How many GPUs, all of them, or these (UUIDs). */
export type GpuRequest = number | 'all' | readonly string[]

export interface ImageInfo {
  /** The engine's content id, `sha256:…`. */
  id: string
  /** `sha256:…` under which its registry knows it; left out for an image that was made on this machine. */
  digest?: string
}

/** The image can't be had, and trying again at once won't help: the administrator can act (or the job's author). */
export class ImageError extends Error {
  override readonly name = 'ImageError'
  readonly reason:
    'not_found' | 'denied' | 'invalid_reference' | 'platform_mismatch' | 'not_allowed' | 'not_startable'

  constructor(reason: ImageError['reason'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

/** Somebody else killed the task through the engine, or the engine's own stop did. */
export class TaskKilledError extends RetryableError {
  /** As the engine tells it. */
  readonly exitCode: number

  constructor(message: string, exitCode: number) {
    super('engine', message)
    this.exitCode = exitCode
  }
}

/** Walls around a task; what is left out is the engine's default. */
export interface TaskLimits {
  /** CPU cores, fractions allowed. */
  cpus?: number
  memoryBytes?: number
  /** Most processes and threads. */
  pids?: number
  /** Size of /dev/shm. */
  shmBytes?: number
  network?: 'default' | 'none'
  readOnly?: boolean
  /** uid[:gid] or a name in the image. */
  user?: string
  /** Mount point → mount options, e.g. {'/tmp': 'size=64m'}. */
  tmpfs?: Readonly<Record<string, string>>
  /** Name → soft and hard limit, e.g. {nofile: 256}. */
  ulimits?: Readonly<Record<string, number>>
  /** OCI runtime, e.g. runsc. */
  runtime?: string
  /** os/arch[/variant], e.g. linux/amd64. */
  platform?: string
}

export interface TaskSpec {
  /** Unique, made of letters, digits and dashes. */
  name: string
  kind: string
  image: string
  /** Arguments, never through a shell; left out = the image's own. */
  command?: readonly string[]
  environment: Readonly<Record<string, string>>
  /** Working directory; left out = the image's own. */
  workdir?: string
  mounts?: readonly Mount[]
  /** A driver is handed UUIDs only: gpu-lease.ts turns a request into those that nobody else has. */
  gpus?: GpuRequest
  limits: TaskLimits
  /** No job waits for it yet: it gives way to those that do. */
  isAhead?: boolean
  /** Keep the container after its end, with a readable log (`rm: false`). */
  keep: boolean
}

/** A file or folder of the machine, seen inside a task. */
export interface Mount {
  /** Absolute path where the runner sees it. */
  source: string
  /** Absolute path in the task. */
  target: string
  readOnly: boolean
}

export interface OutputChunk {
  stream: 'stdout' | 'stderr'
  data: Uint8Array
}

export interface TaskExit {
  exitCode: number
  /** The engine saw an out-of-memory kill in the task. */
  oomKilled: boolean
}

/** What goes to a task's standard input: whole, or in parts as they are asked for. */
export type TaskInput = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** One started container. Dispose removes it (unless `keep`), whatever state it is in, and always settles. */
export interface Task extends AsyncDisposable {
  readonly id: string
  /** That of its spec, or the last one it was given. */
  readonly name: string
  /** Gives it another name, since its job is known only now. A failure is no harm, and only logged. */
  rename(name: string): Promise<void>
  /** Whether its program is certain to run at this moment; false on any doubt. Never throws. */
  isRunning(): Promise<boolean>
  /** Bytes of memory that it occupies now; undefined where that can't be said. Never throws. */
  memoryUsage(): Promise<number | undefined>
  /** How to read its output later, shown when it is kept. */
  readonly logsCommand: string
  /**
   * Writes the input and half-closes standard input. Resolves when all is written or the task stopped reading;
   * never hangs on a task that ends without reading.
   */
  send(input: TaskInput): Promise<void>
  /** Everything the task prints, with backpressure. May be iterated once; ends when the task's output does. */
  output(): AsyncIterable<OutputChunk>
  /** Resolves when the task has ended. RetryableError('engine') when the engine went away or can't tell. */
  wait(): Promise<TaskExit>
  /** SIGTERM, then SIGKILL after `graceSeconds` (0 = SIGKILL at once). Resolves when it is dead. */
  kill(graceSeconds: number): Promise<void>
}
