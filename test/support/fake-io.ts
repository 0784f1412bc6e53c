import { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import { main } from '../../src/cli/main.ts'
import type { Io, Output, StopSignal } from '../../src/cli/io.ts'

/** An output that keeps what is written to it; a terminal when it has columns. */
export class FakeOutput extends EventEmitter implements Output {
  text = ''
  columns: number | undefined
  rows: number | undefined
  isTTY: boolean

  constructor(columns?: number, rows?: number) {
    super()
    this.columns = columns
    this.rows = rows
    this.isTTY = columns !== undefined
  }

  write(data: string | Uint8Array, written?: () => void): boolean {
    this.text += typeof data === 'string' ? data : Buffer.from(data).toString()
    if (written !== undefined) setImmediate(written)
    return true
  }
}

/** What the program may touch, kept in memory; signals are sent by `signal`. */
export class FakeIo implements Io {
  readonly stdin: Io['stdin']
  readonly stdout: FakeOutput
  readonly stderr: FakeOutput
  readonly environment: Record<string, string | undefined>
  readonly platform = 'linux'
  readonly pid = 4711
  readonly hostname = 'host'
  /** Codes with which the process was to end at once. */
  readonly exits: number[] = []
  readonly #signals = new EventEmitter()

  constructor(
    options: { stdin?: string; columns?: number; environment?: Record<string, string | undefined> } = {},
  ) {
    this.stdin = Readable.from(options.stdin === undefined ? [] : [Buffer.from(options.stdin)])
    this.stdout = new FakeOutput(options.columns)
    this.stderr = new FakeOutput(options.columns)
    this.environment = options.environment ?? {}
  }

  onSignal(listener: (signal: StopSignal) => void): () => void {
    this.#signals.on('signal', listener)
    return () => this.#signals.off('signal', listener)
  }

  signal(signal: StopSignal): void {
    this.#signals.emit('signal', signal)
  }

  kill(pid: number, signal: 'SIGTERM' | 0): void {
    process.kill(pid, signal)
  }

  exit(code: number): void {
    this.exits.push(code)
  }
}

/** Runs the program in this process. */
export async function runMain(
  argv: readonly string[],
  options: ConstructorParameters<typeof FakeIo>[0] = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const io = new FakeIo(options)
  const code = await main(argv, io)
  return { code, stdout: io.stdout.text, stderr: io.stderr.text }
}
