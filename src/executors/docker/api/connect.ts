import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { EXIT, messageOf, OperatorError } from '../../../core/errors.ts'
import { parseHost } from './address.ts'
import { dockerConfigFolder, readDockerConfig, type Environment } from './docker-config.ts'
import { Engine, type EngineAddress, type TlsFiles } from './engine.ts'
import { codeOf, unreachable } from './unreachable.ts'

export interface ConnectOptions {
  /** `docker.host` of the configuration; wins over everything else. */
  host?: string | undefined
  environment: Environment
  signal?: AbortSignal
}

const PING_TIMEOUT_MS = 10_000
/** ssh has a limit of its own for the way there. */
const SSH_PING_TIMEOUT_MS = 40_000

/**
 * Finds the engine as the docker CLI finds it (`docker.host`, DOCKER_HOST, DOCKER_CONTEXT or the current context,
 * else the well-known sockets) and asks whether it lives. OperatorError when it can't be reached.
 */
export async function connectEngine(options: ConnectOptions): Promise<Engine> {
  const named = await namedHost(options)
  const candidates = named === undefined ? await wellKnownSockets(options.environment) : [named]
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
  const silenceMs = engine.label.startsWith('ssh:') ? SSH_PING_TIMEOUT_MS : PING_TIMEOUT_MS
  const response = await engine.open('GET', '/_ping', { signal, silenceMs, fresh: true })
  response.resume()
}

/** What somebody has said explicitly, in the order of the docker CLI. */
async function namedHost({ host, environment }: ConnectOptions): Promise<EngineAddress | undefined> {
  const named = nonEmpty(host) ?? nonEmpty(environment['DOCKER_HOST'])
  if (named !== undefined) return await addressOf(named, environment)
  const config = await readDockerConfig(environment)
  const configured = config['currentContext']
  const context =
    nonEmpty(environment['DOCKER_CONTEXT']) ?? (typeof configured === 'string' ? configured : '')
  if (context !== '' && context !== 'default') return await readContext(context, environment)
  return wantsTls(environment) ? await addressOf('tcp://localhost:2376', environment) : undefined
}

async function addressOf(host: string, environment: Environment): Promise<EngineAddress> {
  return parseHost(host, { tls: await tlsOf(host, environment), environment })
}

function wantsTls(environment: Environment): boolean {
  return ['DOCKER_TLS_VERIFY', 'DOCKER_TLS'].some((name) => nonEmpty(environment[name]) !== undefined)
}

async function tlsOf(host: string, environment: Environment): Promise<TlsFiles | undefined> {
  const wanted = wantsTls(environment)
  if (/^(unix|npipe|ssh|http):|^\//.test(host) || !(wanted || host.includes(':2376'))) return undefined
  const folder = nonEmpty(environment['DOCKER_CERT_PATH']) ?? dockerConfigFolder(environment)
  return await readTls(folder, nonEmpty(environment['DOCKER_TLS_VERIFY']) !== undefined || !wanted)
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
    const tls = secure ? await readTls(tlsFolder, endpoint.SkipTLSVerify !== true) : undefined
    return parseHost(endpoint.Host, { tls, environment })
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
async function wellKnownSockets(environment: Environment): Promise<EngineAddress[]> {
  const home = nonEmpty(environment['HOME'])
  const uid = (await stat('/proc/self').catch(() => undefined))?.uid ?? 0
  const runtime = nonEmpty(environment['XDG_RUNTIME_DIR']) ?? (uid === 0 ? undefined : `/run/user/${uid}`)
  const paths = ['/var/run/docker.sock']
  if (runtime !== undefined) paths.push(join(runtime, 'docker.sock'))
  if (home !== undefined)
    paths.push(join(home, '.docker/run/docker.sock'), join(home, '.docker/desktop/docker.sock'))
  if (runtime !== undefined) paths.push(join(runtime, 'podman/podman.sock'))
  paths.push('/run/podman/podman.sock')
  if (home !== undefined) paths.push(join(home, '.local/share/containers/podman/machine/podman.sock'))
  // Only Windows sets it, and there nothing else can be meant.
  if (nonEmpty(environment['SystemRoot']) !== undefined) paths.unshift('//./pipe/docker_engine')
  return paths.map((socketPath) => ({ socketPath }))
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
