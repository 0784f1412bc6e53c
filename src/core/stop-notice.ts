import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import type { Clock } from './clock.ts'
import { messageOf } from './errors.ts'
import type { Logger } from './log.ts'

export interface StopNotice {
  /** The notice is given when this file exists. */
  file?: string | undefined
  /** The notice is given when this ends with 0; words, never through a shell. */
  command?: readonly string[] | undefined
}

/** Between two looks: the shortest notices (spot instances) come two minutes ahead. */
const EVERY_MS = 5000
/** A command that takes longer is ended, and asked again. */
const COMMAND_MS = 10_000

/**
 * Waits for the notice that this machine will be taken away, and says what gave it; undefined when `signal` is aborted
 * first. A look that fails is said once, and is no notice.
 */
export async function awaitStopNotice(
  { file, command }: StopNotice,
  { clock, log, signal }: { clock: Clock; log: Logger; signal: AbortSignal },
): Promise<string | undefined> {
  let isSaid = false
  while (!signal.aborted) {
    if (file !== undefined && (await exists(file))) return `the file ${file} is there`
    if (command !== undefined) {
      const answer = await ask(command, signal)
      if (answer === true) return `${command[0] ?? ''} gave notice`
      if (answer instanceof Error && !isSaid) {
        isSaid = true
        log.warn('stop_command can not be run', { error: messageOf(answer) })
      }
    }
    await clock.sleep(EVERY_MS, signal).catch(() => undefined)
  }
  return undefined
}

async function exists(file: string): Promise<boolean> {
  return await access(file).then(
    () => true,
    () => false,
  )
}

/** Whether it ended with 0; an error when it could not be run at all. */
async function ask(
  [program = '', ...words]: readonly string[],
  signal: AbortSignal,
): Promise<boolean | Error> {
  return await new Promise((resolve) => {
    execFile(program, words, { timeout: COMMAND_MS, killSignal: 'SIGKILL', signal }, (error) => {
      if (error === null) resolve(true)
      // An exit code is a number; the name of a system error says that there was no run.
      else resolve(typeof error.code === 'string' && error.name !== 'AbortError' ? error : false)
    })
  })
}
