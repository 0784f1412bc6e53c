import { spawn } from 'node:child_process'
import { messageOf } from '../../core/errors.ts'
import { asRecord, readDockerConfig, type Environment } from './docker-config.ts'

/** The index's name in Docker's own configuration. */
const DOCKER_HUB = 'https://index.docker.io/v1/'
const HELPER_TIMEOUT_MS = 30_000

/**
 * The X-Registry-Auth header for a registry from Docker's own config.json or the credential helper that it names;
 * undefined = ask without credentials. Throws when a helper fails, with nothing secret in the message.
 */
export async function registryAuth(registry: string, environment: Environment): Promise<string | undefined> {
  const config = await readDockerConfig(environment)
  const keys =
    registry === 'docker.io'
      ? [DOCKER_HUB, 'docker.io', 'index.docker.io', 'registry-1.docker.io']
      : [registry]
  const helpers = asRecord(config['credHelpers'])
  for (const key of keys) {
    const helper = string(helpers[key]) ?? string(config['credsStore'])
    if (helper === undefined) continue
    const found = await askHelper(helper, key, environment)
    if (found !== undefined) return encode(found)
  }
  for (const [server, entry] of Object.entries(asRecord(config['auths']))) {
    if (!keys.includes(server) && !keys.includes(hostOf(server))) continue
    const found = readEntry(asRecord(entry), server)
    if (found !== undefined) return encode(found)
  }
  return undefined
}

function readEntry(entry: Record<string, unknown>, server: string): object | undefined {
  const identitytoken = string(entry['identitytoken'])
  if (identitytoken !== undefined) return { identitytoken, serveraddress: server }
  const [username, password] = decodeBasic(string(entry['auth'])) ?? [
    string(entry['username']),
    string(entry['password']),
  ]
  return username === undefined ? undefined : { username, password: password ?? '', serveraddress: server }
}

function decodeBasic(auth: string | undefined): [string, string] | undefined {
  if (auth === undefined) return undefined
  const plain = Buffer.from(auth, 'base64').toString('utf8')
  const colon = plain.indexOf(':')
  return colon <= 0 ? undefined : [plain.slice(0, colon), plain.slice(colon + 1).replace(/\0+$/, '')]
}

/** `docker-credential-<helper> get`, the server's name on its standard input. */
async function askHelper(
  helper: string,
  server: string,
  environment: Environment,
): Promise<object | undefined> {
  const program = `docker-credential-${helper}`
  const { code, stdout } = await new Promise<{ code: number | null; stdout: string }>((resolve, reject) => {
    const child = spawn(program, ['get'], {
      env: environment,
      stdio: ['pipe', 'pipe', 'ignore'],
      timeout: HELPER_TIMEOUT_MS,
    })
    let stdout = ''
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      if (stdout.length < 1_000_000) stdout += part
    })
    child.once('error', (error) => {
      reject(new Error(`The credential helper ${program} can't be run: ${messageOf(error)}`))
    })
    child.once('close', (code) => {
      resolve({ code, stdout })
    })
    // A helper that ends without reading must not end us.
    child.stdin.on('error', () => undefined).end(server)
  })
  if (code !== 0) {
    // Its standard output says so, in English, by the helpers' protocol.
    if (/credentials not found/i.test(stdout)) return undefined
    throw new Error(`The credential helper ${program} failed with exit code ${String(code)}`)
  }
  let answer: Record<string, unknown>
  try {
    answer = asRecord(JSON.parse(stdout))
  } catch {
    throw new Error(`The credential helper ${program} answered no JSON`)
  }
  const secret = string(answer['Secret'])
  if (secret === undefined) return undefined
  const username = string(answer['Username']) ?? ''
  return username === '<token>'
    ? { identitytoken: secret, serveraddress: server }
    : { username, password: secret, serveraddress: server }
}

/** Base64 for URLs, with its padding: the engine insists on both. */
function encode(credentials: object): string {
  return Buffer.from(JSON.stringify(credentials)).toString('base64').replaceAll('+', '-').replaceAll('/', '_')
}

function hostOf(server: string): string {
  return server.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
}

function string(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
