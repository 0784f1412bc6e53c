import { randomBytes } from 'node:crypto'
import type { JobContext } from '../core/kind.ts'
import type { Executor, Task, TaskExit, TaskSpec } from './executor.ts'
import { LastLineFinder, Tail, type LastLine } from './output.ts'
import { EndedBeforeInputError } from './pooled-task.ts'
import { supervise, type Bounds, type TakeOutput } from './supervise.ts'

/** One run of a task, and its bounds. */
export interface RunRequest extends Bounds {
  spec: TaskSpec
  /** Longest last line of stdout. */
  maxLineBytes: number
  /** Most of stdout and stderr together; more is a flood. */
  maxTotalBytes: number
  /** How much of the end of stderr is kept. */
  stderrTailBytes: number
}

/**
 * How a run ended: by itself, or killed by us for its time or its output, or for want of memory. The last means that
 * it failed after the engine saw an out-of-memory kill in it; a task that survives the loss of a child has `exited`.
 */
export type Verdict = 'exited' | 'timeout' | 'flood' | 'out_of_memory'

export interface RunResult {
  verdict: Verdict
  /** Means nothing after a kill. */
  exitCode: number
  /** The last line of stdout that holds more than white space. */
  lastLine: LastLine
  stderrTail: Uint8Array
}

/**
 * Runs a task from its creation to its removal: delivers the input, reads all output within bounds, and kills it when
 * its time is over, when it floods, or when the job is aborted, whose reason is then thrown. What the executor throws
 * passes through. The task is gone (or kept, if its spec says so) when this settles.
 */
export async function runTask(
  executor: Pick<Executor, 'start'>,
  request: RunRequest,
  job: Pick<JobContext, 'signal' | 'log' | 'timeline'>,
): Promise<RunResult> {
  for (let spec = request.spec; ; spec = renamed(spec)) {
    try {
      return await runOnce(executor, { ...request, spec }, job)
    } catch (error) {
      // Nobody's fault: its program never saw the input. The next one is not parked.
      if (!(error instanceof EndedBeforeInputError)) throw error
      job.log.debug('A container started ahead had ended; the job gets one of its own')
    }
  }
}

async function runOnce(
  executor: Pick<Executor, 'start'>,
  request: RunRequest,
  { signal, log, timeline }: Pick<JobContext, 'signal' | 'log' | 'timeline'>,
): Promise<RunResult> {
  const { spec } = request
  try {
    await using task = await executor.start(spec, signal, (phase) => {
      timeline.enter(phase)
    })
    log.debug('Container started', { container: task.name })
    if (spec.keep) log.info('The container is kept', { container: task.name, logs: task.logsCommand })
    timeline.enter('run')
    timeline.markStarted()
    return await judge(task, request, signal)
  } finally {
    timeline.leave()
  }
}

/** A name for a task that no other has: `<kind>-<short id of the job>-<random>`. */
export function taskName(kind: string, shortId: string): string {
  const name = `${kind}-${shortId}`.replaceAll(/[^A-Za-z0-9-]+/g, '-').slice(0, 100)
  return `${name}-${randomBytes(4).toString('hex')}`
}

/** The same task under another name: who had the first one may still be on its way out. */
export function renamed(spec: TaskSpec): TaskSpec {
  return { ...spec, name: spec.name.replace(/-[0-9a-f]{8}$/, '') + `-${randomBytes(4).toString('hex')}` }
}

async function judge(task: Task, request: RunRequest, signal: AbortSignal): Promise<RunResult> {
  const lastLine = new LastLineFinder(request.maxLineBytes)
  const stderr = new Tail(request.stderrTailBytes)
  let totalBytes = 0
  const take: TakeOutput = ({ stream, data }, kill) => {
    totalBytes += data.length
    // What comes after the kill is still drawn off: a full pipe would keep the task from ending.
    if (totalBytes > request.maxTotalBytes) kill()
    else if (stream === 'stdout') lastLine.add(data)
    else stderr.add(data)
  }
  const { exit, killedFor } = await supervise(task, request, take, signal)
  return {
    verdict: killedFor ?? verdictOf(exit),
    exitCode: exit.exitCode,
    lastLine: lastLine.finish(),
    stderrTail: stderr.bytes(),
  }
}

/** What the end of a task that nobody killed means. */
export function verdictOf({ oomKilled, exitCode }: TaskExit): 'exited' | 'out_of_memory' {
  return oomKilled && exitCode !== 0 ? 'out_of_memory' : 'exited'
}
