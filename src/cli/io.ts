import type { Readable } from 'node:stream'
import type { Environment } from '../config/problem.ts'

/** A stream to write to, and what is known of the terminal behind it, if there is one. */
export interface Output {
  /** `written` is called when it is out, or can't be. */
  write(data: string | Uint8Array, written?: () => void): unknown
  isTTY?: boolean | undefined
  columns?: number | undefined
  rows?: number | undefined
  on(event: 'resize' | 'error', listener: () => void): unknown
  off(event: 'resize' | 'error', listener: () => void): unknown
}

/** Writes binary data, each part only as fast as it is read. */
export function writer(output: Output): (data: Uint8Array) => Promise<void> {
  return (data) =>
    new Promise((resolve) => {
      output.write(data, resolve)
    })
}

/** All that a verb may touch of the process; tests pass their own. */
export interface Io {
  stdin: Readable & { isTTY?: boolean | undefined }
  /** Results only. */
  stdout: Output
  /** Everything else. */
  stderr: Output
  environment: Environment
  platform: string
  pid: number
  hostname: string
  /** Calls the listener at every SIGINT, SIGTERM and SIGHUP until the returned function is called. */
  onSignal(listener: (signal: StopSignal) => void): () => void
  /** As `process.kill`, for other processes of ours; 0 only asks whether there is such a process. */
  kill(pid: number, signal: 'SIGTERM' | 0): void
  /** Ends the process at once. */
  exit(code: number): void
}

export type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

/** What one call of the program carries along. */
export interface Session {
  io: Io
  /** Stack traces are shown; set as soon as the log level is known. */
  debug: boolean
  /** Errors are shown as JSON lines. */
  json: boolean
  /** What no line may show, as soon as it is known. */
  secrets: readonly string[]
  /** What the process ends with when nothing is thrown. */
  exitCode: number
}

/** A call that knows its surroundings, and nothing else yet. */
export function createSession(io: Io): Session {
  const debug = io.environment['OPTHUB_RUNNER_LOG_LEVEL']?.toUpperCase() === 'DEBUG'
  const secrets = SECRET_VARIABLES.map((name) => io.environment[name]).filter((value) => value !== undefined)
  return { io, debug, json: false, secrets, exitCode: 0 }
}

/** Variables that hold secrets, whoever reads them: AWS's own, and those of the settings. */
const SECRET_VARIABLES = [
  'OPTHUB_PASSWORD',
  'AWS_SESSION_TOKEN',
  ...['AWS_', 'OPTHUB_RUNNER_'].flatMap((prefix) => [`${prefix}ACCESS_KEY_ID`, `${prefix}SECRET_ACCESS_KEY`]),
]

/** Whether somebody sits there who can watch lines change and answer questions. */
export function isInteractive(io: Io): boolean {
  const { CI, TERM } = io.environment
  return (
    io.stderr.isTTY === true &&
    TERM !== 'dumb' &&
    (CI === undefined || CI === '' || CI === 'false' || CI === '0')
  )
}

/** Whether to colour what goes to `output`: FORCE_COLOR, then NO_COLOR, then whether it is a terminal. */
export function wantsColor(output: Output, environment: Environment): boolean {
  const { FORCE_COLOR: force, NO_COLOR: no, TERM } = environment
  if (force !== undefined && force !== '') return force !== '0' && force !== 'false'
  if (no !== undefined && no !== '') return false
  return output.isTTY === true && TERM !== 'dumb'
}
