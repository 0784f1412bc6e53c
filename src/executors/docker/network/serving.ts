import { chmod, mkdir, rm } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { platform } from 'node:process'
import { EXIT, OperatorError, RetryableError } from '../../../core/errors.ts'
import { makeOwnFolder, removeOrphanFolders } from '../../../core/own-folder.ts'
import { isSocketPath, type Endpoint, type TaskSpec } from '../../executor.ts'
import type { Engine } from '../api/engine.ts'
import type { ContainerSpec } from '../container.ts'
import { reachOf } from './reach.ts'

/** How the server of one container is reached. */
export interface Serving {
  /** `8000/tcp`: the port that is published. */
  readonly published?: string
  /** The network that the container is in; left out = the engine's default. */
  readonly network?: string
  /** Where the server of a started container is. The engine is asked once. */
  endpoint(containerId: string): Promise<Endpoint>
  /** Removes what was made for it; never throws. */
  close(): Promise<void>
}

/** Begins the names of our folders. */
const PREFIX = 'opthub-s-'

/**
 * Runs `begin` with what the container needs so that its server can be reached; without a server with the spec as it is.
 * What was made for it is removed when it fails. OperatorError where no server can be reached from here.
 */
export async function withServing<T>(
  engine: Engine,
  spec: ContainerSpec,
  begin: (spec: ContainerSpec) => Promise<T>,
): Promise<T> {
  if (spec.server === undefined) return await begin(spec)
  const served =
    'port' in spec.server
      ? { ...spec, serving: await servePort(engine, spec, spec.server.port) }
      : await serveSocket(spec, spec.server.socketPath)
  try {
    return await begin(served)
  } catch (error) {
    await served.serving.close()
    throw error
  }
}

/** Removes the folders of runners that were killed. Never throws. */
export async function removeOrphanSockets(): Promise<void> {
  await removeOrphanFolders(PREFIX)
}

async function servePort(engine: Engine, { limits }: TaskSpec, port: number): Promise<Serving> {
  const what = `A server in a container can't be reached on port ${port}`
  if (limits.network === 'none') {
    const hint = 'Let it have a network, or serve a unix socket.'
    throw new OperatorError(what, 'the container has no network', hint, EXIT.config)
  }
  const reach = await reachOf(engine)
  if (reach.how === 'none') throw new OperatorError(what, reach.why, reach.cure, EXIT.config)
  const network = reach.how === 'network' ? reach.network : undefined
  const published = `${port}/tcp`
  let found: Promise<Endpoint> | undefined
  return {
    ...(network === undefined ? { published } : { network }),
    endpoint: async (containerId) => {
      found ??= inspect(engine, containerId).then((answer) => {
        const endpoint =
          network === undefined ? publishedAt(answer, published) : addressIn(answer, network, port)
        if (endpoint !== undefined) return endpoint
        throw new RetryableError('engine', `The Docker engine does not tell where port ${port} is reached`)
      })
      try {
        return await found
      } catch (error) {
        found = undefined
        throw error
      }
    },
    close: () => Promise.resolve(),
  }
}

interface Inspected {
  NetworkSettings?: {
    Ports?: Record<string, { HostPort?: string }[] | null> | null
    Networks?: Record<string, { IPAddress?: string }> | null
  }
}

async function inspect(engine: Engine, id: string): Promise<Inspected> {
  return (await engine.json('GET', `/containers/${id}/json`)) as Inspected
}

function publishedAt({ NetworkSettings }: Inspected, published: string): Endpoint | undefined {
  const port = Number(NetworkSettings?.Ports?.[published]?.[0]?.HostPort)
  return port > 0 ? { host: '127.0.0.1', port } : undefined
}

function addressIn({ NetworkSettings }: Inspected, network: string, port: number): Endpoint | undefined {
  const host = NetworkSettings?.Networks?.[network]?.IPAddress
  return host === undefined || host === '' ? undefined : { host, port }
}

/** A folder that only we can get to, and in it the one that the container sees. */
async function serveSocket(spec: ContainerSpec, path: string): Promise<ContainerSpec & { serving: Serving }> {
  const what = `A server in a container can't be reached at ${path}`
  if (!isSocketPath(path)) {
    const why = 'that is not an absolute path in a folder of its own'
    throw new OperatorError(what, why, 'Name one such as /run/model/model.sock.', EXIT.config)
  }
  if (platform !== 'linux') {
    const hint = 'Let it serve a port.'
    throw new OperatorError(what, 'no unix socket of a container is reached from here', hint, EXIT.config)
  }
  const folder = await makeOwnFolder(PREFIX)
  const source = join(folder, 'r')
  const close = async (): Promise<void> => {
    // What another user has made in there, in folders of his own, is left.
    await rm(folder, { recursive: true, force: true }).catch(() => undefined)
  }
  try {
    await mkdir(source)
    // Whoever the program in there is. Nobody else here gets through the folder around it.
    await chmod(source, 0o777)
  } catch (error) {
    await close()
    throw error
  }
  const socketPath = join(source, posix.basename(path))
  const serving: Serving = { endpoint: () => Promise.resolve({ socketPath }), close }
  const mounts = [...(spec.mounts ?? []), { source, target: posix.dirname(path), readOnly: false }]
  return { ...spec, mounts, serving }
}
