import { messageOf, RetryableError } from '../../../core/errors.ts'
import { ImageError } from '../../executor.ts'
import { parseReference } from '../images/reference.ts'

/** The engine answered, and said no. */
export class EngineError extends Error {
  override readonly name = 'EngineError'
  /** HTTP status; 200 when the refusal came inside a stream. */
  readonly status: number
  /** False = not in the engine's own form: what stands between us, a proxy perhaps, may have said it. */
  readonly isByEngine: boolean

  constructor(status: number, message: string, isByEngine = true) {
    super(message === '' ? `HTTP status ${status}` : message)
    this.status = status
    this.isByEngine = isByEngine
  }
}

/** There was no answer, or half of one: the engine is down, stopping, restarting or out of reach. */
export function transportError(error: unknown, address: string): RetryableError {
  return new RetryableError(
    'engine',
    `The Docker engine at ${address} does not answer: ${messageOf(error)}`,
    {
      cause: error,
    },
  )
}

/** What is left when nothing more is known: the engine's own trouble, or a full disk. Other errors stay as they are. */
export function surroundingError(error: unknown): unknown {
  if (!(error instanceof EngineError)) return error
  if (saysDiskFull(error.message)) {
    return new RetryableError(
      'disk',
      `Docker's disk is full: ${error.message}. Free some space (\`docker system df\` shows what there is)`,
      { cause: error },
    )
  }
  return new RetryableError('engine', `The Docker engine refused: ${error.message}`, { cause: error })
}

/** Why a container could not be created or started. */
export function startError(error: unknown, image: string): unknown {
  if (!(error instanceof EngineError)) return error
  if (!error.isByEngine) return surroundingError(error)
  const options = { cause: error }
  // Names from the image and the configuration stand in quotes; they must not decide whose fault it is.
  const said = withoutQuotes(error.message)
  // After a program's name comes its path, and after these words what the image calls its user, both without quotes.
  const [before = ''] = said.split(/exec: ""|unable to find (?:user|group)/i, 1)
  if (SAYS_OWN_TROUBLE.test(before)) return surroundingError(error)
  if (
    /does not match the (specified|requested) platform|no matching manifest|exec format error/i.test(said)
  ) {
    return new ImageError(
      'platform_mismatch',
      `Image ${image} does not fit this machine: ${error.message}`,
      options,
    )
  }
  if (error.status === 404 && /no such image/i.test(said)) {
    return new ImageError('not_found', `Image ${image} is not there any more: ${error.message}`, options)
  }
  if (SAYS_NEIGHBOUR_GONE.test(said)) return surroundingError(error)
  if (SAYS_NOT_STARTABLE.test(said) || (error.status === 400 && !saysDiskFull(said))) return notStartable()
  if (saysDiskFull(said) || SAYS_EXHAUSTED.test(said)) return surroundingError(error)
  return /error during container init/i.test(said) ? notStartable() : surroundingError(error)

  function notStartable(): ImageError {
    return new ImageError('not_startable', `Image ${image} can't be started: ${messageOf(error)}`, options)
  }
}

