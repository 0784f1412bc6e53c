import type { Command } from 'commander'
import { EXIT, OperatorError } from '../../core/errors.ts'
import type { Leftover } from '../../executors/docker/leftovers.ts'
import type { Session } from '../io.ts'
import { addConfigFlags, loadSettings, type SettingFlags } from '../settings.ts'

interface PruneFlags extends SettingFlags {
  all?: true
  yes?: true
  json?: true
}

/** The verb `prune`. */
export function define(command: Command, session: Session): void {
  addConfigFlags(command)
    .option('--all', 'also containers of runners that live: their jobs are cut off, and tried again')
    .option('--yes', 'do not ask')
    .option('--json', 'print one JSON object')
    .addHelpText('after', HELP)
    .action(async () => {
      await runPrune(command.opts<PruneFlags>(), session)
    })
}

const HELP = `
Removes containers whose runner is dead (those that rm: false has kept, too), images that runners have pulled and no
container uses, and images that runners have made. What will be removed is shown first. Results, logins and settings stay,
and nothing goes that is not of this program.`

async function runPrune(flags: PruneFlags, session: Session): Promise<void> {
  session.json = flags.json === true
  const { io } = session
  const { config, dataDir } = await loadSettings(session, flags, () => [])
  const [{ connectEngine }, { findLeftovers, removeLeftover }, { systemClock }, { createPlainLog }, text] =
    await Promise.all([
      import('../../executors/docker/api/connect.ts'),
      import('../../executors/docker/leftovers.ts'),
      import('../../core/clock.ts'),
      import('../logging.ts'),
      import('../prune-text.ts'),
    ])
  // Ctrl-C ends this program as it ends any other: each thing is removed in one step.
  const { signal } = new AbortController()
  const engine = await connectEngine({ host: config.docker.host, environment: io.environment, signal })
  try {
    const log = createPlainLog(session, session.debug ? 'DEBUG' : 'WARNING')
    const found = await findLeftovers(engine, {
      dataDir,
      all: flags.all === true,
      clock: systemClock,
      log,
      signal,
    })
    if (found.length > 0) {
      if (flags.json !== true) io.stderr.write(`${text.describeLeftovers(found)}\n`)
      if (flags.yes !== true && !(await isConfirmed(found, session))) return
    }
    const outcomes = []
    for (const leftover of found) outcomes.push({ leftover, outcome: await removeLeftover(leftover) })
    io.stdout.write(`${flags.json === true ? text.outcomeJson(outcomes) : text.describeOutcomes(outcomes)}\n`)
    if (outcomes.some(({ outcome }) => outcome !== true)) session.exitCode = EXIT.failedStart
  } finally {
    engine.close()
  }
}

async function isConfirmed(found: readonly Leftover[], { io }: Session): Promise<boolean> {
  const { canAsk, openTypedLines } = await import('../typed-lines.ts')
  if (!canAsk(io)) {
    const what = 'Nothing was removed: there is no terminal to ask at'
    throw new OperatorError(what, '', 'Add --yes to go ahead.', EXIT.usage)
  }
  const lines = openTypedLines(io)
  try {
    const typed = await lines.ask(`Remove ${found.length === 1 ? 'it' : `these ${found.length}`}? [y/N] `)
    if (/^\s*y(?:es)?\s*$/i.test(typed ?? '')) return true
    io.stderr.write('Nothing was removed.\n')
    return false
  } finally {
    lines.release()
  }
}
