import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'

/** The binary under test; another build can take its place. */
const BIN = process.env['OPTHUB_CHAOS_BIN'] ?? resolve(import.meta.dirname, '../../../bin/opthub-runner.js')

export interface RunnerOptions {
  kind: 'evaluator' | 'scorer'
  /** Its process name, and the access key id by which the front tells it from others. */
  name: string
  /** Where its config.yml is. */
  folder: string
  environment: Readonly<Record<string, string>>
  args?: readonly string[]
}

/** A line of a runner's log. */
export type Line = Record<string, unknown> & { msg: string; level: string }

/** A runner process. */
export class Runner {
  readonly name: string
  readonly pid: number
  readonly lines: Line[] = []
  /** What it said that is no log line: a crash shows here. */
  readonly noise: string[] = []
  /** Exit code, or the signal's name. */
  readonly ended: Promise<number | string>
  /** As `ended`, once it has. */
  end: number | string | undefined
  readonly #child: ChildProcess

  constructor(options: RunnerOptions) {
    const { kind, name, folder, environment, args = [] } = options
    this.name = name
    const command = [BIN, kind, '--process-name', name, '--json', ...args]
    const child = spawn(process.execPath, command, {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...environment, OPTHUB_RUNNER_ACCESS_KEY_ID: name },
    })
    this.#child = child
    this.pid = child.pid ?? 0
    createInterface({ input: child.stderr }).on('line', (line) => {
      const parsed = parseLine(line)
      if (parsed === undefined) this.noise.push(line)
      else this.lines.push(parsed)
    })
    this.ended = once(child, 'close').then(([code, signal]) => {
      this.end = (code ?? signal) as number | string
      return this.end
    })
  }

  said(message: string): boolean {
    return this.lines.some(({ msg }) => msg === message)
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.ended
  }

  /** The last lines of its log, for people. */
  tail(count = 30): string {
    return [...this.lines.map((line) => JSON.stringify(line)), ...this.noise].slice(-count).join('\n')
  }
}

function parseLine(line: string): Line | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line) as Line
  } catch {
    return undefined
  }
}
