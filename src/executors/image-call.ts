import { stat } from 'node:fs/promises'
import { isAbsolute, posix, relative, resolve, sep } from 'node:path'
import { EXIT, messageOf, OperatorError } from '../core/errors.ts'
import type { GpuRequest, Mount, TaskInput, TaskLimits } from './executor.ts'
import type { ImageRequest, OutputListener } from './run-image.ts'
import { taskName } from './run-task.ts'

/** A call of an image, as the caller writes it; what is left out is the image's or the engine's own. */
export interface ImageCall {
  image: string
  /** Arguments, never through a shell. They take the place of the image's own command, not of its entry point. */
  args?: readonly string[]
  /** Standard input, whole or in parts (a Readable will do); left out = empty. */
  input?: string | Uint8Array | Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>
  env?: Readonly<Record<string, string>>
  mounts?: readonly ImageMount[]
  /** Left out = the current folder, as far as a mount holds it, else the image's own. */
  workdir?: string
  /** `uid[:gid]` or a name in the image; left out = the caller, so that files in mounted folders are theirs. */
  user?: string
  gpus?: GpuRequest
  limits?: Omit<TaskLimits, 'user'>
  /** Left out = no end. Counts from the start of the program. */
  timeoutMs?: number
  /** Seconds between SIGTERM and SIGKILL after the timeout; default 10. */
  stopGraceSeconds?: number
  /** Kills the program; the call rejects with the signal's reason. */
  signal?: AbortSignal
  /** When the registry is asked; default `if-not-present`. */
  pull?: 'always' | 'if-not-present' | 'never'
  /** Most of stdout, and of stderr, that the result holds; default 64 MiB. */
  maxOutputBytes?: number
  /** Takes stdout as it comes, in place of the result; the program waits for a promise. */
  onStdout?: OutputListener
  onStderr?: OutputListener
  /** Keep the container, for `docker logs`. */
  keep?: boolean
}

/** A file or folder of this machine that the program sees. */
export interface ImageMount {
  /** Relative to the current folder, or absolute. */
  source: string
  /** Absolute path in the container; left out = the same as here. */
  target?: string
  readOnly?: boolean
}

const MAX_OUTPUT_BYTES = 64 * 1024 ** 2
const STOP_GRACE_SECONDS = 10

/** What is to be done for a call. OperatorError for what makes no sense. `user` stands in for one that is left out. */
export async function toRequest(
  call: ImageCall,
  user: (mounts: readonly Mount[]) => Promise<string | undefined>,
): Promise<ImageRequest> {
  const { image, args, input = '', env = {}, limits = {}, gpus, keep = false } = call
  const {
    timeoutMs = Infinity,
    stopGraceSeconds = STOP_GRACE_SECONDS,
    maxOutputBytes = MAX_OUTPUT_BYTES,
  } = call
  if (image === '') throw refusal('No image is named', '', 'Name one, such as my-image:1.0.')
  assertPositive('timeoutMs', timeoutMs)
  assertPositive('maxOutputBytes', maxOutputBytes)
  const mounts = await Promise.all((call.mounts ?? []).map(toMount))
  assertApart(mounts)
  const workdir = call.workdir ?? currentFolder(mounts)
  if (workdir !== undefined && !posix.isAbsolute(workdir)) {
    throw refusal(
      `The working folder ${workdir} is relative`,
      '',
      'Name it as the container sees it, such as /work.',
    )
  }
  const runsAs = call.user ?? (await user(mounts))
  return {
    spec: {
      name: taskName('exec', image.split('/').at(-1) ?? image),
      kind: 'exec',
      image,
      environment: env,
      limits: { ...limits, ...(runsAs === undefined ? {} : { user: runsAs }) },
      keep,
      ...(args === undefined || args.length === 0 ? {} : { command: args }),
      ...(workdir === undefined ? {} : { workdir }),
      ...(mounts.length === 0 ? {} : { mounts }),
      ...(gpus === undefined || gpus === 0 ? {} : { gpus }),
    },
    input: toInput(input),
    timeoutMs,
    stopGraceSeconds,
    maxOutputBytes,
    onStdout: call.onStdout,
    onStderr: call.onStderr,
  }
}

function toInput(input: NonNullable<ImageCall['input']>): TaskInput {
  if (typeof input === 'string') return Buffer.from(input)
  return input instanceof Uint8Array ? input : inBytes(input)
}

async function* inBytes(
  parts: Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>,
): AsyncGenerator<Uint8Array> {
  for await (const part of parts) yield typeof part === 'string' ? Buffer.from(part) : part
}

async function toMount({ source, target, readOnly = false }: ImageMount): Promise<Mount> {
  const path = resolve(source)
  try {
    await stat(path)
  } catch (error) {
    const hint = 'Name a file or folder that is there, or make the folder first.'
    throw refusal(`${path} can't be mounted`, messageOf(error), hint)
  }
  const place = target ?? path
  if (!posix.isAbsolute(place) || posix.normalize(place) === '/') {
    const hint = 'Name an absolute path other than /, such as /work.'
    throw refusal(`${path} can't be mounted at ${place}`, 'that is no place in a container', hint)
  }
  return { source: path, target: place, readOnly }
}

function assertApart(mounts: readonly Mount[]): void {
  const places = mounts.map(({ target }) => posix.resolve(target))
  const twice = places.find((place, index) => places.indexOf(place) < index)
  if (twice === undefined) return
  throw refusal(`Two mounts go to ${twice}`, '', 'Give each a place of its own.')
}

/** The current folder as the container sees it; the innermost mount that holds it counts. */
function currentFolder(mounts: readonly Mount[]): string | undefined {
  const here = resolve('.')
  const [closest] = mounts
    .map(({ source, target }) => ({ target, rest: relative(source, here) }))
    .filter(({ rest }) => rest !== '..' && !rest.startsWith(`..${sep}`) && !isAbsolute(rest))
    .sort((a, b) => a.rest.length - b.rest.length)
  return closest && posix.join(closest.target, closest.rest.split(sep).join('/'))
}

function assertPositive(name: string, value: number): void {
  if (!(value > 0)) throw refusal(`${name} must be above 0`, '', `Not ${value}.`)
}

function refusal(what: string, why: string, hint: string): OperatorError {
  return new OperatorError(what, why, hint, EXIT.usage)
}
