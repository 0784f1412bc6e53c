import { resolve } from 'node:path'
import type { z } from 'zod'
import { messageOf } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import { secretsIn } from '../core/redact.ts'
import { crossCheck, missingKeys, type Need } from './checks.ts'
import { ConfigError, type ConfigProblem, type Environment, type Origin } from './problem.ts'
import { readFetcherVariables } from './dot-env.ts'
import { place, readEnvironment } from './read-environment.ts'
import { readConfigFile } from './read-file.ts'
import {
  pathKey,
  readYaml,
  setOwn,
  shown,
  shownKey,
  wholeFile,
  type Raw,
  type RawMap,
  type RawSettings,
} from './read-yaml.ts'
import { CONFIG_KEYS, configSchema, keysAt, SECRET_KEYS, type Config } from './schema.ts'
import { resolveSecret } from './secret.ts'

export interface LoadOptions {
  /** Path as the user gave it; named so in every problem. */
  file: string
  /** The user asked for this very file, so its absence is a mistake. */
  required: boolean
  environment: Environment
  /** Key, with dots below the top → the flag that set it and its value, as written. */
  flags: Readonly<Record<string, { flag: string; value: string }>>
  /** Keys that must be set for what is to be done. */
  needs?: (config: Config) => readonly Need[]
  /** A file of variables, whose names and those of the environment are the Python fetcher's; left out = not read. */
  dotEnv?: string | undefined
  /** Unknown and doubled keys are mistakes. */
  strict?: boolean
}

export interface LoadedConfig {
  config: Config
  warnings: ConfigProblem[]
}

/** Reads the settings: flags over environment over file over defaults. Throws ConfigError with every mistake at once. */
export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  const file = await readFileSettings(options)
  const merged = mergeSettings([
    file ?? NOTHING,
    readEnvironment(options.environment),
    options.dotEnv === undefined ? NOTHING : await readFetcherVariables(options.dotEnv, options.environment),
    readFlags(options.flags),
  ])
  const problems = [...merged.problems, ...unknownKeys(file ?? NOTHING)]
  const { values, invalid } = parseKeys(merged, problems)
  const config = completed(values, merged.tree, options.environment)
  await resolveSecrets(config, invalid, merged, options, problems)
  const located = (problem: Omit<ConfigProblem, 'origin'>): ConfigProblem => ({
    ...problem,
    origin: originOf(merged.origins, problem.path, options.file),
  })
  problems.push(...crossCheck(config, invalid).map(located))
  const missing = missingKeys(config, invalid, options.needs?.(config) ?? [])
  // A file that is not there is only a mistake where something is missing with it.
  if (file === undefined && (options.required || missing.length > 0)) {
    problems.unshift(fileMissing(options.file))
  }
  // What stands in a file that could not be read is not missing.
  if (!isUnread(file, options.required)) problems.push(...missing.map(located))
  return settle(config, problems, options)
}

function isUnread(file: RawSettings | undefined, required: boolean): boolean {
  if (file === undefined) return required
  return file.problems.some(({ severity, path }) => severity === 'error' && path.length === 0)
}

/** The mistakes, or the settings. */
function settle(config: Config, found: ConfigProblem[], options: LoadOptions): LoadedConfig {
  const problems = found.map((problem) => ({ ...problem, path: shownPath(problem.path) }))
  const errors = problems.filter(
    (problem) => problem.severity === 'error' || (options.strict === true && isAboutKeys(problem)),
  )
  if (errors.length > 0)
    throw new ConfigError(errors.map((problem) => ({ ...problem, severity: 'error' as const })))
  return { config, warnings: problems }
}

function isAboutKeys(problem: ConfigProblem): boolean {
  return problem.message.startsWith('the key ') || problem.message.startsWith('is no setting')
}

const NOTHING: RawSettings = { tree: {}, origins: new Map(), problems: [] }

function fileMissing(file: string): ConfigProblem {
  return wholeFile(file, 'does not exist', 'copy config.default.yml there, or name your file with --config')
}

async function readFileSettings(options: LoadOptions): Promise<RawSettings | undefined> {
  const found = await readConfigFile(resolve(options.file), options.file)
  if (found === undefined) return undefined
  if ('severity' in found) return { ...NOTHING, problems: [found] }
  const settings = readYaml(found.text, options.file)
  if (found.openToOthers && holdsSecret(settings.tree)) {
    settings.problems.push({
      ...wholeFile(
        options.file,
        'holds a secret and may be read by other users',
        `chmod 600 ${options.file}`,
      ),
      severity: 'warning',
    })
  }
  return settings
}

