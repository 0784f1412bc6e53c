import { posix } from 'node:path'
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
  /** What their own memory holds in all, by UUID, as far as that is known. */
  gpuMemoryBytes?: Readonly<Record<string, number>>
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
  /** What its maker says of it, by name; left out = nothing. */
  labels?: Readonly<Record<string, string>>
  /** Words that run whatever a task's command is; empty or left out = its command is the program. */
  entrypoint?: readonly string[]
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

/** What stands around a task whose program is hostile, besides its limits. No capability and no new rights, ever. */
export interface Walls {
  /** The system calls that it may make: a seccomp profile, as the engine takes it. */
  seccomp: string
  /** Its working folder: memory of its own that goes with it, or one that outlives it. */
  workdir: WorkdirSpec | Workdir
  /** Lets it reach the internet, though no private network; left out = nothing, by `limits.network: none`. */
  internet?: Internet
}

/** How a task reaches the internet. */
export interface Internet {
  /** An image with `ip`, which closes the private networks before the task starts. */
  image: string
  /** Name servers, as addresses. */
  dns: readonly string[]
}

/** A working folder in memory. */
export interface WorkdirSpec {
  /** Absolute path in the task. */
  path: string
  /** Most that its files may hold together. */
  bytes: number
  /** Most files and folders. */
  inodes: number
  /** Whom it belongs to; nobody else sees into it. */
  uid: number
}

/** A working folder that outlives its tasks. Dispose lets go of it; that always settles. */
export interface Workdir extends AsyncDisposable {
  readonly spec: WorkdirSpec
  /** The engine's name for it. */
  readonly id: string
  /**
   * What is in it, as a tar stream whose makers are not to be trusted. To be read when its tasks have ended; `image` must
   * have `tar`. Throws JobError when that fails.
   */
  archive(image: string, signal: AbortSignal): AsyncIterable<Uint8Array>
}

/** What makes working folders. */
export interface Workdirs {
  openWorkdir(spec: WorkdirSpec, signal: AbortSignal): Promise<Workdir>
}

/** What knows whether one more task has room. */
export interface Rooms {
  /** RetryableError('disk' or 'memory') when there is none for a task of so much memory (left out = not asked). Cheap. */
  assertRoom(memoryBytes: number | undefined, signal: AbortSignal): Promise<void>
}

/** What knows whether tasks can be kept within walls at all. */
export interface WallChecks {
  /** Tries it with the runtime of this name (left out = the engine's own). OperatorError says what is missing. */
  assertWalls(runtime: string | undefined, signal: AbortSignal): Promise<void>
  /**
   * Tries whether a task can be let reach the internet and no private network. OperatorError says what is missing, or what
   * could be reached.
   */
  assertInternet(internet: Internet, signal: AbortSignal): Promise<void>
}

/** What a task has used; what can't be told is left out, never 0. */
export interface Usage {
  cpuMs?: number
  memoryPeakBytes?: number
}

/** What is to be reached of a task: a TCP port in it, or a unix socket (an absolute path in it, in a folder of its own). */
export type ServerSpec = { port: number } | { socketPath: string }

/** Whether a path can be that of a socket to be reached: absolute, and in a folder that can be another one's place. */
export function isSocketPath(path: string): boolean {
  return posix.isAbsolute(path) && posix.normalize(path) === path && posix.dirname(path) !== '/'
}

/** Where the server of a task is reached from here. */
export type Endpoint = { host: string; port: number } | { socketPath: string }

export interface TaskSpec {
  /** Unique, made of letters, digits and dashes. */
  name: string
  kind: string
  image: string
  /** Arguments, never through a shell; left out = the image's own. */
  command?: readonly string[]
  /** Takes the place of the image's own. */
  entrypoint?: readonly string[]
  environment: Readonly<Record<string, string>>
  /** Working directory; left out = the image's own. */
  workdir?: string
  mounts?: readonly Mount[]
  /** A driver is handed UUIDs only: gpu-lease.ts turns a request into those that nobody else has. */
  gpus?: GpuRequest
  /** The least memory that each of them must have of its own, where they are only counted. */
  gpuMemoryBytes?: number
  limits: TaskLimits
  walls?: Walls
  /** It serves calls: it gets a network of its own, or none where it serves a unix socket and its limits say so. */
  server?: ServerSpec
  /** No other task will be like it: none is started ahead. */
  isUnique?: boolean
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
  /** What it has used until now, or in all when it has ended. Never throws. */
  usage?(): Promise<Usage>
  /** How to read its output later, shown when it is kept. */
  readonly logsCommand: string
  /** The GPUs that nobody else has until it is disposed, as UUIDs. */
  readonly gpuIds?: readonly string[]
  /**
   * Where its server is reached; that it answers there is not said. RetryableError('engine') when it can't be told,
   * OperatorError where it can't be reached from this machine.
   */
  endpoint?(): Promise<Endpoint>
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
