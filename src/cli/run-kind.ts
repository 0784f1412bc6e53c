import type { Command } from 'commander'
import type { Need } from '../config/checks.ts'
import type { Config } from '../config/schema.ts'
import { EXIT, OperatorError, StoppedError } from '../core/errors.ts'
import { observeAll } from '../core/observer.ts'
import type { KindName } from '../kinds/index.ts'
import type { RunningProcess } from '../processes/running-process.ts'
import type { Session } from './io.ts'
import { addConfigFlags, addLocalFlag, loadSettings, warningFields, type SettingFlags } from './settings.ts'

interface RunFlags extends SettingFlags {
  processName?: string
  drainQueue?: true
  json?: true
}

/** Defines the verb of a kind of jobs: flags, and an action that works its queue. */
export function defineRunner(kind: KindName, command: Command, session: Session): void {
  command.argument('[command...]', "takes the place of the image's own command (or OPTHUB_COMMAND)")
  addLocalFlag(addConfigFlags(command))
    .option('--process-name <name>', 'shown in logs and on containers (or OPTHUB_PROCESS_NAME)')
    .option('--num <n>', 'end after so many jobs; 0 = never')
    .option('--once', 'end after one job')
    .option('--drain-queue', 'end when the queue stays empty for one whole poll')
    .option('--concurrency <n>', 'jobs at a time, or auto for one per CPU')
    .option('--log-level <level>', 'DEBUG, INFO, WARNING, ERROR or CRITICAL')
    .option('--shutdown-grace <seconds>', 'what running jobs get after the first signal')
    .option('--no-rm', 'keep containers after their job')
    .option('--json', 'log JSON lines even on a terminal')
    .addHelpText('after', SIGNAL_HELP)
    .action(async (words: string[]) => {
      session.exitCode = await runKind(kind, words, command.opts<RunFlags>(), session)
    })
}

const SIGNAL_HELP = `
Stopping: the first Ctrl-C (or SIGTERM) takes no new jobs and lets running ones end; the second kills their containers
and puts their messages back; the third ends at once.

Exit codes: 0 drained, 1 could not start, 2 wrong arguments, 69 unavailable, 78 wrong settings, 128+n ended by signal n.`

async function runKind(kind: KindName, words: string[], flags: RunFlags, session: Session): Promise<number> {
  session.json = flags.json === true
  if (flags.once === true && flags.num !== undefined) {
    throw new OperatorError('--once and --num exclude each other', '', 'Use one of them.', EXIT.usage)
  }
  const processName = readProcessName(kind, flags, session)
  const local = flags.local === true
  const { config, warnings, dataDir } = await loadSettings(session, flags, (found) =>
    needsOf(kind, found, local),
  )

  const [{ runRunner }, { openProcess }, { createStop }, { watchSignals }, { openRunnerLog }] =
    await Promise.all([
      import('../app.ts'),
      import('../processes/open-process.ts'),
      import('../core/stop.ts'),
      import('./signals.ts'),
      import('./logging.ts'),
    ])
  const view = openRunnerLog(session, config)
  const { log, observer } = view
  const stop = createStop({ graceMs: config.shutdown_grace * 1000 })
  const signals = watchSignals(session.io, stop, log)
  let running: RunningProcess | undefined
  try {
    for (const warning of warnings) log.warn('Doubtful setting', warningFields(warning))
    running = await openProcess({
      dataDir,
      name: processName,
      kind,
      force: config.force,
      host: session.io,
      log,
      signal: stop.drain,
      stop,
      secrets: session.secrets,
    })
    await runRunner({
      kind,
      config,
      command: commandOf(words, session),
      processName,
      local,
      dataDir,
      environment: session.io.environment,
      drainQueue: flags.drainQueue === true,
      num: config.num,
      concurrency: config.concurrency,
      stop,
      log: running.watch(log),
      observer: observer === undefined ? running : observeAll([observer, running]),
    })
    return signals.forcedExitCode() ?? EXIT.drained
  } catch (error) {
    const code = signals.forcedExitCode()
    if (error instanceof StoppedError && code !== undefined) return code
    // Nothing was taken yet while another process was waited for.
    if (error instanceof StoppedError && running === undefined) return EXIT.drained
    throw error
  } finally {
    await running?.close()
    signals.dispose()
    view.close()
  }
}

function needsOf(kind: KindName, config: Config, local: boolean): Need[] {
  if (local) return ['matches']
  const needs: Need[] = [`${kind}_queue_url`, 'table_name', 'region_name', 'matches']
  if (kind === 'evaluator' && config.forward) needs.push('scorer_queue_url')
  return needs
}

/** The words of the command line, else those of OPTHUB_COMMAND, which knows no quotes; none = the image's own. */
function commandOf(words: readonly string[], { io }: Session): readonly string[] | undefined {
  if (words.length > 0) return words
  const fromEnvironment = (io.environment['OPTHUB_COMMAND'] ?? '').split(/\s+/).filter((word) => word !== '')
  return fromEnvironment.length > 0 ? fromEnvironment : undefined
}

function readProcessName(kind: KindName, flags: RunFlags, { io }: Session): string {
  const fromEnvironment = io.environment['OPTHUB_PROCESS_NAME']
  const name = flags.processName ?? (fromEnvironment === '' ? undefined : fromEnvironment)
  if (name === undefined) return `${kind}-${io.hostname}-${io.pid}`
  if (/^\P{Cc}{1,128}$/u.test(name) && name.trim() !== '') return name
  const where = flags.processName === undefined ? 'OPTHUB_PROCESS_NAME' : '--process-name'
  throw new OperatorError(
    `${where}: a process name has 1 to 128 characters, none of them a control character`,
    '',
    'Choose another name.',
    EXIT.usage,
  )
}
