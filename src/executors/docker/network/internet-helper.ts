import { randomBytes } from 'node:crypto'
import { messageOf, OperatorError, RetryableError, EXIT } from '../../../core/errors.ts'
import { ImageError } from '../../executor.ts'
import { labelsOf, type Ownership } from '../container.ts'
import { createContainer } from '../create.ts'
import { demultiplex } from '../api/demultiplex.ts'
import type { Engine } from '../api/engine.ts'
import { EngineError, startError } from '../api/errors.ts'
import { READY } from './internet-scripts.ts'
import type { Removals } from '../removals.ts'

export interface HelperServices {
  engine: Engine
  removals: Removals
  ownership: () => Promise<Ownership>
}

/** A container that sets up or looks at a network by a script. */
export interface HelperSpec {
  image: string
  script: string
  environment: Readonly<Record<string, string>>
  /** Whose network it works in, as the engine takes it. */
  networkMode: string
  /** Further parts of its `HostConfig`. */
  more?: object
}

/** A helper that has been started; whoever started it removes it. */
export interface Helper {
  id: string
  /** Resolves with what it has printed when it says that it has done its work. */
  ready: Promise<readonly string[]>
}

/** The kind in the label of all containers for jobs with internet. */
const KIND = 'internet'
/** Longest time until a helper has done its work. */
const WORK_MS = 60_000
const MAX_TEXT = 64 * 1024
const MIB = 1024 ** 2

/** What a helper's `HostConfig` needs to change routes: nothing else is ever given. */
export const MAY_CHANGE_ROUTES = { CapAdd: ['NET_ADMIN'] }

async function createHelper(
  services: HelperServices,
  name: string,
  spec: HelperSpec,
  signal: AbortSignal,
): Promise<string> {
  const body = helperBody(spec, await services.ownership())
  signal.throwIfAborted()
  try {
    return (await createContainer(services, { name, body })).id
  } catch (error) {
    signal.throwIfAborted()
    throw helperError(error, spec.image)
  }
}

/** Starts a helper. When that fails nothing is left behind. */
export async function startHelper(
  services: HelperServices,
  spec: HelperSpec,
  signal: AbortSignal,
): Promise<Helper> {
  const { engine, removals } = services
  const name = `${KIND}-${randomBytes(8).toString('hex')}`
  const id = await createHelper(services, name, spec, signal)
  try {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(WORK_MS)])
    const socket = await engine.hijack(`/containers/${id}/attach`, {
      query: { stream: '1', stdout: '1', stderr: '1' },
      signal: patience,
    })
    const stop = (): void => {
      socket.destroy(new Error('it did not come to an end in time'))
    }
    const ready = readUntilReady(socket, spec.image).finally(() => {
      patience.removeEventListener('abort', stop)
      socket.destroy()
    })
    // Whoever waits for it may have failed elsewhere before.
    ready.catch(() => undefined)
    patience.addEventListener('abort', stop)
    if (patience.aborted) stop()
    try {
      await engine.json('POST', `/containers/${id}/start`, { signal })
    } catch (error) {
      socket.destroy()
      throw error
    }
    return { id, ready }
  } catch (error) {
    await removals.remove(name)
    signal.throwIfAborted()
    throw helperError(error, spec.image)
  }
}

/** What stands before a start of a job with internet, for whoever has configured it. */
export function noInternet(why: string, hint: string, cause?: unknown): OperatorError {
  return new OperatorError("Jobs can't be given the internet", why, hint, EXIT.unavailable, { cause })
}

/** Says what an image must have. */
export const IMAGE_HINT =
  'Set code_exec.network_image to an image with `sh` and `ip` (of busybox or iproute2), such as busybox or alpine.'

async function readUntilReady(source: AsyncIterable<Buffer>, image: string): Promise<string[]> {
  const said = { stdout: '', stderr: '' }
  try {
    for await (const { stream, data } of demultiplex(source)) {
      if (said[stream].length < MAX_TEXT) said[stream] += Buffer.from(data).toString()
      const lines = said.stdout.split('\n')
      if (lines.includes(READY)) return lines.slice(0, lines.indexOf(READY))
    }
  } catch (error) {
    throw new RetryableError('engine', `A network for a job can't be set up: ${messageOf(error)}`, {
      cause: error,
    })
  }
  const why = said.stderr.trim().split('\n').at(-1) ?? ''
  throw noInternet(
    `the helper of image ${image} could not do its work: ${why === '' ? 'it ended and said nothing' : why}`,
    `${IMAGE_HINT} The engine's machine needs Linux with veth and policy routing.`,
  )
}

function helperError(error: unknown, image: string): unknown {
  const sorted = startError(error, image)
  if (sorted instanceof ImageError) return noInternet(sorted.message, IMAGE_HINT, error)
  if (!(error instanceof EngineError)) return error
  if (/executable file not found|no such file or directory: unknown/i.test(error.message)) {
    return noInternet(`image ${image} has no \`sh\` (${error.message})`, IMAGE_HINT, error)
  }
  return sorted
}

function helperBody(spec: HelperSpec, ownership: Ownership): object {
  const { image, script, environment, networkMode, more } = spec
  return {
    Image: image,
    Entrypoint: ['sh', '-c', script],
    Cmd: [],
    User: '0:0',
    WorkingDir: '/',
    Env: Object.entries(environment).map(([name, value]) => `${name}=${value}`),
    Labels: labelsOf(KIND, false, ownership),
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      NetworkMode: networkMode,
      ReadonlyRootfs: true,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      IpcMode: 'private',
      Memory: 64 * MIB,
      MemorySwap: 64 * MIB,
      PidsLimit: 16,
      LogConfig: { Type: 'none', Config: {} },
      RestartPolicy: { Name: 'no' },
      ...more,
    },
  }
}
