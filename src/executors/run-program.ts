import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/log.ts'
import { Head, type Captured } from './capture.ts'
import type { Executor, OutputChunk, Task, TaskSpec, Usage } from './executor.ts'
import { EndedBeforeInputError, PooledTask } from './pooled-task.ts'
import { renamed } from './run-task.ts'
import { supervise, type TakeOutput } from './supervise.ts'

/** One run of a program that nobody trusts. */
export interface ProgramRequest {
  spec: TaskSpec
  input: Uint8Array
  /** From the delivery of the input to the kill. */
  wallTimeMs: number
  /** Of all its processes together. */
  cpuTimeMs: number
  /** Most of stdout and stderr together; it is killed for more. */
  outputBytes: number
  /** Ends it, though it has done nothing wrong. */
  cancel?: AbortSignal
  /** Hears what is kept as it comes; the program waits for a promise. */
  onOutput?: ((chunk: OutputChunk) => void | Promise<void>) | undefined
  /** Just before it gets its input. */
  onStart?: (task: Task) => void
}

/** How a program ended, and what is left of it. */
export interface ProgramResult {
  /** Undefined = by itself, or by the kernel. */
  killedFor: 'canceled' | 'output' | 'wall_time' | 'cpu_time' | undefined
  /** After a kill what the engine says, such as 137. */
  exitCode: number
  /** The engine saw an out-of-memory kill in it. */
  oomKilled: boolean
  stdout: Captured
  stderr: Captured
  /** From the delivery of its input to its end. */
  wallMs: number
  usage: Usage
  /** Its container was there before its job. */
  isWarm: boolean
}

type Cut = Exclude<ProgramResult['killedFor'], 'output' | undefined>

/** Between two looks at what a program has used. */
const LONGEST_LOOK_MS = 1000
const SHORTEST_LOOK_MS = 50
/** Node's timers can't wait longer. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Runs a program from its container's creation to its removal, and kills it without any grace at its limits. All output
 * up to a kill is kept. What the executor throws passes through, and the signal's reason; the container is gone then.
 */
export async function runProgram(
  executor: Executor,
  request: ProgramRequest,
  services: { signal: AbortSignal; clock: Clock; log: Logger },
  onPhase?: (phase: 'create' | 'start') => void,
): Promise<ProgramResult> {
  for (let spec = request.spec; ; spec = renamed(spec)) {
    try {
      await using task = await executor.start(spec, services.signal, onPhase)
      const { log } = services
      log.debug('Container started', { container: task.name })
      if (spec.keep) log.info('The container is kept', { container: task.name, logs: task.logsCommand })
      return await watch(task, request, services)
    } catch (error) {
      // Nobody's fault: its program never saw the input. The next one is not parked.
      if (!(error instanceof EndedBeforeInputError)) throw error
      services.log.debug('A container started ahead had ended; the job gets one of its own')
    }
  }
}

async function watch(
  task: Task,
  request: ProgramRequest,
  { signal, clock }: { signal: AbortSignal; clock: Clock },
): Promise<ProgramResult> {
  const { input, outputBytes, onOutput } = request
  const heads = { stdout: new Head(), stderr: new Head() }
  let kept = 0
  const take: TakeOutput = ({ stream, data }, kill) => {
    const fitting = heads[stream].add(data, outputBytes - kept)
    kept += fitting
    // What comes after the kill is still drawn off: a full pipe would keep the program from ending.
    if (fitting < data.length) kill()
    return fitting === 0 ? undefined : onOutput?.({ stream, data: data.subarray(0, fitting) })
  }
  const ended = new AbortController()
  const cut = cutOff(task, request, { clock, ended: ended.signal })
  request.onStart?.(task)
  const since = clock.now()
  let wallMs = 0
  try {
    const bounds = { input, timeoutMs: Infinity, stopGraceSeconds: 0 }
    const { exit, killedFor } = await supervise(task, bounds, take, signal, {
      cutOff: cut.signal,
      onEnd: () => {
        wallMs = clock.now() - since
        ended.abort()
      },
    })
    return {
      killedFor: killedFor === 'flood' ? 'output' : killedFor && (cut.signal.reason as Cut),
      ...exit,
      stdout: heads.stdout.finish(),
      stderr: heads.stderr.finish(),
      wallMs,
      usage: await cut.usage(),
      isWarm: task instanceof PooledTask,
    }
  } finally {
    ended.abort()
  }
}

/** A signal that is aborted when a program is to be killed, its reason being why; the first one counts. */
function cutOff(
  task: Task,
  { wallTimeMs, cpuTimeMs, cancel, spec }: ProgramRequest,
  { clock, ended }: { clock: Clock; ended: AbortSignal },
): { signal: AbortSignal; usage: () => Promise<Usage> } {
  const controller = new AbortController()
  const end = (reason: Cut): void => {
    if (!ended.aborted) controller.abort(reason)
  }
  const onCancel = (): void => {
    end('canceled')
  }
  let usage: Usage = {}
  async function look(): Promise<Usage> {
    const seen = (await task.usage?.()) ?? {}
    usage = { ...usage, ...seen }
    return usage
  }
  async function watchCpu(): Promise<void> {
    for (;;) {
      // It can't use more in a given time than all of its processors have.
      const leftMs = (cpuTimeMs - (usage.cpuMs ?? 0)) / (spec.limits.cpus ?? 1)
      await clock.sleep(Math.max(SHORTEST_LOOK_MS, Math.min(leftMs, LONGEST_LOOK_MS)), ended)
      if (((await look()).cpuMs ?? 0) < cpuTimeMs) continue
      end('cpu_time')
      return
    }
  }
  clock.sleep(Math.min(wallTimeMs, MAX_TIMER_MS), ended).then(
    () => {
      end('wall_time')
    },
    () => undefined,
  )
  // Ends by the end of the program.
  watchCpu().catch(() => undefined)
  cancel?.addEventListener('abort', onCancel, { once: true })
  if (cancel?.aborted === true) onCancel()
  ended.addEventListener('abort', () => cancel?.removeEventListener('abort', onCancel), { once: true })
  return { signal: controller.signal, usage: look }
}
