import type { OutputChunk, Task, TaskSpec } from './executor.ts'

/** Whoever reads what a kept task prints, from its start to its end. */
export interface OutputListener {
  /** What comes on standard output is answers: it is no part of the log. */
  readonly takesStdout?: boolean
  /** A promise holds up the output until it settles. Must not throw. */
  onOutput(chunk: OutputChunk): void | Promise<void>
}

/** A container that serves many calls, and how it is to be treated. `S` is what the caller keeps for each container. */
export interface KeptSpec<S extends OutputListener | undefined = undefined> {
  /** Same key = the same container will do: image id, arguments, environment, GPUs, mounts. */
  key: string
  task: Omit<TaskSpec, 'name'>
  /** A name for one more container. */
  name: () => string
  /** Calls that one container takes at a time. */
  maxConcurrency: number
  /** How long it stays after its last call; 0 = not at all, Infinity = for ever. The last caller's word counts. */
  keepAliveMs: number
  /** From its start until it is ready. */
  startupTimeoutMs: number
  /** Called once, right after the start: whoever talks to the task by its standard input begins here. */
  open: (task: Task) => S
  /** 'loading' = ask again; throws KeptFailure when it says that it will never be ready. */
  isReady: (task: Task, signal: AbortSignal, session: S) => Promise<'ready' | 'loading'>
  /** After an abandoned call: is it healthy, and idle? */
  isIdle: (task: Task, signal: AbortSignal, session: S) => Promise<boolean>
}

/** On its way from the start to the removal of a container. */
export const KEPT_STATES = ['starting', 'loading', 'ready', 'busy', 'suspect', 'stopping'] as const
export type KeptState = (typeof KEPT_STATES)[number]

export type KeptFailureReason = 'setup_failed' | 'startup_timeout' | 'oom_killed' | 'gpu_oom'

/** A container that was to serve calls can't, or can't any more. */
export class KeptFailure extends Error {
  override readonly name = 'KeptFailure'
  readonly reason: KeptFailureReason
  /** The last that it printed, at most 8 KiB. */
  readonly logsTail: string

  constructor(reason: KeptFailureReason, message: string, logsTail = '', options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
    this.logsTail = logsTail
  }
}

/**
 * Why `died` was aborted: the container ended under the call. `exit` is left out when only the engine went away, which is
 * then the cause.
 */
export class KeptDeath extends Error {
  override readonly name = 'KeptDeath'
  readonly exitCode: number | undefined
  readonly oomKilled: boolean
  readonly isGpuOom: boolean
  readonly logsTail: string

  constructor(
    message: string,
    end: { exitCode: number | undefined; oomKilled: boolean; isGpuOom: boolean; logsTail: string },
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.exitCode = end.exitCode
    this.oomKilled = end.oomKilled
    this.isGpuOom = end.isGpuOom
    this.logsTail = end.logsTail
  }
}

/**
 * How a call ended: 'failed' = answered with an error (5 in a row replace the container); 'abandoned' = nobody waited for
 * the answer, and the container must prove itself; 'broken' = it is replaced at once.
 */
export type CallEnd = 'ok' | 'failed' | 'abandoned' | 'broken'

/** One place in a container that is ready. Dispose is `release('abandoned')`, unless it was released. */
export interface KeptCall<S extends OutputListener | undefined = undefined> extends AsyncDisposable {
  readonly task: Task
  readonly session: S
  /** It was ready before the call came. */
  readonly isWarm: boolean
  readonly gpuIds: readonly string[]
  /** How long this call waited until the container was ready; 0 when it is warm. */
  readonly coldStartMs: number
  /** Aborted with a KeptDeath as soon as the container has died. */
  readonly died: AbortSignal
  /** The first one counts. */
  release(how: CallEnd): void
  /** The last that the container printed, at most 8 KiB. */
  logsTail(): string
}

/** What `states` tells of one container. */
export interface KeptReport {
  key: string
  image: string
  state: KeptState
  /** Calls that it answers now. */
  calls: number
  gpuIds: readonly string[]
}

export interface KeptPool<S extends OutputListener | undefined = undefined> {
  /**
   * A place in the container of this key, which is started and loaded when it isn't there. Throws KeptFailure, what
   * `Executor.start` throws, and the signal's reason.
   */
  acquire(
    spec: KeptSpec<S>,
    signal: AbortSignal,
    onPhase?: (phase: 'create' | 'start' | 'load') => void,
  ): Promise<KeptCall<S>>
  /**
   * Resolves when the container is there and has just said that it is ready; throws as `acquire` does, and KeptFailure when
   * it is not ready any more.
   */
  ensureReady(spec: KeptSpec<S>, signal: AbortSignal): Promise<void>
  /** Somebody else waits for a GPU: those that answer no call give theirs up. */
  giveUpGpus(): void
  states(): readonly KeptReport[]
  /** Ends them all; always settles. */
  close(): Promise<void>
}
