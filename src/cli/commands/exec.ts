import type { Command } from 'commander'
import { EXIT, messageOf, OperatorError, RetryableError, UnfitError } from '../../core/errors.ts'
import { createLogger, type Logger } from '../../core/log.ts'
import { ImageError } from '../../executors/executor.ts'
import type { ImageResult } from '../../image-runner.ts'
import type { ExecFlags } from '../exec-flags.ts'
import { writer, type Session } from '../io.ts'

/** The verb `exec`. */
export function define(command: Command, session: Session): void {
  const each = (value: string, others: string[] = []): string[] => [...others, value]
  command
    .argument('<image>', 'the image')
    .argument('[args...]', "arguments, in place of the image's own command")
    // What follows the image is the program's, whatever it looks like.
    .passThroughOptions()
    .option(
      '--mount <src[:dst][:ro]>',
      'a file or folder that it sees, at the same path or at dst; may come often',
      each,
    )
    .option(
      '--workdir <path>',
      "its working folder (default: the current one, if that is mounted, else the image's)",
    )
    .option('--user <uid[:gid]>', 'who it runs as (default: you)')
    .option(
      '--env <name[=value]>',
      'an environment variable; without a value the one from here; may come often',
      each,
    )
    .option('--gpus <n>', 'how many GPUs, all, or their UUIDs')
    .option('--timeout <seconds>', 'kill it after so long, with exit code 124')
    .option('--cpus <n>', 'CPU cores, fractions allowed')
    .option('--memory <size>', 'memory and swap together, such as 2g')
    .option('--pids <n>', 'most processes and threads')
    .option('--shm-size <size>', 'size of /dev/shm')
    .option('--network <network>', 'default, or none')
    .option('--read-only', 'nothing in the image can be written')
    .option('--tmpfs <path[:options]>', 'a folder in memory, such as /tmp:size=64m; may come often', each)
    .option('--ulimit <name=n>', 'a limit, such as nofile=1024; may come often', each)
    .option('--runtime <name>', 'OCI runtime, such as runsc')
    .option('--platform <platform>', 'such as linux/amd64')
    .option('--pull <policy>', 'always, if-not-present (default) or never')
    .option('--no-rm', 'keep the container')
    .action(async (image: string, args: string[]) => {
      await execute(image, args[0] === '--' ? args.slice(1) : args, command.opts<ExecFlags>(), session)
    })
}

/** As `timeout` and shells have it. */
const TIMED_OUT = 124
const NOT_STARTABLE = 126

async function execute(image: string, args: string[], flags: ExecFlags, session: Session): Promise<void> {
  const { io } = session
  const [{ createImageRunner }, { readExecFlags }, { watchCall }] = await Promise.all([
    import('../../image-runner.ts'),
    import('../exec-flags.ts'),
    import('../signals.ts'),
  ])
  const call = readExecFlags(flags, io.environment)
  const { log, written } = createLateLog(session)
  const runner = createImageRunner({ environment: io.environment, log })
  const watch = watchCall(io)
  try {
    const result = await runner.run({
      ...call,
      image,
      args,
      input: readStdin(session),
      onStdout: writer(io.stdout),
      onStderr: writer(io.stderr),
      signal: watch.signal,
    })
    session.exitCode = exitCodeFor(result, flags)
  } catch (error) {
    const endedBy = watch.exitCode()
    if (endedBy === undefined) throw explain(error, image)
    session.exitCode = endedBy
  } finally {
    watch.dispose()
    await runner.close()
    await written()
  }
}

/** A log that costs nothing as long as nothing is logged, which is the rule. */
function createLateLog(session: Session): { log: Logger; written: () => Promise<void> } {
  let writing = Promise.resolve()
  const log = createLogger(
    (record) => {
      writing = writing.then(async () => {
        const { plainSink } = await import('../logging.ts')
        plainSink(session)(record)
      })
    },
    session.debug ? 'DEBUG' : 'INFO',
  )
  return { log, written: () => writing }
}

/** The program's own exit code; OperatorError when it did not end by itself. */
function exitCodeFor({ verdict, exitCode }: ImageResult, flags: ExecFlags): number {
  switch (verdict) {
    case 'exited':
      return exitCode
    case 'timeout':
      throw new OperatorError(
        `The program worked longer than ${flags.timeout ?? ''} s and was killed`,
        '',
        'Give it more time by --timeout.',
        TIMED_OUT,
      )
    case 'out_of_memory':
      throw new OperatorError(
        'The program was killed because memory ran out',
        flags.memory === undefined ? '' : `it had ${flags.memory}`,
        'Give it more by --memory, or use less.',
        exitCode,
      )
    case 'killed':
      throw new OperatorError(
        'The container was stopped by somebody else, or Docker stops',
        '',
        'Call it again.',
        exitCode,
      )
  }
}

function explain(error: unknown, image: string): unknown {
  if (error instanceof UnfitError) {
    const hint = 'Ask for less, or call it on another machine.'
    return new OperatorError("This machine can't run it", error.message, hint, EXIT.unavailable, {
      cause: error,
    })
  }
  if (error instanceof RetryableError && error.surrounding === 'registry') {
    const what = `Image ${image} is not on this machine, and its registry can't be asked`
    const hint = 'Check its name, the network and `docker login`; or build it here.'
    return new OperatorError(what, error.message, hint, EXIT.unavailable, { cause: error })
  }
  if (!(error instanceof ImageError)) return error
  const tell = (hint: string, exitCode: number): OperatorError =>
    new OperatorError(`Image ${image} can't be run`, error.message, hint, exitCode, { cause: error })
  switch (error.reason) {
    case 'not_found':
      return tell(
        'Is the name right? Build it (`docker build --tag NAME .`), or `docker pull NAME` must work.',
        EXIT.unavailable,
      )
    case 'denied':
      return tell('Log in by `docker login`, if the name is right.', EXIT.unavailable)
    case 'invalid_reference':
      return tell('Write it as registry/name:tag.', EXIT.usage)
    case 'platform_mismatch':
      return tell(
        'Build it for this machine, or name another by --platform if it can be emulated.',
        EXIT.unavailable,
      )
    case 'not_allowed':
    case 'not_startable':
      return tell(
        "Arguments take the place of the image's command: is the first one a program in the image? Do the limits make sense?",
        NOT_STARTABLE,
      )
  }
}

async function* readStdin({ io }: Session): AsyncGenerator<Uint8Array> {
  try {
    for await (const data of io.stdin as AsyncIterable<Uint8Array>) yield data
  } catch (error) {
    const hint = 'Give it a file, a pipe or /dev/null.'
    throw new OperatorError("Standard input can't be read", messageOf(error), hint, EXIT.usage, {
      cause: error,
    })
  }
}
