import { readFile, statfs } from 'node:fs/promises'
import { RetryableError } from '../../core/errors.ts'
import { ImageError } from '../executor.ts'
import type { Environment } from './docker-config.ts'
import type { Engine } from './engine.ts'
import { EngineError, pullError, surroundingError } from './errors.ts'
import { isAllowed, isReference, parseReference } from './reference.ts'
import { registryAuth } from './registry-auth.ts'

/** What an engine says of itself. */
export interface EngineReport {
  product: 'Docker' | 'Podman'
  version: string
  /** Whether runners work with this version. */
  isSupported: boolean
  /** The oldest that they work with. */
  oldest: string
  /** `linux`, or what can't run our images. */
  os: string
  /** As images name it, e.g. amd64. */
  architecture: string
  /** The engine has a virtual machine of its own: its folders are not this machine's. */
  isVirtual: boolean
  /** Where it keeps images and containers. */
  dataRoot: string
}

const OLDEST = { Docker: '20.10', Podman: '4.0' }

/** Asks an engine about itself. RetryableError('engine') when it does not answer. */
export async function inspectEngine(engine: Engine, signal: AbortSignal): Promise<EngineReport> {
  try {
    const [version, info] = (await Promise.all([
      engine.json('GET', '/version', { signal }),
      engine.json('GET', '/info', { signal }),
    ])) as [VersionAnswer, InfoAnswer]
    const isPodman = (version.Components ?? []).some(({ Name }) => /podman/i.test(Name ?? ''))
    const product = isPodman ? 'Podman' : 'Docker'
    const oldest = OLDEST[product]
    return {
      product,
      version: version.Version ?? 'unknown',
      isSupported: isAtLeast(version.Version ?? '', oldest),
      oldest,
      os: version.Os ?? info.OSType ?? 'linux',
      architecture: version.Arch ?? '',
      isVirtual: /docker desktop|colima|rancher|orbstack|lima/i.test(
        `${info.OperatingSystem ?? ''} ${info.Name ?? ''}`,
      ),
      dataRoot: info.DockerRootDir ?? '',
    }
  } catch (error) {
    throw surroundingError(error)
  }
}

interface VersionAnswer {
  Version?: string
  Os?: string
  Arch?: string
  Components?: { Name?: string }[]
}

interface InfoAnswer {
  OSType?: string
  OperatingSystem?: string
  Name?: string
  DockerRootDir?: string
}

function isAtLeast(version: string, oldest: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10))
  const [oldestMajor = 0, oldestMinor = 0] = oldest.split('.').map(Number)
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)
}

/** Bytes that are free where an engine keeps its data; undefined when that is not on this machine. */
export async function freeDiskBytes(engine: Engine, report: EngineReport): Promise<number | undefined> {
  if (!isLocal(engine) || report.isVirtual || report.dataRoot === '') return undefined
  try {
    const { bavail, bsize } = await statfs(report.dataRoot)
    return bavail * bsize
  } catch {
    return undefined
  }
}

function isLocal({ label }: Engine): boolean {
  return label.startsWith('unix://')
}

/** Whether and how an image can be run. */
export interface ImageReport {
  /** `unknown` = not here, and this engine can't ask a registry without pulling. */
  where: 'here' | 'registry' | 'unknown'
  /** `os/arch[/variant]` of what is there; empty when nobody says. */
  platforms: readonly string[]
  /** How the engine can run one of them. */
  runs: 'natively' | 'emulated' | 'never'
}

export interface ImageQuestion {
  image: string
  /** `os/arch[/variant]` that is asked for; left out = the engine's own. */
  platform?: string | undefined
  /** The registry may not be asked. */
  neverPull: boolean
  /** Patterns of images that may run; none = all. */
  allowed: readonly string[]
  /** For Docker's config.json and its credential helpers. */
  environment: Environment
}