/** Why an image could not be pulled, from an HTTP error or an error inside the stream. */
export function pullError(error: unknown, image: string): unknown {
  if (!(error instanceof EngineError)) return error
  if (!error.isByEngine) return surroundingError(error)
  const { message } = error
  const options = { cause: error }
  const said = withoutName(withoutQuotes(message), image)
  // First what says nothing of the image: paths in it may hold any of the words below.
  if (SAYS_DISK_FULL_AT_LAST.test(said)) return surroundingError(error)
  if (SAYS_NETWORK.test(said)) return failed()
  if (SAYS_STORE_TROUBLE.test(said)) return surroundingError(error)
  if (SAYS_UNPACKING.test(said)) return failed()
  if (SAYS_OWN_FILE.test(said)) return surroundingError(error)
  if (/toomanyrequests|too many requests|rate limit/i.test(said)) {
    return new RetryableError('registry', `The registry of ${image} asks to slow down: ${message}`, options)
  }
  // Before "not found": Docker Hub says "access denied … does not exist" for private and missing ones alike.
  if (/denied|unauthorized|authentication required|no basic auth credentials|forbidden/i.test(said)) {
    return new ImageError('denied', `The registry refuses ${image}: ${message}`, options)
  }
  if (
    /invalid reference|invalid repository name|repository name must|invalid tag|invalid checksum digest|unsupported digest/i.test(
      said,
    )
  ) {
    return new ImageError('invalid_reference', `${image} is not the name of an image: ${message}`, options)
  }
  if (
    /no matching manifest|does not match the (specified|requested) platform|image operating system .* cannot be used/i.test(
      said,
    )
  ) {
    return new ImageError(
      'platform_mismatch',
      `Image ${image} does not exist for this machine: ${message}`,
      options,
    )
  }
  if (/not found|manifest unknown|name unknown|does not exist|no such image/i.test(said)) {
    return new ImageError('not_found', `Image ${image} does not exist: ${message}`, options)
  }
  return saysDiskFull(said) ? surroundingError(error) : failed()

  function failed(): RetryableError {
    return new RetryableError('registry', `Pulling ${image} failed: ${message}`, options)
  }
}

/** Words for what the engine starts and mounts itself, before it comes to the program of the image. */
const SAYS_OWN_TROUBLE =
  /fork\/exec \/|failed to start shim|containerd-shim|unable to retrieve OCI runtime error|creating overlay mount|\/sys\/fs\/cgroup/i

/** What is in a layer may be broken, or can't be written here: only the jobs of that image are to wait. */
const SAYS_UNPACKING =
  /failed to (register|extract) layer|error processing tar file|applylayer|archive\/tar|mount callback failed/i

/** Words for an engine that can't keep what it has downloaded. */
const SAYS_STORE_TROUBLE =
  /(layer|lease) does not exist|failed to prepare extraction|(input\/output error|read-only file system)(: unknown)?$/i

/** A file of the engine's own. */
const SAYS_OWN_FILE = /\b(open|create|write|rename|link|mkdir|chmod|stat|lstat|remove|unlinkat) \//i

/** Words of the engine, of containerd and of runc for an image or a setting that can't work here. */
const SAYS_NOT_STARTABLE = new RegExp(
  [
    'executable file not found',
    'exec:? .*(no such file|permission denied|is a directory|not a directory)',
    'no command specified',
    'unable to find (user|group)',
    'chdir to cwd',
    'invalid working directory',
    'unknown (or invalid )?runtime',
    'wrong rlimit value',
    'invalid tmpfs option',
    "can't contain null",
    'invalid (argument|environment|volume)',
  ].join('|'),
  'i',
)

/** The container whose namespace was to be joined has ended; the engine calls that a bad request. */
export const SAYS_NEIGHBOUR_GONE = /(is not|non) running|namespace path: .*\/proc\/\d+\/ns\//i

/** The machine is short of something, whatever the container asked for. */
const SAYS_EXHAUSTED = /cannot allocate memory|resource temporarily unavailable|too many open files/i

/** A missing host is no missing image. */
const SAYS_NETWORK = /no such host|lookup |dial tcp|i\/o timeout|connection refused|server misbehaving/i

const SAYS_DISK_FULL_AT_LAST = /(no space left on device|disk quota exceeded)(: unknown)?$/i

function saysDiskFull(message: string): boolean {
  return /no space left on device|disk quota exceeded|not enough space/i.test(message)
}

/** An image may be called test/denied, and still be missing; names without a slash are the Docker Hub's own. */
function withoutName(message: string, image: string): string {
  const { repository = image, name = image } = parseReference(image) ?? {}
  const names = [image, name, repository, name.slice(name.indexOf('/') + 1)]
  return names.filter((each) => each.includes('/')).reduce((text, each) => text.replaceAll(each, ''), message)
}

function withoutQuotes(message: string): string {
  return message.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
}
