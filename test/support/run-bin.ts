import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const BIN = resolve(import.meta.dirname, '../../bin/opthub-runner.js')

/** A run of the built binary, in a folder and with a data folder of its own. */
export interface Run {
  child: ChildProcess
  /** What it has written so far. */
  stdout(): string
  stderr(): string
  /** Log records so far, of those lines on stderr that are JSON. */
  records(): Record<string, unknown>[]
  /** Resolves with the exit code, or the signal's name. */
  ended: Promise<number | string>
}

/** A folder with a config file, in which the binary runs with its own data folder. */
export class Workplace implements AsyncDisposable {
  readonly folder: string
  readonly #runs: Run[] = []

  private constructor(folder: string) {
    this.folder = folder
  }

  static async create(config = ''): Promise<Workplace> {
    const folder = await mkdtemp(join(tmpdir(), 'opthub-runner-e2e-'))
    await writeFile(join(folder, 'config.yml'), config, { mode: 0o600 })
    return new Workplace(folder)
  }

  /** Starts `opthub-runner <args>`. */
  start(args: readonly string[], environment: Record<string, string> = {}): Run {
    const child = spawn(process.execPath, [BIN, ...args], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, OPTHUB_RUNNER_HOME: join(this.folder, 'home'), NO_COLOR: '1', ...environment },
    })
    let out = ''
    let err = ''
    child.stdout.on('data', (data: Buffer) => (out += data.toString()))
    child.stderr.on('data', (data: Buffer) => (err += data.toString()))
    const run: Run = {
      child,
      stdout: () => out,
      stderr: () => err,
      records: () =>
        err
          .split('\n')
          .filter((line) => line.startsWith('{') && line.endsWith('}'))
          .map((line) => JSON.parse(line) as Record<string, unknown>),
      ended: once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string),
    }
    this.#runs.push(run)
    return run
  }

  /** Runs to the end; throws with the output when the exit code is another than 0. */
  async run(args: readonly string[], environment: Record<string, string> = {}): Promise<string> {
    const run = this.start(args, environment)
    const code = await run.ended
    if (code !== 0)
      throw new Error(`${args.join(' ')} ended with ${String(code)}\n${run.stdout()}\n${run.stderr()}`)
    return run.stdout()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child } of this.#runs) if (child.exitCode === null) child.kill('SIGKILL')
    await Promise.all(this.#runs.map((run) => run.ended))
    // What it has started may still write something for a moment.
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
  }
}
