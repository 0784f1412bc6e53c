import { childSignal } from '../core/child-signal.ts'
import type { Clock } from '../core/clock.ts'
import { KeptFailure, type KeptSpec, type OutputListener } from './kept.ts'
import type { Task } from './executor.ts'
import type { KeptOutput } from './kept-output.ts'
import { within } from './kept-wait.ts'

/** A container that has been started, and what its caller keeps for it. */
export interface Loaded<S> {
  task: Task
  session: S
}

/** How a container is asked. */
export interface Asking {
  clock: Clock
  output: KeptOutput
  /** Aborted when it has ended. */
  signal: AbortSignal
}

/** A question that gets no answer for so long is asked anew. */
const ANSWER_MS = 5000
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 500
const GROWTH = 1.5
/** What an abandoned call has started must be over after so long. */
const PROOF_MS = 10_000
const PROOF_STEP_MS = 250

/** Asks a container until it is ready. KeptFailure when it says that it never will be, or takes too long. */
export async function untilReady<S extends OutputListener | undefined>(
  { isReady, startupTimeoutMs }: KeptSpec<S>,
  { task, session }: Loaded<S>,
  { clock, output, signal }: Asking,
): Promise<void> {
  const end = clock.now() + startupTimeoutMs
  let pauseMs = FIRST_PAUSE_MS
  try {
    for (;;) {
      const ms = Math.max(Math.min(ANSWER_MS, end - clock.now()), 0)
      const answer = await within(clock, ms, signal, (each) => isReady(task, each, session))
      if (answer === 'ready') return
      const leftMs = end - clock.now()
      if (leftMs <= 0) break
      await clock.sleep(Math.min(pauseMs, leftMs), signal)
      pauseMs = Math.min(pauseMs * GROWTH, LONGEST_PAUSE_MS)
    }
  } catch (error) {
    if (!(error instanceof KeptFailure) || error.logsTail !== '') throw error
    throw new KeptFailure(error.reason, error.message, output.tail(), { cause: error })
  }
  const seconds = Math.round(startupTimeoutMs / 1000)
  throw new KeptFailure('startup_timeout', `The model was not ready after ${seconds} s`, output.tail())
}

/** Whether a container shows in time that it is healthy, and has nothing left to do. */
export async function comesToRest<S extends OutputListener | undefined>(
  { isIdle }: KeptSpec<S>,
  { task, session }: Loaded<S>,
  { clock, signal }: Asking,
): Promise<boolean> {
  const isAtRest = await within(clock, PROOF_MS, signal, async (each) => {
    while (!(await isIdle(task, each, session).catch(() => false))) await clock.sleep(PROOF_STEP_MS, each)
    return true
  }).catch(() => false)
  return isAtRest === true
}

/** Why a container that was ready is not ready any more; undefined when it is. Throws the reason of `caller`. */
export async function unreadiness<S extends OutputListener | undefined>(
  { isReady }: KeptSpec<S>,
  { task, session }: Loaded<S>,
  { clock, signal }: Asking,
  caller: AbortSignal,
): Promise<string | undefined> {
  const both = childSignal(signal, caller)
  try {
    const answer = await within(clock, ANSWER_MS, both.signal, (each) => isReady(task, each, session))
    return answer === 'ready' ? undefined : (answer ?? 'it does not answer')
  } catch (error) {
    caller.throwIfAborted()
    return error instanceof Error ? error.message : String(error)
  } finally {
    both.free()
  }
}
