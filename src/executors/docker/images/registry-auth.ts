import { askHelper, type HelperOptions } from './credential-helper.ts'
import { asRecord } from '../../../core/unknown-json.ts'
import { readDockerConfig } from '../api/docker-config.ts'

/** A login of the runner's own configuration: name and password, or an identity token in place of both. */
export interface RegistryLogin {
  username?: string | undefined
  password?: string | undefined
  token?: string | undefined
}

export interface AuthOptions extends HelperOptions {
  /** Registry → login; wins over Docker's own configuration. */
  logins: Readonly<Record<string, RegistryLogin>>
}

/** What a registry is asked with. */
export interface RegistryAuth {
  /** The X-Registry-Auth header. */
  header: string
  /** What of it no line may show. */
  secrets: readonly string[]
}

/** The index's name in Docker's own configuration. */
const DOCKER_HUB = 'https://index.docker.io/v1/'
const HUB_NAMES = ['docker.io', 'index.docker.io', 'registry-1.docker.io']

/**
 * The login for a registry (as `parseReference` names it): the runner's own, else that of Docker's config.json or of the
 * credential helper that it names. Undefined = ask without. Throws when a helper fails, with nothing secret in it.
 */
export async function registryAuth(
  registry: string,
  options: AuthOptions,
): Promise<RegistryAuth | undefined> {
  const own = Object.entries(options.logins).find(([name]) => isSame(name, registry))?.[1]
  if (own !== undefined) return ownAuth(own, registry)
  const config = await readDockerConfig(options.environment)
  const keys = registry === 'docker.io' ? [DOCKER_HUB, ...HUB_NAMES] : [registry]
  const helpers = asRecord(config['credHelpers'])
  for (const key of keys) {
    const helper = string(helpers[key]) ?? string(config['credsStore'])
    if (helper === undefined) continue
    const found = await askHelper(helper, key, options)
    if (found === undefined) continue
    return found.isToken
      ? withToken(found.secret, key)
      : withPassword({ username: found.username, password: found.secret }, key)
  }
  for (const [server, entry] of Object.entries(asRecord(config['auths']))) {
    const found = isSame(server, registry) ? readEntry(asRecord(entry), server) : undefined
    if (found !== undefined) return found
  }
  return undefined
}

function ownAuth({ username = '', password = '', token }: RegistryLogin, registry: string): RegistryAuth {
  const server = registry === 'docker.io' ? DOCKER_HUB : registry
  return token === undefined ? withPassword({ username, password }, server) : withToken(token, server)
}

function readEntry(entry: Record<string, unknown>, server: string): RegistryAuth | undefined {
  const token = string(entry['identitytoken'])
  if (token !== undefined) return withToken(token, server)
  const [username, password] = decodeBasic(string(entry['auth'])) ?? [
    string(entry['username']),
    string(entry['password']),
  ]
  return username === undefined ? undefined : withPassword({ username, password: password ?? '' }, server)
}

function decodeBasic(auth: string | undefined): [string, string] | undefined {
  if (auth === undefined) return undefined
  const plain = Buffer.from(auth, 'base64').toString('utf8')
  const colon = plain.indexOf(':')
  return colon <= 0 ? undefined : [plain.slice(0, colon), plain.slice(colon + 1).replace(/\0+$/, '')]
}

function withPassword(login: { username: string; password: string }, serveraddress: string): RegistryAuth {
  const { username, password } = login
  const basic = Buffer.from(`${username}:${password}`).toString('base64')
  return { header: encode({ username, password, serveraddress }), secrets: [password, basic] }
}

function withToken(identitytoken: string, serveraddress: string): RegistryAuth {
  return { header: encode({ identitytoken, serveraddress }), secrets: [identitytoken] }
}

/** Base64 for URLs, with its padding: the engine insists on both. */
function encode(credentials: object): string {
  return Buffer.from(JSON.stringify(credentials)).toString('base64').replaceAll('+', '-').replaceAll('/', '_')
}

/** Whether a server as somebody wrote it (`https://host/v2/`) is this registry. */
function isSame(server: string, registry: string): boolean {
  const host = server
    .replace(/^https?:\/\//i, '')
    .replace(/\/.*$/, '')
    .toLowerCase()
  return host === registry || (registry === 'docker.io' && HUB_NAMES.includes(host))
}

function string(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
