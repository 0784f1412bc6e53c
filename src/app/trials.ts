import type { Cleanup } from '../core/cleanup.ts'
import type { Probe } from '../core/breaker.ts'
import { systemClock } from '../core/clock.ts'
import type { WorkerKind } from '../core/worker.ts'
import type { Executor } from '../executors/executor.ts'
import type { TrialKind, TrialKindName } from '../kinds/index.ts'
import { chooseSource } from '../matches/choose-source.ts'
import type { MatchInputs } from '../kinds/match-inputs.ts'
import type { MatchSource } from '../matches/matches.ts'
import type { Trial } from '../records/keys.ts'
import type { RunnerOptions } from './options.ts'
import { kindSettings, localMatches } from './settings.ts'
import type { RunnerTable } from './table.ts'

/** Where trials find their images. */
export interface Matches {
  source: MatchSource
  probe: Probe
  /** Whether there is a login to look matches up with; asks nobody while its token is good. */
  assertLogin: Probe
}

/** The matches of the config, and OptHub's where somebody is logged in there. */
export async function connectMatches(
  kind: TrialKindName,
  { config, dataDir, optHub, stop, log }: RunnerOptions,
  cleanup: Cleanup,
): Promise<Matches> {
  const { createLocalMatchSource } = await import('../matches/local/local-matches.ts')
  const configured = createLocalMatchSource(localMatches(config))
  if (optHub === undefined) {
    const fine = (): Promise<void> => Promise.resolve()
    return { source: configured, probe: fine, assertLogin: fine }
  }
  const { connectOptHub } = await import('../matches/opthub/opthub.ts')
  const role = kind === 'evaluator' ? 'problem' : 'indicator'
  const remote = await connectOptHub(
    { ...optHub, role, ttlSeconds: config.match_ttl, dataDir, log },
    stop.drain,
  )
  cleanup.defer('OptHub', () => remote.close())
  log.info('Logged in to OptHub', { username: remote.username })
  return {
    source: chooseSource(Object.keys(config.matches), configured, remote.source),
    probe: (signal) => remote.probe(signal),
    // Matches of the config need no login, and may be all that come.
    assertLogin: (signal) =>
      Object.keys(config.matches).length > 0 ? Promise.resolve() : remote.assertLogin(signal),
  }
}

/** What evaluates or scores trials, by what has been connected for it. */
export async function createTrialKind(
  name: TrialKindName,
  { table, executor, matches }: { table: RunnerTable; executor: Executor; matches: MatchSource },
  options: RunnerOptions,
  cleanup: Cleanup,
): Promise<WorkerKind<Trial, unknown, unknown>> {
  const { TRIAL_KINDS } = await import('../kinds/index.ts')
  const { parseMessage, create }: TrialKind = TRIAL_KINDS[name]
  const forwards = name === 'evaluator' && options.config.forward && !table.reactive
  const scorerQueue = forwards ? table.queue('scorer') : undefined
  const handler = create({
    store: table.store,
    executor,
    matches,
    clock: systemClock,
    settings: kindSettings(options),
    inputs: await matchInputs(table, options, cleanup),
    ...(scorerQueue === undefined ? {} : { forward: (body) => scorerQueue.send(body) }),
  })
  return { name, parseMessage, handler }
}

async function matchInputs(
  { s3 }: RunnerTable,
  { config }: RunnerOptions,
  cleanup: Cleanup,
): Promise<MatchInputs> {
  const [{ openFiles }, { MatchInputs: Inputs }] = await Promise.all([
    import('./files.ts'),
    import('../kinds/match-inputs.ts'),
  ])
  const files = openFiles({ s3, filesRoot: config.files_root })
  cleanup.defer('files', () => {
    files.close()
  })
  const inputs = new Inputs(files)
  cleanup.defer('files of matches', () => inputs.close())
  return inputs
}
