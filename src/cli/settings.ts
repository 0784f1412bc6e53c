import type { Command } from 'commander'
import type { Need } from '../config/checks.ts'
import { formatOrigin, type ConfigProblem } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import type { Session } from './io.ts'

/** What commander makes of the flags that stand for settings. */
export interface SettingFlags {
  config?: string
  dev?: true
  local?: true
  num?: string
  once?: true
  concurrency?: string
  logLevel?: string
  shutdownGrace?: string
  /** False behind --no-rm. */
  rm?: boolean
}

export interface Settings {
  config: Config
  warnings: ConfigProblem[]
  /** The data folder, absolute. */
  dataDir: string
}

/** Adds the flags that say where the settings are. */
export function addConfigFlags(command: Command): Command {
  return command
    .option('-c, --config <file>', 'config file (default: config.yml)')
    .option('-d, --dev', 'use config.dev.yml instead of config.yml')
}

/** Adds --local. */
export function addLocalFlag(command: Command): Command {
  return command.option('--local', "use this machine's own queues and table, without AWS")
}

/** The settings of a call. `needs` says which keys its work can't do without. */
export async function loadSettings(
  session: Session,
  flags: SettingFlags,
  needs: (config: Config) => readonly Need[],
): Promise<Settings> {
  const [{ loadConfig }, { dataFolder }] = await Promise.all([
    import('../config/load.ts'),
    import('../config/paths.ts'),
  ])
  const { environment, platform } = session.io
  const loaded = await loadConfig({
    file: configFile(flags),
    required: flags.config !== undefined || flags.dev === true,
    environment,
    flags: settingsOf(flags),
    needs,
  })
  const { log_level: level, secret_access_key: secret } = loaded.config
  session.debug = level === 'DEBUG'
  if (secret !== undefined) session.secrets = [secret]
  return { ...loaded, dataDir: dataFolder(environment, platform) }
}

/** The config file that the flags name. */
export function configFile({ config, dev }: SettingFlags): string {
  return config ?? (dev === true ? 'config.dev.yml' : 'config.yml')
}

/** A doubtful setting as fields of a log record. */
export function warningFields({ origin, message, hint }: ConfigProblem): Record<string, string> {
  return { where: formatOrigin(origin), problem: message, ...(hint === '' ? {} : { hint }) }
}

function settingsOf(flags: SettingFlags): Record<string, { flag: string; value: string }> {
  const given: [key: string, flag: string, value: string | undefined][] = [
    ['num', '--once', flags.once === true ? '1' : undefined],
    ['num', '--num', flags.num],
    ['concurrency', '--concurrency', flags.concurrency],
    ['log_level', '--log-level', flags.logLevel],
    ['shutdown_grace', '--shutdown-grace', flags.shutdownGrace],
    ['rm', '--no-rm', flags.rm === false ? 'false' : undefined],
  ]
  return Object.fromEntries(
    given.flatMap(([key, flag, value]) => (value === undefined ? [] : [[key, { flag, value }] as const])),
  )
}
