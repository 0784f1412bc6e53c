import type { Command } from 'commander'
import type { TableOptions } from '../app/options.ts'
import type { Need } from '../config/checks.ts'
import { formatOrigin, type ConfigProblem } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import { secretsIn } from '../core/redact.ts'
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
  metricsPort?: string
  /** Further keys, with dots below the top, as flags of one verb set them. */
  settings?: Record<string, { flag: string; value: string }>
  /** False behind --no-rm. */
  rm?: boolean
}

export interface Settings {
  config: Config
  warnings: ConfigProblem[]
  /** The data folder, absolute. */
  dataDir: string
  /** The AWS keys as they are now, read again; undefined = the default chain. */
  keys: NonNullable<TableOptions['keys']>
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
  dotEnv?: string,
): Promise<Settings> {
  const [{ loadConfig }, { dataFolder }] = await Promise.all([
    import('../config/load.ts'),
    import('../config/paths.ts'),
  ])
  const { environment, platform } = session.io
  const options = {
    file: configFile(flags),
    required: flags.config !== undefined || flags.dev === true,
    environment,
    flags: settingsOf(flags),
    ...(dotEnv === undefined ? {} : { dotEnv }),
  }
  const loaded = await loadConfig({ ...options, needs })
  session.debug = loaded.config.log_level === 'DEBUG'
  session.secrets = [...session.secrets, ...secretsOf(loaded.config)]
  const keys: Settings['keys'] = async () => {
    const { config } = await loadConfig(options)
    const { access_key_id: accessKeyId, secret_access_key: secretAccessKey } = config
    if (accessKeyId === undefined || secretAccessKey === undefined) return undefined
    const news = [accessKeyId, secretAccessKey].filter((value) => !session.secrets.includes(value))
    session.secrets = [...session.secrets, ...news]
    return { accessKeyId, secretAccessKey }
  }
  return { ...loaded, dataDir: dataFolder(environment, platform), keys }
}

/** What of the settings no line may show. */
function secretsOf({
  access_key_id: key,
  secret_access_key: secret,
  matches,
  docker,
  inference,
  fetcher,
}: Config): string[] {
  const recipes = Object.values(matches).flatMap(({ problem, indicator }) => [problem, indicator])
  const logins = Object.values(docker.registry_auth).flatMap(({ password, token }) => [password, token])
  const secrets = [
    key,
    secret,
    inference.api_key,
    ...secretsIn(inference.environment),
    fetcher.password,
    fetcher.access_token,
    ...logins,
    ...recipes.flatMap((recipe) => secretsIn(recipe?.environment ?? {})),
  ]
  return secrets.filter((each) => each !== undefined)
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
    ['metrics_port', '--metrics-port', flags.metricsPort],
    ['rm', '--no-rm', flags.rm === false ? 'false' : undefined],
  ]
  const own = given.flatMap(([key, flag, value]) =>
    value === undefined ? [] : [[key, { flag, value }] as const],
  )
  return { ...Object.fromEntries(own), ...flags.settings }
}