/** Whether anything is written there that no log would show. */
function holdsSecret(tree: RawMap): boolean {
  const inference = mapAt(tree, 'inference')
  const fetcher = mapAt(tree, 'fetcher')
  const logins = Object.values(mapAt(mapAt(tree, 'docker'), 'registry_auth')).flatMap((login) =>
    isMap(login) ? [login['password'], login['token']] : [login],
  )
  const written = [
    tree['secret_access_key'],
    inference['api_key'],
    fetcher['password'],
    fetcher['access_token'],
    ...logins,
  ]
  const recipes = Object.values(mapAt(tree, 'matches')).flatMap((match) =>
    isMap(match) ? [mapAt(match, 'problem'), mapAt(match, 'indicator')] : [],
  )
  return (
    written.some((secret) => typeof secret === 'string' && secret !== '' && !/^(env|file):/.test(secret)) ||
    [inference, ...recipes].some((holder) => secretsIn(textsOf(mapAt(holder, 'environment'))).length > 0)
  )
}

function mapAt(map: RawMap, key: string): RawMap {
  const value = map[key]
  return isMap(value) ? value : {}
}

function textsOf(map: RawMap): Record<string, string> {
  return Object.fromEntries(
    Object.entries(map).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

function readFlags(flags: LoadOptions['flags']): RawSettings {
  const settings: RawSettings = { tree: {}, origins: new Map(), problems: [] }
  for (const [key, { flag, value }] of Object.entries(flags)) place(settings, key.split('.'), value, { flag })
  return settings
}

/** Later ones win, key by key. */
function mergeSettings(layers: readonly RawSettings[]): RawSettings {
  const merged: RawSettings = { tree: {}, origins: new Map(), problems: [] }
  for (const layer of layers) {
    const endpoint = layer.tree['endpoint_url']
    // One URL means both services; spelt out, so that a layer above can replace one of them.
    const tree =
      typeof endpoint === 'string'
        ? { ...layer.tree, endpoint_url: { sqs: endpoint, dynamodb: endpoint } }
        : layer.tree
    merged.tree = mergeMaps(merged.tree, tree)
    for (const [key, origin] of layer.origins) merged.origins.set(key, origin)
    merged.problems.push(...layer.problems)
  }
  return merged
}

function mergeMaps(below: RawMap, above: RawMap): RawMap {
  const merged: RawMap = { ...below }
  for (const [key, value] of Object.entries(above)) {
    const old = Object.hasOwn(below, key) ? below[key] : undefined
    const both = isMap(old) && isMap(value)
    setOwn(merged, key, both ? mergeMaps(old, value) : value)
  }
  return merged
}

function isMap(value: Raw | undefined): value is RawMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function unknownKeys({ tree, origins }: RawSettings): ConfigProblem[] {
  return Object.keys(tree)
    .filter((key) => !CONFIG_KEYS.includes(key))
    .map((key) => ({
      severity: 'warning',
      origin: origins.get(pathKey([key])) ?? { file: '' },
      path: [key],
      message: `the key "${shownKey(key)}" is unknown, and is ignored`,
      hint: keyHint(key, CONFIG_KEYS),
    }))
}

/** Parses key by key, so that one mistake hides no other. */
function parseKeys(
  merged: RawSettings,
  problems: ConfigProblem[],
): { values: Partial<Config>; invalid: Set<string> } {
  const values: Record<string, unknown> = {}
  const invalid = new Set<string>()
  for (const [key, schema] of Object.entries(configSchema.shape)) {
    const raw = Object.hasOwn(merged.tree, key) ? withoutEmpty(merged.tree[key] ?? null, [key]) : undefined
    const result = schema.safeParse(raw)
    if (result.success) {
      if (result.data !== undefined) values[key] = result.data
      continue
    }
    invalid.add(key)
    values[key] = schema.safeParse(undefined).data
    const seen = new Set<string>()
    for (const problem of result.error.issues.flatMap((issue) =>
      explainIssue(issue, key, raw, merged.origins),
    )) {
      // Of several complaints about one value the first says enough.
      if (seen.has(pathKey(problem.path))) continue
      seen.add(pathKey(problem.path))
      problems.push(problem)
    }
  }
  return { values: values, invalid }
}

/** A key without a value is one left out, save for a variable of an image, where it would silently vanish. */
function withoutEmpty(value: Raw, path: readonly string[]): Raw | undefined {
  if (value === null) return path.at(-2) === 'environment' ? null : undefined
  if (!isMap(value)) return value
  const entries = Object.entries(value).map(
    ([key, inner]) => [key, withoutEmpty(inner, [...path, key])] as const,
  )
  return Object.fromEntries(
    entries.filter((entry): entry is readonly [string, Raw] => entry[1] !== undefined),
  )
}

function explainIssue(
  issue: z.core.$ZodIssue,
  key: string,
  raw: Raw | undefined,
  origins: Map<string, Origin>,
): ConfigProblem[] {
  const inner = issue.path.map(String)
  const path = [key, ...inner]
  const problem = (at: readonly string[], message: string, hint = ''): ConfigProblem => ({
    severity: 'error',
    origin: originOf(origins, at, ''),
    path: at,
    message,
    hint,
  })
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(path) ?? []
    return issue.keys.map((name) => {
      const hint = keyHint(name, known) || `known here: ${known.join(', ')}`
      return problem([...path, name], `the key "${shownKey(name)}" is unknown in ${path.join('.')}`, hint)
    })
  }
  if (issue.code === 'invalid_key') {
    const wanted = issue.issues[0]?.message ?? 'is not allowed'
    return [
      problem(path, `the key "${shownKey(path.at(-1) ?? '')}" in ${path.slice(0, -1).join('.')} ${wanted}`),
    ]
  }
  const found = inner.reduce<Raw | undefined>((value, step) => at(value, step), raw)
  const name = shown(shownPath(path).join('.'))
  if (found === undefined) return [problem(path, `${name} is missing`)]
  return [problem(path, `${name} ${issue.message}${describe(found, path)}`)]
}

function at(value: Raw | undefined, step: string): Raw | undefined {
  if (Array.isArray(value)) return value[Number(step)]
  return isMap(value) && Object.hasOwn(value, step) ? value[step] : undefined
}

/** What was found instead; values that may be secret are not shown. */
function describe(value: Raw, path: readonly string[]): string {
  if (value === null) return ', and has no value'
  if (typeof value !== 'string') return Array.isArray(value) ? ', not a list' : ', not a map'
  if (isPrivate(path)) return ''
  return `, not ${JSON.stringify(shown(value))}`
}

/** A path fit to be shown: where a comma stands for a colon, the name of a variable is its value. */
function shownPath(path: readonly string[]): string[] {
  return path
    .map(shownKey)
    .map((key, index) => (path[index - 1] === 'environment' && !/^[A-Z_][A-Z0-9_]*…?$/.test(key) ? '…' : key))
}

/** Whether a value there may be, or hold, what nobody else may see. */
function isPrivate(path: readonly string[]): boolean {
  const [top = '', , , recipe] = path
  // Text in place of the map of a match may be a match that was written in a wrong way, its environment included.
  if (top === 'fetcher' && (path.length === 1 || ['password', 'access_token'].includes(path[1] ?? '')))
    return true
  if (top === 'docker' && (path.length === 1 || path.includes('registry_auth'))) return true
  if (top === 'inference' && (path.length === 1 || path[1] === 'api_key')) return true
  return SECRET_KEYS.has(top) || path.includes('environment') || (top === 'matches' && recipe === undefined)
}

/** How to mend a key that is unknown. */
function keyHint(key: string, known: readonly string[]): string {
  const [name = ''] = key.split(/[:=]/, 1)
  return name !== key && known.includes(name) ? `write a blank behind "${name}:"` : suggestion(key, known)
}

function suggestion(key: string, known: readonly string[]): string {
  const meant = nearest(key, known)
  return meant === undefined ? '' : `did you mean "${meant}"?`
}

/** Where a setting stands; the nearest key above it when it does not. */
function originOf(origins: Map<string, Origin>, path: readonly string[], file: string): Origin {
  for (let length = path.length; length > 0; length -= 1) {
    const origin = origins.get(pathKey(path.slice(0, length)))
    if (origin !== undefined) return origin
  }
  return { file }
}

/** Defaults that hang on other settings, and what AWS's own variables say. */
function completed(values: Partial<Config>, written: RawMap, environment: Environment): Config {
  const config = values as Config
  const third = config.visibility_timeout / 3
  // Whoever shortens the visibility alone wants a lease that works, not a lesson.
  if (written['heartbeat_interval'] === undefined)
    config.heartbeat_interval = Math.min(config.heartbeat_interval, third)
  if (written['wait_time'] === undefined) config.wait_time = Math.min(config.wait_time, Math.floor(third))
  config.endpoint_url = withAwsEndpoints(config.endpoint_url, environment)
  config.opthub = withCognitoEndpoint(config.opthub, environment)
  config.fetcher = withFetcherEndpoint(config.fetcher, environment)
  const region = config.region_name ?? guessRegion(config, environment)
  if (region !== undefined) config.region_name = region
  return config
}

function withAwsEndpoints(given: Config['endpoint_url'], environment: Environment): Config['endpoint_url'] {
  if (ignoresAwsEndpoints(environment)) return given
  const sqs = given.sqs ?? (environment['AWS_ENDPOINT_URL_SQS'] || environment['AWS_ENDPOINT_URL'])
  const dynamodb =
    given.dynamodb ?? (environment['AWS_ENDPOINT_URL_DYNAMODB'] || environment['AWS_ENDPOINT_URL'])
  const s3 = given.s3 ?? environment['AWS_ENDPOINT_URL_S3']
  return { ...(sqs ? { sqs } : {}), ...(dynamodb ? { dynamodb } : {}), ...(s3 ? { s3 } : {}) }
}

function withCognitoEndpoint(given: Config['opthub'], environment: Environment): Config['opthub'] {
  if (given.cognito_url !== undefined || ignoresAwsEndpoints(environment)) return given
  // The variable for all services is meant for those of the config, not for OptHub's own user pool.
  const general = given.user_pool_id === undefined ? undefined : environment['AWS_ENDPOINT_URL']
  const url = environment['AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER'] || general
  return url ? { ...given, cognito_url: url } : given
}

function withFetcherEndpoint(given: Config['fetcher'], environment: Environment): Config['fetcher'] {
  if (given.cognito_url !== undefined || ignoresAwsEndpoints(environment)) return given
  const url = environment['AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER'] || environment['AWS_ENDPOINT_URL']
  return url ? { ...given, cognito_url: url } : given
}

function ignoresAwsEndpoints(environment: Environment): boolean {
  return environment['AWS_IGNORE_CONFIGURED_ENDPOINT_URLS']?.toLowerCase() === 'true'
}

function guessRegion(config: Config, environment: Environment): string | undefined {
  const named = environment['AWS_REGION'] || environment['AWS_DEFAULT_REGION']
  if (named) return named
  for (const url of [config.evaluator_queue_url, config.scorer_queue_url]) {
    const region = /^https?:\/\/sqs\.([a-z0-9-]+)\.amazonaws\.com/.exec(url ?? '')?.[1]
    if (region !== undefined) return region
  }
  // Servers other than Amazon's take any region.
  return config.endpoint_url.dynamodb === undefined ? undefined : 'us-east-1'
}

async function resolveSecrets(
  config: Config,
  invalid: Set<string>,
  merged: RawSettings,
  options: LoadOptions,
  problems: ConfigProblem[],
): Promise<void> {
  for (const { path, holder, key } of secretsOf(config)) {
    const [top = ''] = path
    const setting = holder[key]
    if (setting === undefined || invalid.has(top)) continue
    try {
      holder[key] = await resolveSecret(setting, options.environment, options.file)
    } catch (error) {
      invalid.add(top)
      problems.push({
        severity: 'error',
        origin: originOf(merged.origins, path, options.file),
        path,
        message: `${path.join('.')} ${messageOf(error)}`,
        hint: '',
      })
    }
  }
}

/** Where a secret stands in the settings. */
interface SecretPlace {
  path: readonly string[]
  holder: Record<string, string | undefined>
  key: string
}

function secretsOf(config: Config): SecretPlace[] {
  const holder = config as unknown as SecretPlace['holder']
  return [
    ...['access_key_id', 'secret_access_key'].map((key) => ({ path: [key], holder, key })),
    {
      path: ['inference', 'api_key'],
      holder: config.inference as unknown as SecretPlace['holder'],
      key: 'api_key',
    },
    ...['password', 'access_token'].map((key) => ({
      path: ['fetcher', key],
      holder: config.fetcher as unknown as SecretPlace['holder'],
      key,
    })),
    ...Object.entries(config.docker.registry_auth).flatMap(([registry, login]) =>
      ['username', 'password', 'token'].map((key) => ({
        path: ['docker', 'registry_auth', registry, key],
        holder: login,
        key,
      })),
    ),
  ]
}
