import { availableParallelism } from 'node:os'
import type { Command } from 'commander'
import type { Need } from '../config/checks.ts'
import type { Config } from '../config/schema.ts'
import { EXIT, OperatorError, StoppedError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import { observeAll } from '../core/observer.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { isOfTrials, type KindName, type TrialKindName } from '../kinds/names.ts'
import type { RunningProcess } from '../processes/running-process.ts'
import type { OptHubAccess } from '../app/options.ts'
import { needOfOptHub } from '../matches/choose-source.ts'
import type { Session } from './io.ts'
import {
  addLoginFlags,
  askForRunner,
  givenProcessName,
  isAccountGiven,
  type LoginFlags,
} from './login-prompts.ts'
import { releaseTerminal } from './typed-lines.ts'
import {
  addConfigFlags,
  addLocalFlag,
  loadSettings,
  warningFields,
  type SettingFlags,
  type Settings,
} from './settings.ts'

export interface RunFlags extends SettingFlags, LoginFlags {
  drainQueue?: true
  json?: true
}

/** Defines the verb of a kind that judges trials: flags, and an action that works its queue. */
export function defineRunner(kind: TrialKindName, command: Command, session: Session): void {
  command.argument('[command...]', "takes the place of the image's own command (or OPTHUB_COMMAND)")
  addWorkFlags(addLoginFlags(addPlaceFlags(command))).action(async (words: string[]) => {
    await runKind(kind, words, command.opts<RunFlags>(), session)
  })
}

/** Adds the flags that say where a runner's settings and its queue are. */
export function addPlaceFlags(command: Command): Command {
  return addLocalFlag(addConfigFlags(command))
}

/** Adds the flags of every verb that works a queue. */
export function addWorkFlags(command: Command): Command {
  return command
    .option('--process-name <name>', 'shown in logs and on containers (or OPTHUB_PROCESS_NAME)')
    .option('--num <n>', 'end after so many jobs; 0 = never')
    .option('--once', 'end after one job')
    .option('--drain-queue', 'end when the queue stays empty for one whole poll')
    .option('--concurrency <n>', 'jobs at a time, or auto for one per CPU')
    .option('--log-level <level>', 'DEBUG, INFO, WARNING, ERROR or CRITICAL')
    .option('--shutdown-grace <seconds>', 'what running jobs get after the first signal')
    .option(
      '--metrics-port <port>',
      'serve /metrics, /healthz and /readyz there; a port of loopback, or host:port',
    )
    .option('--no-rm', 'keep containers after their job')
    .option('--json', 'log JSON lines even on a terminal')
    .addHelpText('after', SIGNAL_HELP)
}

const SIGNAL_HELP = `
Stopping: the first Ctrl-C (or SIGTERM) takes no new jobs and lets running ones end; the second kills their containers
and puts their messages back; the third ends at once.

Exit codes: 0 drained, 1 could not start, 2 wrong arguments, 69 unavailable, 78 wrong settings, 128+n ended by signal n.`

/** Works the queue of a kind until it is drained or stopped; sets the exit code. */
export async function runKind(
  kind: KindName,
  words: string[],
  flags: RunFlags,
  session: Session,
): Promise<void> {
  try {
    session.exitCode = await work(kind, words, flags, session)
  } finally {
    releaseTerminal(session.io)
  }
}

async function work(kind: KindName, words: string[], flags: RunFlags, session: Session): Promise<number> {
  session.json = flags.json === true
  if (flags.once === true && flags.num !== undefined) {
    throw new OperatorError('--once and --num exclude each other', '', 'Use one of them.', EXIT.usage)
  }
  // Wrong words are said before wrong settings.
  givenProcessName(session.io, flags)
  const local = flags.local === true
  const dotEnv = kind === 'fetcher' ? '.env' : undefined
  const settings = await loadSettings(session, flags, (found) => needsOf(kind, found, local), dotEnv)
  const { config, warnings, dataDir, keys } = settings
  const { processName, optHub } = await identify(kind, settings, flags, session)
  // It is held from the start where questions were possible; from here on its keys are signals again.
  releaseTerminal(session.io)

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
  let metrics: RunnerMetrics | undefined
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
    metrics = await openMetrics(kind, processName, config, log)
    const observers = [observer, running, metrics?.observer].filter((each) => each !== undefined)
    await runRunner({
      kind,
      config,
      command: commandOf(words, session),
      processName,
      local,
      dataDir,
      keys,
      environment: session.io.environment,
      drainQueue: flags.drainQueue === true,
      num: config.num,
      concurrency: config.concurrency,
      ...(optHub === undefined ? {} : { optHub }),
      stop,
      log: running.watch(log),
      ...(metrics === undefined ? {} : { onModels: metrics.watchModels }),
      observer: observeAll(observers),
    })
    return signals.forcedExitCode() ?? EXIT.drained
  } catch (error) {
    if (!(error instanceof StoppedError)) throw error
    // A drain cuts nothing but the start, where no job was taken yet.
    return signals.forcedExitCode() ?? EXIT.drained
  } finally {
    await metrics?.close()
    await running?.close()
    signals.dispose()
    view.close()
  }
}

