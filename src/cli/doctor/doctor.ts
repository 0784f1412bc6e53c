import type { Inspector } from '../../app/table.ts'
import { ConfigError, formatProblem, type ConfigProblem, type Environment } from '../../config/problem.ts'
import type { Need } from '../../config/checks.ts'
import type { Config } from '../../config/schema.ts'
import { messageOf } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import type { TrialKindName } from '../../kinds/index.ts'
import type { OptHubEndpoints } from '../../matches/opthub/endpoints.ts'
import { awsChecks } from './aws-checks.ts'
import { engineChecks, findEngine } from './docker-checks.ts'
import { failed, ok, runChecks, unchecked, type Check, type CheckResult, type Finding } from './finding.ts'
import { matchChecks } from './match-checks.ts'

export interface DoctorOptions {
  /** As `process.versions.node`. */
  nodeVersion: string
  environment: Environment
  /** Of this machine. */
  dataDir: string
  local: boolean
  /** Undefined = those whose queue is set. */
  kind: TrialKindName | undefined
  /** A match of OptHub to look at. */
  matchId: string | undefined
  /** Reads the settings; throws ConfigError. */
  load(needs: (config: Config) => readonly Need[]): Promise<{ config: Config; warnings: ConfigProblem[] }>
  endpointsOf(config: Config): OptHubEndpoints
  log: Logger
  /** For each check. */
  timeoutMs?: number
  /** Less is too little on Docker's disk. */
  leastFreeBytes?: number
}

const TIMEOUT_MS = 10_000
/** An image or two, and what containers write. */
const LEAST_FREE_BYTES = 2 * 1024 ** 3
const OLDEST_NODE = [20, 19] as const

const KINDS = ['evaluator', 'scorer'] as const

/** Checks everything that runners need, at the same time; touches no message. Hands over what it finds, in a fixed order. */
export async function* examine(options: DoctorOptions): AsyncGenerator<CheckResult> {
  const { timeoutMs = TIMEOUT_MS } = options
  // A little before a check counts as late, so that what was asked can say itself what is wrong.
  const signal = AbortSignal.timeout(timeoutMs - Math.min(500, timeoutMs / 10))
  const settings = await readSettings(options)
  const { config } = settings
  const found = findEngine(config?.docker.host, options.environment, signal)
  found.catch(() => undefined)
  const inspector = config === undefined ? undefined : openInspection(options, config)
  try {
    const checks: Check[] = [
      { id: 'node', title: 'Node.js', run: () => Promise.resolve(checkNode(options.nodeVersion)) },
      { id: 'config', title: 'Config', run: () => Promise.resolve(settings.finding) },
      ...engineChecks(
        found,
        options.leastFreeBytes ?? Math.max(LEAST_FREE_BYTES, config?.min_free_disk ?? 0),
        {
          config,
          environment: options.environment,
          signal,
        },
      ),
      ...(config === undefined || inspector === undefined
        ? [REST]
        : [
            ...awsChecks({
              config,
              kinds: settings.kinds,
              local: options.local,
              inspector: inspector.opened,
              signal,
            }),
            ...matchChecks({
              ...options,
              config,
              kinds: settings.kinds,
              found,
              endpoints: options.endpointsOf(config),
              signal,
            }),
          ]),
    ]
    yield* runChecks(checks, timeoutMs)
  } finally {
    await inspector?.close()
    await found.then(
      ({ engine }) => {
        engine.close()
      },
      () => undefined,
    )
  }
}

const REST: Check = {
  id: 'aws',
  title: 'Credentials, clock, queue, table, match and login',
  run: () => Promise.resolve(unchecked('the config has mistakes')),
}

function openInspection(
  { local, dataDir, log }: DoctorOptions,
  config: Config,
): { opened: Promise<Inspector>; close(): Promise<void> } {
  const opened = import('../../app/table.ts').then(({ openInspector }) =>
    openInspector({ config, local, dataDir, log }),
  )
  opened.catch(() => undefined)
  return {
    opened,
    close: () =>
      opened.then(
        (inspector) => inspector.close(),
        () => undefined,
      ),
  }
}

function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor, oldestMinor] = OLDEST_NODE
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return ok(version)
  return failed(
    `${version} is too old`,
    `Install Node.js ${OLDEST_NODE.join('.')} or newer: https://nodejs.org`,
  )
}

interface ReadSettings {
  finding: Finding
  /** Undefined when they can't be used at all. */
  config: Config | undefined
  kinds: readonly TrialKindName[]
}

/** The settings as far as they can be used: what is missing fails the check, and the others go on without. */
async function readSettings(options: DoctorOptions): Promise<ReadSettings> {
  const kindsOf = (config: Config): TrialKindName[] => {
    if (options.kind !== undefined) return [options.kind]
    const set = KINDS.filter((kind) => config[`${kind}_queue_url`] !== undefined)
    return options.local || set.length === 0 ? [...KINDS] : set
  }
  const needs = (config: Config): Need[] =>
    options.local
      ? ['matches']
      : [...kindsOf(config).map((kind) => `${kind}_queue_url` as const), 'table_name', 'region_name']
  try {
    const { config, warnings } = await options.load(needs)
    return { finding: ok(describeWarnings(warnings)), config, kinds: kindsOf(config) }
  } catch (error) {
    const finding = configFinding(error)
    const usable = await options.load(() => []).catch(() => undefined)
    return { finding, config: usable?.config, kinds: usable === undefined ? [] : kindsOf(usable.config) }
  }
}

function describeWarnings(warnings: readonly ConfigProblem[]): string {
  if (warnings.length === 0) return 'no mistakes'
  return `no mistakes, but:\n${warnings.map(formatProblem).join('\n')}`
}

function configFinding(error: unknown): Finding {
  const fix =
    'Mend the config file; config.default.yml explains every key, and `opthub-runner init` writes a new file.'
  if (!(error instanceof ConfigError)) return failed(messageOf(error), fix)
  const lines = error.problems.map(formatProblem)
  return failed(lines.join('\n'), fix)
}
