import type { OutputChunk, Task, TaskExit, TaskInput } from './executor.ts'

/** What bounds a task while it runs. */
export interface Bounds {
  /** A function where it can be read only once: the job may have to begin anew in another task. */
  input: TaskInput | (() => TaskInput)
  /** Milliseconds from the delivery of the input to the kill; Infinity = no end. */
  timeoutMs: number
  /** Seconds between SIGTERM and SIGKILL. */
  stopGraceSeconds: number
}

/**
 * Takes a part of the output; the next one waits for it, but not after a kill: what comes while it is still at work is
 * dropped then, since a task whose output nobody reads can't be killed. `kill` ends the task, for a flood.
 */
export type TakeOutput = (chunk: OutputChunk, kill: () => void) => void | Promise<void>

/** For whoever has reasons of his own to end a task. */
export interface Hooks {
  /** Kills the task at once when aborted, as if its time were over. */
  cutOff?: AbortSignal
  /** The task has ended; output of it may still be on its way. */
  onEnd?: () => void
}

/** Node's timers can't wait longer. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Delivers a task's input, reads all of its output, and kills it when its time is over or `take` says so. Throws what
 * `take` throws, and the signal's reason when that is aborted; then the task still runs, until it is disposed of.
 */
export async function supervise(
  task: Task,
  { input, timeoutMs, stopGraceSeconds }: Bounds,
  take: TakeOutput,
  signal: AbortSignal,
  { cutOff, onEnd }: Hooks = {},
): Promise<{ exit: TaskExit; killedFor: 'timeout' | 'flood' | undefined }> {
  let killedFor: 'timeout' | 'flood' | undefined
  const broken = breaker()
  let stopWaiting = (): void => undefined

  function kill(reason: 'timeout' | 'flood', graceSeconds: number): void {
    if (killedFor !== undefined) return
    killedFor = reason
    stopWaiting()
    task.kill(graceSeconds).catch(broken.trip)
  }
  async function readAll(): Promise<void> {
    let isBusy = false
    for await (const chunk of task.output()) {
      if (isBusy) continue
      const taken = take(chunk, () => {
        kill('flood', 0)
      })
      if (taken === undefined) continue
      isBusy = true
      await new Promise<void>((resolve, reject) => {
        stopWaiting = resolve
        if (killedFor !== undefined) resolve()
        taken.then(() => {
          isBusy = false
          resolve()
        }, reject)
      })
    }
  }
  function abort(): void {
    broken.trip(signal.reason)
  }
  function cut(): void {
    kill('timeout', 0)
  }

  const timer =
    timeoutMs === Infinity
      ? undefined
      : setTimeout(kill, Math.min(timeoutMs, MAX_TIMER_MS), 'timeout', stopGraceSeconds)
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  cutOff?.addEventListener('abort', cut, { once: true })
  if (cutOff?.aborted === true) cut()
  try {
    const ended = task.wait().finally(() => {
      clearTimeout(timer)
      onEnd?.()
    })
    const all = Promise.all([ended, readAll(), task.send(typeof input === 'function' ? input() : input)])
    const [exit] = await Promise.race([all, broken.tripped])
    return { exit, killedFor }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
    cutOff?.removeEventListener('abort', cut)
  }
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