interface RunnerMetrics extends Pick<Metrics, 'observer' | 'watchModels'> {
  close(): Promise<void>
}

/** Serves the figures of this process where the config asks for it. */
async function openMetrics(
  kind: KindName,
  processName: string,
  { metrics_port: address, concurrency }: Config,
  log: Logger,
): Promise<RunnerMetrics | undefined> {
  if (address === undefined) return undefined
  const [{ createMetrics }, { serveMetrics }] = await Promise.all([
    import('../metrics/metrics.ts'),
    import('../metrics/serve.ts'),
  ])
  const slots = concurrency === 'auto' ? availableParallelism() : concurrency
  const metrics = createMetrics({ kind, processName, slots })
  const served = await serveMetrics(metrics, address)
  log.info('Metrics are served', { url: served.url })
  return { ...metrics, close: () => served.close() }
}

function needsOf(kind: KindName, config: Config, local: boolean): Need[] {
  if (kind === 'fetcher') return ['fetcher.api_url']
  // OptHub's cloud knows nothing of the queues and the table of this machine.
  if (local) return isOfTrials(kind) ? ['matches'] : []
  const queue: Need = isOfTrials(kind)
    ? `${kind}_queue_url`
    : kind === 'inference'
      ? 'inference.queue_url'
      : 'code_exec.queue_url'
  const needs: Need[] = [queue, 'table_name', 'region_name']
  if (kind === 'evaluator' && config.forward) needs.push('scorer_queue_url')
  return needs
}

/** What the process is called, and who it is to OptHub where matches come from there. */
async function identify(
  kind: KindName,
  { config, dataDir }: Settings,
  flags: RunFlags,
  session: Session,
): Promise<{ processName: string; optHub?: OptHubAccess }> {
  const { io } = session
  const need = flags.local === true || !isOfTrials(kind) ? 'none' : needOfOptHub(Object.keys(config.matches))
  if (need === 'none')
    return { processName: givenProcessName(io, flags) ?? defaultProcessName(kind, session) }
  const [{ endpointsOf }, { createLoginStore }] = await Promise.all([
    import('./opthub.ts'),
    import('../matches/opthub/token-store.ts'),
  ])
  const endpoints = endpointsOf(config, flags)
  const stored = (await createLoginStore({ dataDir, endpoints }).peek())?.username
  if (need === 'possible' && stored === undefined && !isAccountGiven(io, flags)) {
    return { processName: givenProcessName(io, flags) ?? defaultProcessName(kind, session) }
  }
  const { processName, account } = await askForRunner({ io, flags, stored })
  if (account !== 'stored') session.secrets = [...session.secrets, account.password]
  return { processName, optHub: { endpoints, account } }
}

function defaultProcessName(kind: KindName, { io }: Session): string {
  return `${kind}-${io.hostname}-${io.pid}`
}

/** The words of the command line, else those of OPTHUB_COMMAND, which knows no quotes; none = the image's own. */
function commandOf(words: readonly string[], { io }: Session): readonly string[] | undefined {
  if (words.length > 0) return words
  const fromEnvironment = (io.environment['OPTHUB_COMMAND'] ?? '').split(/\s+/).filter((word) => word !== '')
  return fromEnvironment.length > 0 ? fromEnvironment : undefined
}
