import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { stripVTControlCharacters } from 'node:util'
import { expect } from 'vitest'

/** Passes keys on to a terminal and its screen back; ends with the program's exit code. */
const BRIDGE = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))'

/** Keys of a keyboard. */
export const KEYS = { enter: '\r', down: '\u001b[B', ctrlC: '\u0003' } as const

/** A program that sits at a real terminal, made by Python's pty. */
export class Terminal implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #ended: Promise<number>
  #text = ''
  #seen = 0

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#ended = once(child, 'close').then(([code]) => (code as number | null) ?? -1)
    child.stdout?.on('data', (data: Buffer) => (this.#text += data.toString()))
    child.stderr?.on('data', (data: Buffer) => (this.#text += data.toString()))
  }

  /** Needs python3. */
  static start(
    command: readonly string[],
    options: { cwd: string; environment: Record<string, string> },
  ): Terminal {
    // Whatever runs the tests, this one is for people.
    const env = { ...process.env, TERM: 'xterm', CI: '', ...options.environment }
    return new Terminal(
      spawn('python3', ['-c', BRIDGE, ...command], {
        cwd: options.cwd,
        env,
        stdio: ['pipe', 'pipe', 'pipe'],
      }),
    )
  }

  /** All that was ever shown, without colours and cursor movements. */
  get text(): string {
    return stripVTControlCharacters(this.#text)
  }

  /** Types once this is shown, behind what was shown for the last call. */
  async type(after: string, keys: string): Promise<void> {
    const from = this.#seen
    await expect.poll(() => this.text.slice(from), { timeout: 60_000, interval: 50 }).toContain(after)
    this.#seen = this.text.length
    this.#child.stdin?.write(keys)
  }

  /** The exit code. */
  async ended(): Promise<number> {
    return await this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}
