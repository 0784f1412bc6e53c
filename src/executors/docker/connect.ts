import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { EXIT, messageOf, OperatorError, RetryableError } from '../../core/errors.ts'
import { dockerConfigFolder, readDockerConfig, type Environment } from './docker-config.ts'
import { Engine, type EngineAddress } from './engine.ts'

export interface ConnectOptions {
  /** `docker.host` of the configuration; wins over everything else. */
  host?: string | undefined
  environment: Environment
  signal?: AbortSignal
}

const PING_TIMEOUT_MS = 10_000
const START_IT =
  'Start Docker (Linux: `sudo systemctl start docker`, as root on Debian or Ubuntu also scripts/docker-up.sh; macOS and Windows: Docker Desktop), or set DOCKER_HOST or docker.host to where it listens.'

/**
 * Finds the engine as the docker CLI finds it (`docker.host`, DOCKER_HOST, DOCKER_CONTEXT or the current context,
 * else the well-known sockets) and asks whether it lives. OperatorError when it can't be reached.
 */
export async function connectEngine(options: ConnectOptions): Promise<Engine> {
  const named = await namedHost(options)
  const candidates = named === undefined ? wellKnownSockets(options.environment) : [named]
  const failures: { label: string; error: unknown }[] = []
  for (const candidate of candidates) {
    const engine = new Engine(candidate)
    try {
      await ping(engine, options.signal)
      return engine
    } catch (error) {
      engine.close()
      options.signal?.throwIfAborted()
      failures.push({ label: engine.label, error })
    }
  }
  // A socket that is there says more than one that isn't.
  const telling = failures.find(({ error }) => codeOf(error) !== 'ENOENT') ?? failures[0]
  throw unreachable(telling?.label ?? 'nowhere', telling?.error)
}

/** Whether the engine answers; RetryableError('engine') when not. */
export async function ping(engine: Engine, signal?: AbortSignal): Promise<void> {
  const response = await engine.open('GET', '/_ping', { signal, silenceMs: PING_TIMEOUT_MS, fresh: true })
  response.resume()
}

