import { hostname } from 'node:os'
import { basename } from 'node:path'
import { createSession, type Io, type Session, type StopSignal } from './io.ts'
import { fromOldArguments } from './old-arguments.ts'
import { runProgram } from './program.ts'

const SIGNALS: readonly StopSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** Runs the program with the arguments behind its name; says the exit code. Shows every error itself. */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  return await runSession(argv, createSession(io))
}

async function runSession(argv: readonly string[], session: Session): Promise<number> {
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
  // With what is secret in it, also for errors that nobody has caught.
  const session = createSession(io)
  surviveClosedOutputs()
  process.on('uncaughtException', (error) => {
    void show(error, session).then(end)
  })
  const [, name = '', ...argv] = process.argv
  const isOld = basename(name, '.js') === 'opthub-runner-start'
  const args = isOld ? fromOldArguments(argv) : argv
  // What is typed while the program loads must be neither shown nor lost.
  if (MAY_ASK.has(args[0] ?? '')) (await import('./typed-lines.ts')).holdTerminal(args, io)
  await end(await runSession(args, session))
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
    environment: takeEnvironment(),
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

/** The environment; what is meant for us alone, the password too, stays in it for no report that Node may write. */
function takeEnvironment(): Io['environment'] {
  const environment = { ...process.env }
  for (const name of Object.keys(environment)) {
    if (name.startsWith('OPTHUB_')) Reflect.deleteProperty(process.env, name)
  }
  return environment
}

/** Who reads our results may leave early (`… | head`); who watches a runner may hang up. Neither is an error. */
function surviveClosedOutputs(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // A verb that listens, too, has something to clean up first.
    if (process.stdout.listenerCount('error') === 1) process.exit(error.code === 'EPIPE' ? 0 : 1)
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
