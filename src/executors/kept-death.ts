import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Task } from './executor.ts'
import { KeptDeath, KeptFailure } from './kept.ts'
import type { KeptOutput } from './kept-output.ts'
import { within } from './kept-wait.ts'

/** The last output comes within this time after the end of its container. */
const LAST_WORDS_MS = 500

/** Resolves when a task has ended, with what it printed last. `printed` settles when all of its output was read. */
export async function deathOf(
  task: Task,
  { output, printed, clock }: { output: KeptOutput; printed: Promise<void>; clock: Clock },
): Promise<KeptDeath> {
  const end = await task.wait().then(
    (exit) => ({ ...exit, cause: undefined }),
    (cause: unknown) => ({ exitCode: undefined, oomKilled: false, cause }),
  )
  const { exitCode, oomKilled, cause } = end
  await within(clock, LAST_WORDS_MS, new AbortController().signal, () => printed)
  const how = exitCode === undefined ? messageOf(cause) : `exit code ${exitCode}`
  return new KeptDeath(
    `The container of the model has ended: ${oomKilled ? 'it ran out of memory' : how}`,
    { exitCode, oomKilled, isGpuOom: output.isGpuOom, logsTail: output.tail() },
    cause === undefined ? {} : { cause },
  )
}

/** What a death means to those who wait for the container to be ready. */
export function failureOf(death: KeptDeath): unknown {
  // The engine has failed, not the model.
  if (death.exitCode === undefined) return death.cause ?? death
  const reason = death.oomKilled ? 'oom_killed' : death.isGpuOom ? 'gpu_oom' : 'setup_failed'
  return new KeptFailure(reason, `${death.message}, before it was ready`, death.logsTail, { cause: death })
}
