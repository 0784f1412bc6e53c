import { readFile } from 'node:fs/promises'
import type { Environment } from './problem.ts'
import { pathKey, wholeFile, type RawSettings } from './read-yaml.ts'

/** Variables of the Python job fetcher, and the keys below `fetcher:` that they are. */
const VARIABLES: Readonly<Record<string, string>> = {
  API_URL: 'api_url',
  USERNAME: 'username',
  PASSWORD: 'password',
  ACCESS_TOKEN: 'access_token',
  PATH_BASE: 'path_base',
  PATH_HOST_BASE: 'path_host_base',
  TIMEOUT_JOB: 'timeout_job',
  TIMEOUT_STATUS: 'timeout_status',
}

/** Settings of the fetcher from a `.env` file, which beats the environment, and from that. An empty one is unset. */
export async function readFetcherVariables(file: string, environment: Environment): Promise<RawSettings> {
  const settings: RawSettings = { tree: {}, origins: new Map(), problems: [] }
  let written: Map<string, string>
  try {
    written = parseDotEnv(await readFile(file, 'utf8'), environment)
  } catch (error) {
    written = new Map()
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      settings.problems.push({
        ...wholeFile('.env', "can't be read", 'change its owner or its rights'),
        severity: 'warning',
      })
  }
  const found: Record<string, string> = {}
  const has = (name: string): boolean => (written.get(name) ?? environment[name] ?? '') !== ''
  for (const [name, key] of Object.entries(VARIABLES)) {
    const own = written.get(name) ?? ''
    // Desktops set USERNAME to whoever sits there.
    const isForeign = name === 'USERNAME' && !has('PASSWORD')
    const value = own === '' && !isForeign ? (environment[name] ?? '') : own
    if (value === '') continue
    found[key] = value
    settings.origins.set(pathKey(['fetcher', key]), own === '' ? { variable: name } : { file: '.env' })
  }
  if (Object.keys(found).length > 0) settings.tree['fetcher'] = found
  return settings
}

const LINE =
  /^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.]*)[ \t]*=([ \t]*)(?:'((?:\\'|[^'])*)'|"((?:\\"|[^"])*)"|((?:(?![ \t]+#)[^\r\n])*))/gm

/**
 * The variables of a file as python-dotenv reads it: quotes, `export`, comments behind a blank and a `#`, and `${NAME}`
 * or `${NAME:-otherwise}` of the variables before it and of the environment.
 */
export function parseDotEnv(text: string, environment: Environment): Map<string, string> {
  const found = new Map<string, string>()
  for (const [, name = '', blanks, single, double, plain = ''] of text
    .replace(/^\ufeff/, '')
    .matchAll(LINE)) {
    const value =
      single?.replaceAll(/\\(['\\])/g, '$1') ??
      double?.replaceAll(/\\([nrt"\\])/g, (_all, sign: string) => ESCAPES[sign] ?? sign) ??
      (blanks !== '' && plain.startsWith('#') ? '' : plain.trim())
    const expanded = value.replaceAll(
      /\$\{([^}:]*)(?::-([^}]*))?\}/g,
      (_all, other: string, otherwise = '') => found.get(other) ?? environment[other] ?? String(otherwise),
    )
    found.set(name, expanded)
  }
  return found
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' }
