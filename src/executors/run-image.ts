import { JobError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import { TaskKilledError, type Executor, type TaskSpec } from './executor.ts'
import { verdictOf } from './run-task.ts'
import { supervise, type Bounds } from './supervise.ts'

/** Takes output as it comes; the image waits for the promise. */
export type OutputListener = (data: Uint8Array) => void | Promise<void>

/** One call of an image. */
export interface ImageRequest extends Bounds {
  spec: TaskSpec
  /** Most of stdout and of stderr that is kept. */
  maxOutputBytes: number
  /** Takes stdout, which is then not kept. */
  onStdout: OutputListener | undefined
  onStderr: OutputListener | undefined
}

export interface ImageResult {
  /**
   * How it ended: by itself, killed by us for its time, killed for want of memory, or killed by somebody else (such as
   * `docker kill`, or the stop of the engine).
   */
  verdict: 'exited' | 'timeout' | 'out_of_memory' | 'killed'
  /** The program's own; after a kill what the engine says, such as 137. */
  exitCode: number
  /** Empty when `onStdout` took it. */
  stdout: Buffer
  /** Empty when `onStderr` took it. */
  stderr: Buffer
}

/**
 * Pulls an image by the policy, runs it once and removes its container. What the executor, the input or a listener
 * throws passes through, and the signal's reason; JobError `output_too_large` for more output than is kept.
 */
export async function callImage(
  executor: Executor,
  request: ImageRequest,
  { signal, log }: { signal: AbortSignal; log: Logger },
): Promise<ImageResult> {
  const { spec, maxOutputBytes } = request
  await executor.pull(spec.image, signal, spec.limits.platform)
  await using task = await executor.start(spec, signal)
  if (spec.keep) log.info('The container is kept', { container: task.name, logs: task.logsCommand })
  const stdout = new Capture('standard output', maxOutputBytes)
  const stderr = new Capture('standard error', maxOutputBytes)
  const onStdout =
    request.onStdout ??
    ((data) => {
      stdout.add(data)
    })
  const onStderr =
    request.onStderr ??
    ((data) => {
      stderr.add(data)
    })
  const ended = await supervise(
    task,
    request,
    ({ stream, data }) => (stream === 'stdout' ? onStdout(data) : onStderr(data)),
    signal,
  ).catch((error: unknown) => {
    if (error instanceof TaskKilledError) return error.exitCode
    throw error
  })
  const output = { stdout: stdout.bytes(), stderr: stderr.bytes() }
  if (typeof ended === 'number') return { verdict: 'killed', exitCode: ended, ...output }
  const { exit, killedFor } = ended
  const verdict = killedFor === undefined ? verdictOf(exit) : 'timeout'
  return { verdict, exitCode: exit.exitCode, ...output }
}

/** Keeps all that flows by, up to a limit. */
class Capture {
  readonly #name: string
  readonly #maxBytes: number
  #buffer = Buffer.alloc(0)
  #length = 0

  constructor(name: string, maxBytes: number) {
    this.#name = name
    this.#maxBytes = maxBytes
  }

  /** JobError when it is too much. */
  add(data: Uint8Array): void {
    const length = this.#length + data.length
    if (length > this.#maxBytes) {
      const what = `The image has printed more than ${this.#maxBytes} bytes on ${this.#name}`
      throw new JobError(
        'output_too_large',
        what,
        'Raise maxOutputBytes, or take it as it comes by a listener.',
      )
    }
    if (length > this.#buffer.length) {
      // Copied, since slices would keep the whole packets that they came in.
      const larger = Buffer.alloc(Math.min(Math.max(length, this.#buffer.length * 2, 1024), this.#maxBytes))
      this.#buffer.copy(larger, 0, 0, this.#length)
      this.#buffer = larger
    }
    this.#buffer.set(data, this.#length)
    this.#length = length
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }
}
