import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import http from 'node:http'
import { platform } from 'node:os'
import { Duplex } from 'node:stream'
import type { Environment } from './docker-config.ts'

/** An engine behind `ssh`. */
export interface SshTarget {
  /** A name that ssh knows, by its own config or otherwise. */
  host: string
  user?: string
  port?: number
  /** The engine's socket over there; left out = where the docker command there finds it. */
  socketPath?: string
  /** Environment of the ssh process: PATH, HOME, SSH_AUTH_SOCK … */
  environment: Environment
}

/** ssh could not be started, did not get in, or ended with a complaint. */
export class SshError extends Error {
  override readonly name = 'SshError'
}

/** Every connection is a process of its own: `ssh … docker system dial-stdio`, as the docker CLI has it. */
export class SshAgent extends http.Agent {
  readonly #target: SshTarget

  constructor(target: SshTarget, options: http.AgentOptions) {
    super(options)
    this.#target = target
  }

  override createConnection(): Duplex {
    return new SshConnection(this.#target)
  }
}

/** The arguments of `ssh`. It never asks for anything: there may be nobody to answer. */
export function sshArguments({ host, user, port, socketPath }: SshTarget): string[] {
  return [
    ...['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=30', '-o', 'ServerAliveInterval=30', '-T'],
    ...(user === undefined ? [] : ['-l', user]),
    ...(port === undefined ? [] : ['-p', String(port)]),
    '--',
    host,
    'docker',
    // A shell over there reads this.
    ...(socketPath === undefined ? [] : ['--host', quote(`unix://${socketPath}`)]),
    'system',
    'dial-stdio',
  ]
}

/** What stays of the end of the child's stderr. */
const STDERR_CHARS = 2000
/** Stderr that has not come so long after the end is held open by somebody else (a shared connection's master). */
const LAST_WORDS_MS = 500
const KILL_AFTER_MS = 3000

/** What node waits for before it ends by itself: a child, and its pipes, whose types don't say so. */
interface Counted {
  ref(): unknown
  unref(): unknown
}

/** The two ends of a child as one stream, with as much of net.Socket as node:http and task.ts ask of it. */
class SshConnection extends Duplex {
  readonly #child: ChildProcessWithoutNullStreams
  #stderr = ''
  #timeoutMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(target: SshTarget) {
    super({ allowHalfOpen: false })
    const child = spawn('ssh', sshArguments(target), {
      env: target.environment,
      stdio: 'pipe',
      windowsHide: true,
      // A session of its own: Ctrl-C is for us, and containers must still be removed after it.
      detached: platform() !== 'win32',
    })
    this.#child = child
    child.stdout.on('data', (data: Buffer) => {
      this.#timer?.refresh()
      if (!this.push(data)) child.stdout.pause()
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARS)
    })
    // How it ended says more than a broken pipe.
    child.stdin.on('error', () => child.kill())
    child.stdout.on('error', () => child.kill())
    child.once('error', (error) => {
      this.destroy(new SshError(`ssh could not be started: ${error.message}`, { cause: error }))
    })
    void this.#awaitEnd()
  }

  override _read(): void {
    this.#child.stdout.resume()
  }

  override _write(data: Uint8Array, _encoding: string, done: () => void): void {
    this.#timer?.refresh()
    this.#child.stdin.write(data, () => {
      this.#timer?.refresh()
      done()
    })
  }

  override _final(done: () => void): void {
    this.#child.stdin.end(() => {
      done()
    })
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#timer)
    const child = this.#child
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy()
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS).unref()
      child.once('exit', () => {
        clearTimeout(timer)
      })
      child.unref()
    }
    done(error)
  }

  /** As net.Socket has it: `timeout` after so long without a byte; 0 = never. */
  setTimeout(ms: number, listener?: () => void): this {
    clearTimeout(this.#timer)
    this.#timer = ms > 0 ? setTimeout(() => this.emit('timeout'), ms).unref() : undefined
    this.#timeoutMs = ms
    if (listener !== undefined && ms > 0) this.once('timeout', listener)
    return this
  }

  get timeout(): number {
    return this.#timeoutMs
  }

  setKeepAlive(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  /** Keeps the process from ending, as a connection in use does. */
  ref(): this {
    for (const handle of this.#handles()) handle.ref()
    return this
  }

  unref(): this {
    for (const handle of this.#handles()) handle.unref()
    return this
  }

  #handles(): Counted[] {
    const { stdin, stdout, stderr } = this.#child
    return [this.#child, ...([stdin, stdout, stderr] as unknown[] as Counted[])]
  }

  async #awaitEnd(): Promise<void> {
    const child = this.#child
    const stderrEnd = ended(child.stderr)
    const exit = new Promise<string | undefined>((resolve) => {
      child.once('exit', (code, signal) => {
        resolve(code === 0 ? undefined : signal === null ? `exit code ${String(code)}` : signal)
      })
    })
    const [complaint] = await Promise.all([exit, ended(child.stdout)])
    if (this.destroyed) return
    if (complaint === undefined) {
      this.push(null)
      return
    }
    const timer = new Promise((resolve) => setTimeout(resolve, LAST_WORDS_MS).unref())
    await Promise.race([stderrEnd, timer])
    this.destroy(new SshError(this.#stderr.trim() || `ssh ended with ${complaint}`))
  }
}

async function ended(stream: NodeJS.ReadableStream): Promise<void> {
  await new Promise<void>((resolve) => {
    stream.once('end', resolve)
    stream.once('close', resolve)
  })
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
