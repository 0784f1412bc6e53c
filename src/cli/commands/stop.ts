import type { Command } from 'commander'
import type { Session } from '../io.ts'

interface StopFlags {
  force?: true
  /** False behind --no-wait. */
  wait?: boolean
}

/** The verb `stop`. */
export function define(command: Command, session: Session): void {
  command
    .argument('<name>', 'the process name, as `opthub-runner status` shows it')
    .option('--force', 'end its running jobs too: containers are killed, messages put back')
    .option('--no-wait', 'ask it to stop and return at once')
    .addHelpText(
      'after',
      '\nRunning jobs may end first, for as long as the shutdown_grace of that process; asking twice does no harm.',
    )
    .action(async (name: string) => {
      await stopNamed(name, command.opts<StopFlags>(), session)
    })
}

async function stopNamed(name: string, flags: StopFlags, { io }: Session): Promise<void> {
  const [{ dataFolder }, { findProcess }, { askToStop, untilEnded }, { systemClock }, { plainText }] =
    await Promise.all([
      import('../../config/paths.ts'),
      import('../../processes/list-processes.ts'),
      import('../../processes/stop-process.ts'),
      import('../../core/clock.ts'),
      import('../text.ts'),
    ])
  const found = await findProcess(dataFolder(io.environment, io.platform), io, name)
  const { record, liveness } = found
  const shown = plainText(name)
  if (liveness === 'dead') {
    io.stdout.write(`${shown} (pid ${record.pid}) had ended without a word before; its entry is removed\n`)
    return
  }
  // Ctrl-C ends this program as it ends any other: nothing is held that had to be given back.
  const options = { host: io, clock: systemClock, signal: new AbortController().signal }
  await askToStop(found, flags.force === true ? 'abort' : 'drain', options)
  if (flags.wait === false) {
    io.stdout.write(`${shown} (pid ${record.pid}) is asked to stop\n`)
    return
  }
  if (flags.force !== true && record.jobs.active > 0) {
    const jobs = `${record.jobs.active} job${record.jobs.active === 1 ? '' : 's'}`
    io.stderr.write(`Waiting for ${jobs} of ${shown} (pid ${record.pid}); --force ends them at once.\n`)
  }
  await untilEnded(found, options)
  io.stdout.write(`${shown} (pid ${record.pid}) has ended\n`)
}