/** Whether an image is here or could be pulled, without pulling it. ImageError and RetryableError say why not. */
export async function inspectImage(
  engine: Engine,
  report: EngineReport,
  question: ImageQuestion,
  signal: AbortSignal,
): Promise<ImageReport> {
  const { image, platform, neverPull, allowed } = question
  if (!isReference(image))
    throw new ImageError('invalid_reference', `${JSON.stringify(image)} is not the name of an image`)
  if (!isAllowed(image, allowed))
    throw new ImageError('not_allowed', `Image ${image} is not among the allowed images`)
  const present = await presentPlatform(engine, image, signal)
  if (present !== undefined && (platform === undefined || isPlatform(present, platform)))
    return { where: 'here', platforms: [present], runs: await howItRuns(engine, report, [present]) }
  const reference = parseReference(image)
  if (reference === undefined || neverPull) {
    const why = reference === undefined ? "an id can't be pulled" : 'pull_policy is never'
    const what =
      present === undefined ? 'is not on this machine' : `is here for ${present}, not for ${String(platform)}`
    throw new ImageError('not_found', `Image ${image} ${what}, and ${why}`)
  }
  const platforms = await askRegistry(engine, image, question.environment, signal)
  if (platforms === undefined) return { where: 'unknown', platforms: [], runs: 'natively' }
  const wanted = platform === undefined ? platforms : platforms.filter((each) => isPlatform(each, platform))
  return { where: 'registry', platforms, runs: await howItRuns(engine, report, wanted) }
}

function isPlatform(platform: string, wanted: string): boolean {
  return `${platform}/`.startsWith(`${wanted}/`)
}

async function presentPlatform(
  engine: Engine,
  image: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const found = (await engine.json('GET', `/images/${encodeURIComponent(image)}/json`, {
      signal,
    })) as Record<'Os' | 'Architecture' | 'Variant', string | undefined>
    return platformOf(found.Os, found.Architecture, found.Variant)
  } catch (error) {
    if (error instanceof EngineError && error.status < 500) return undefined
    throw surroundingError(error)
  }
}

/** The platforms that the registry has the image for; undefined when the engine knows no way to ask. */
async function askRegistry(
  engine: Engine,
  image: string,
  environment: Environment,
  signal: AbortSignal,
): Promise<string[] | undefined> {
  const registry = parseReference(image)?.registry ?? ''
  const auth = await registryAuth(registry, environment).catch(() => undefined)
  try {
    const path = image.split('/').map(encodeURIComponent).join('/')
    const answer = (await engine.json('GET', `/distribution/${path}/json`, {
      signal,
      headers: auth === undefined ? {} : { 'X-Registry-Auth': auth },
    })) as { Platforms?: { os?: string; architecture?: string; variant?: string }[] | null }
    return (answer.Platforms ?? []).map(({ os, architecture, variant }) =>
      platformOf(os, architecture, variant),
    )
  } catch (error) {
    signal.throwIfAborted()
    // Podman has no such question.
    if (error instanceof EngineError && /^(page )?not found$/i.test(error.message.trim())) return undefined
    throw distributionError(error, image)
  }
}

/** This question has less to say than a pull: a bare 401, 403 or 404 for all that a registry refuses. */
function distributionError(error: unknown, image: string): unknown {
  const sorted = pullError(error, image)
  if (!(error instanceof EngineError) || !(sorted instanceof RetryableError)) return sorted
  if (error.status === 401 || error.status === 403)
    return new ImageError('denied', `The registry refuses ${image}: ${error.message}`, { cause: error })
  return sorted
}

function platformOf(os = 'linux', architecture = '', variant = ''): string {
  return [os, architecture, variant].filter((part) => part !== '').join('/')
}

/** Architectures that a processor of another name runs by itself. */
const ALSO: Record<string, readonly string[]> = { amd64: ['386'], arm64: ['arm'] }
/** What QEMU calls them. */
const QEMU: Record<string, string> = { amd64: 'x86_64', '386': 'i386', arm64: 'aarch64' }

async function howItRuns(
  engine: Engine,
  { architecture, isVirtual }: EngineReport,
  platforms: readonly string[],
): Promise<ImageReport['runs']> {
  const wanted = platforms.map((platform) => platform.split('/')[1] ?? '')
  // What names no architecture was imported from files, and is this machine's own as far as anybody knows.
  const native = ['', architecture, ...(ALSO[architecture] ?? [])]
  if (architecture === '' || wanted.some((each) => native.includes(each))) return 'natively'
  for (const each of wanted) if (await isEmulated(engine, isVirtual, each)) return 'emulated'
  return 'never'
}

/** Whether the kernel hands programs of this architecture to an emulator. */
async function isEmulated(engine: Engine, isVirtual: boolean, architecture: string): Promise<boolean> {
  // Such machines bring one along.
  if (isVirtual) return true
  if (!isLocal(engine)) return false
  const path = `/proc/sys/fs/binfmt_misc/qemu-${QEMU[architecture] ?? architecture}`
  return (await readFile(path, 'utf8').catch(() => '')).startsWith('enabled')
}