/** Takes apart what DOCKER_HOST may hold; OperatorError when it is nothing that we can speak to. */
export function parseHost(host: string, tls?: TlsFiles): EngineAddress {
  if (/^(unix|npipe):\/\//.test(host)) return { socketPath: host.replace(/^\w+:\/\//, '') }
  if (host.startsWith('/')) return { socketPath: host }
  if (host.startsWith('ssh://')) {
    const hint = `Forward its socket with \`ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock ${host.slice(6)}\` and set DOCKER_HOST=unix:///tmp/docker.sock.`
    throw new OperatorError('Docker over ssh is not supported', host, hint, EXIT.config)
  }
  const url = parseUrl(host)
  if (url === undefined) {
    const hint = 'Write unix:///path/to/docker.sock or tcp://host:2375.'
    throw new OperatorError('The Docker host is not an address', host, hint, EXIT.config)
  }
  const secure = tls !== undefined || url.protocol === 'https:' || url.port === '2376'
  const port = url.port === '' ? (secure ? 2376 : 2375) : Number(url.port)
  const hostname = url.hostname.replace(/^\[|\]$/g, '')
  return secure ? { hostname, port, tls: tls ?? { verify: true } } : { hostname, port }
}

interface TlsFiles {
  ca?: string
  cert?: string
  key?: string
  verify: boolean
}

/** What somebody has said explicitly, in the order of the docker CLI. */
async function namedHost({ host, environment }: ConnectOptions): Promise<EngineAddress | undefined> {
  if (host !== undefined && host !== '') return parseHost(host, await tlsOf(host, environment))
  const fromEnvironment = environment['DOCKER_HOST'] ?? ''
  if (fromEnvironment !== '') return parseHost(fromEnvironment, await tlsOf(fromEnvironment, environment))
  const config = await readDockerConfig(environment)
  const configured = config['currentContext']
  const context =
    nonEmpty(environment['DOCKER_CONTEXT']) ?? (typeof configured === 'string' ? configured : '')
  return context === '' || context === 'default' ? undefined : await readContext(context, environment)
}

async function tlsOf(host: string, environment: Environment): Promise<TlsFiles | undefined> {
  const wanted =
    nonEmpty(environment['DOCKER_TLS_VERIFY']) !== undefined ||
    nonEmpty(environment['DOCKER_TLS']) !== undefined
  if (!/^(tcp|https):/.test(host) || !(wanted || host.includes(':2376'))) return undefined
  const folder = nonEmpty(environment['DOCKER_CERT_PATH']) ?? dockerConfigFolder(environment)
  const verify = nonEmpty(environment['DOCKER_TLS_VERIFY']) !== undefined || !wanted
  return await readTls(folder, verify)
}

/** A context as `docker context create` stores it: its folder is the SHA-256 of its name. */
async function readContext(name: string, environment: Environment): Promise<EngineAddress> {
  const id = createHash('sha256').update(name).digest('hex')
  const contexts = join(dockerConfigFolder(environment), 'contexts')
  try {
    const meta = JSON.parse(await readFile(join(contexts, 'meta', id, 'meta.json'), 'utf8')) as ContextMeta
    const endpoint = meta.Endpoints?.docker
    if (typeof endpoint?.Host !== 'string') throw new Error('it names no Docker host')
    const tlsFolder = join(contexts, 'tls', id, 'docker')
    const secure = /^(tcp|https):/.test(endpoint.Host) && (await exists(tlsFolder))
    return parseHost(
      endpoint.Host,
      secure ? await readTls(tlsFolder, endpoint.SkipTLSVerify !== true) : undefined,
    )
  } catch (error) {
    if (error instanceof OperatorError) throw error
    const hint =
      'See `docker context ls`; choose one with `docker context use NAME`, or unset DOCKER_CONTEXT.'
    throw new OperatorError(`The Docker context "${name}" can't be used`, messageOf(error), hint, EXIT.config)
  }
}

interface ContextMeta {
  Endpoints?: { docker?: { Host?: unknown; SkipTLSVerify?: unknown } }
}

async function readTls(folder: string, verify: boolean): Promise<TlsFiles> {
  const files: TlsFiles = { verify }
  for (const name of ['ca', 'cert', 'key'] as const) {
    try {
      files[name] = await readFile(join(folder, `${name}.pem`), 'utf8')
    } catch {
      // Each of them may be missing; the handshake tells whether it was needed.
    }
  }
  return files
}

/** Where engines listen when nobody says anything. */
function wellKnownSockets(environment: Environment): EngineAddress[] {
  const home = nonEmpty(environment['HOME'])
  const runtime = nonEmpty(environment['XDG_RUNTIME_DIR'])
  const paths = ['/var/run/docker.sock']
  if (runtime !== undefined) paths.push(join(runtime, 'docker.sock'))
  if (home !== undefined)
    paths.push(join(home, '.docker/run/docker.sock'), join(home, '.docker/desktop/docker.sock'))
  if (runtime !== undefined) paths.push(join(runtime, 'podman/podman.sock'))
  paths.push('/run/podman/podman.sock')
  // Only Windows sets it, and there nothing else can be meant.
  if (nonEmpty(environment['SystemRoot']) !== undefined) paths.unshift('//./pipe/docker_engine')
  return paths.map((socketPath) => ({ socketPath }))
}

function unreachable(label: string, error: unknown): OperatorError {
  const code = codeOf(error)
  const why = messageOf(causeOf(error) ?? error)
  const options = { cause: error }
  if (code === 'EACCES' || code === 'EPERM') {
    const hint =
      'Add yourself to its group (`sudo usermod -aG docker $USER`, then log in again), or run as a user who may use the socket.'
    return new OperatorError(`No permission to use Docker at ${label}`, why, hint, EXIT.unavailable, options)
  }
  return new OperatorError(
    `Docker is not running, or not at ${label}`,
    why,
    START_IT,
    EXIT.unavailable,
    options,
  )
}

function causeOf(error: unknown): unknown {
  return error instanceof RetryableError ? error.cause : undefined
}

function codeOf(error: unknown): string | undefined {
  const cause = causeOf(error)
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined
}

function parseUrl(host: string): URL | undefined {
  try {
    const url = new URL(host.includes('://') ? host : `tcp://${host}`)
    return /^(tcp|https?):$/.test(url.protocol) && url.hostname !== '' ? url : undefined
  } catch {
    return undefined
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  )
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value
}
