import { hostname } from 'node:os'
import { basename } from 'node:path'
import { createSession, type Io, type Session, type StopSignal } from './io.ts'
import { fromOldArguments } from './old-arguments.ts'
import { runProgram } from './program.ts'

const SIGNALS: readonly StopSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** Runs the program with the arguments behind its name; says the exit code. Shows every error itself. */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  const session = createSession(io)
  try {
    await runProgram(argv, session)
    return session.exitCode
  } catch (error) {
    return show(error, session)
  }
}

/** Verbs that may ask for a name or a password. */
const MAY_ASK = new Set(['login', 'evaluator', 'scorer'])

/** The process's own entry: the only place that ends it. */
export async function start(): Promise<void> {
  const io = processIo()
  surviveClosedOutputs()
  process.on('uncaughtException', (error) => {
    void show(error, createSession(io)).then(end)
  })
  const [, name = '', ...argv] = process.argv
  const isOld = basename(name, '.js') === 'opthub-runner-start'
  const args = isOld ? fromOldArguments(argv) : argv
  // What is typed while the program loads must be neither shown nor lost.
  if (MAY_ASK.has(args[0] ?? '')) (await import('./typed-lines.ts')).holdTerminal(args, io)
  await end(await main(args, io))
}

async function show(error: unknown, session: Session): Promise<number> {
  const { presentError } = await import('./present.ts')
  return presentError(error, session)
}

async function end(code: number): Promise<void> {
  await Promise.all([flushed(process.stdout), flushed(process.stderr)])
  process.exit(code)
}

function processIo(): Io {
  return {
    // Only asked for when it is read: opening it costs a tenth of what `--version` takes.
    get stdin() {
      return process.stdin
    },
    stdout: process.stdout,
    stderr: process.stderr,
    environment: process.env,
    platform: process.platform,
    pid: process.pid,
    hostname: hostname(),
    onSignal(listener) {
      for (const signal of SIGNALS) process.on(signal, listener)
      return () => {
        for (const signal of SIGNALS) process.off(signal, listener)
      }
    },
    kill: (pid, signal) => {
      process.kill(pid, signal)
    },
    exit: (code) => {
      process.exit(code)
    },
  }
}

/** Who reads our results may leave early (`… | head`); who watches a runner may hang up. Neither is an error. */
function surviveClosedOutputs(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1)
  })
  process.stderr.on('error', () => undefined)
}

/** Resolves when all that was written is out, or can't be. */
async function flushed(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.writableLength === 0 || stream.destroyed) return
  await new Promise<void>((resolve) => {
    stream.write('', () => {
      resolve()
    })
    stream.once('error', () => {
      resolve()
    })
  })
}
