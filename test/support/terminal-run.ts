import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Waiting for null is waiting until the terminal shows nothing by itself any more. */
export type Step = { type: string } | { wait: string | null }

export interface Outcome {
  /** All that the terminal showed. */
  screen: string
  /** The exit code; null when the program had to be killed. */
  code: number | null
  /** Whether the terminal's settings are as they were before. */
  restored: boolean
}

const DRIVER = join(import.meta.dirname, 'in_terminal.py')
const exec = promisify(execFile)

/** Runs a command to its end in a terminal of its own. Needs python3. */
export async function runInTerminal(
  steps: readonly Step[],
  command: readonly string[],
  options: { cwd: string; environment: Record<string, string | undefined> },
): Promise<Outcome> {
  const { cwd, environment: env } = options
  const { stdout } = await exec('python3', [DRIVER, JSON.stringify(steps), ...command], { cwd, env })
  return JSON.parse(stdout) as Outcome
}
