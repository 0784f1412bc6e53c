import { randomBytes } from 'node:crypto'
import type { JobContext } from '../core/kind.ts'
import type { Executor, OutputChunk, Task, TaskExit, TaskInput, TaskSpec } from './executor.ts'
import { LastLineFinder, Tail, type LastLine } from './output.ts'

/** One run of a task, and its bounds. */
export interface RunRequest {
  spec: TaskSpec
  input: TaskInput
  /** Milliseconds from the delivery of the input to the kill. */
  timeoutMs: number
  /** Seconds between SIGTERM and SIGKILL. */
  stopGraceSeconds: number
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

/** Node's timers can't wait longer. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Runs a task from its creation to its removal: delivers the input, reads all output within bounds, and kills it when
 * its time is over, when it floods, or when the job is aborted, whose reason is then thrown. What the executor throws
 * passes through. The task is gone (or kept, if its spec says so) when this settles.
 */
export async function runTask(
  executor: Executor,
  request: RunRequest,
  job: Pick<JobContext, 'signal' | 'log' | 'timeline'>,
): Promise<RunResult> {
  const { signal, log, timeline } = job
  const { spec } = request
  try {
    await using task = await executor.start(spec, signal, (phase) => {
      timeline.enter(phase)
    })
    log.debug('Container started', { container: task.name })
    if (spec.keep) log.info('The container is kept', { container: task.name, logs: task.logsCommand })
    timeline.enter('run')
    timeline.markStarted()
    return await supervise(task, request, signal)
  } finally {
    timeline.leave()
  }
}

/** A name for a task that no other has: `<kind>-<short id of the job>-<random>`. */
export function taskName(kind: string, shortId: string): string {
  const name = `${kind}-${shortId}`.replaceAll(/[^A-Za-z0-9-]+/g, '-').slice(0, 100)
  return `${name}-${randomBytes(4).toString('hex')}`
}

async function supervise(task: Task, request: RunRequest, signal: AbortSignal): Promise<RunResult> {
  const lastLine = new LastLineFinder(request.maxLineBytes)
  const stderr = new Tail(request.stderrTailBytes)
  let totalBytes = 0
  let killedFor: 'timeout' | 'flood' | undefined
  const broken = breaker()

  function kill(verdict: 'timeout' | 'flood', graceSeconds: number): void {
    if (killedFor !== undefined) return
    killedFor = verdict
    task.kill(graceSeconds).catch(broken.trip)
  }
  function take({ stream, data }: OutputChunk): void {
    totalBytes += data.length
    // What comes after the kill is still drawn off: a full pipe would keep the task from ending.
    if (totalBytes > request.maxTotalBytes) kill('flood', 0)
    else if (stream === 'stdout') lastLine.add(data)
    else stderr.add(data)
  }
  function abort(): void {
    broken.trip(signal.reason)
  }

  const timer = setTimeout(
    kill,
    Math.min(request.timeoutMs, MAX_TIMER_MS),
    'timeout',
    request.stopGraceSeconds,
  )
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  try {
    const ended = task.wait().finally(() => {
      clearTimeout(timer)
    })
    const all = Promise.all([ended, readAll(task, take), task.send(request.input)])
    const [exit] = await Promise.race([all, broken.tripped])
    return {
      verdict: killedFor ?? verdictOf(exit),
      exitCode: exit.exitCode,
      lastLine: lastLine.finish(),
      stderrTail: stderr.bytes(),
    }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  }
}

async function readAll(task: Task, take: (chunk: OutputChunk) => void): Promise<void> {
  for await (const chunk of task.output()) take(chunk)
}

function verdictOf({ oomKilled, exitCode }: TaskExit): Verdict {
  return oomKilled && exitCode !== 0 ? 'out_of_memory' : 'exited'
}

/** A promise that only rejects, from outside. */
function breaker(): { tripped: Promise<never>; trip: (reason: unknown) => void } {
  let trip: (reason: unknown) => void = () => undefined
  const tripped = new Promise<never>((_resolve, reject) => {
    trip = reject
  })
  tripped.catch(() => undefined)
  return { tripped, trip }
}
