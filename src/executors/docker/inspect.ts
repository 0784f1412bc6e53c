import { readFile } from 'node:fs/promises'
import { messageOf } from '../../core/errors.ts'
import { ImageError } from '../executor.ts'
import type { Environment } from './api/docker-config.ts'
import type { Engine } from './api/engine.ts'
import { engineKind, type EngineKind } from './api/engine-kind.ts'
import { EngineError, pullError, surroundingError } from './api/errors.ts'
import { isVirtual } from './host/engine-data.ts'
import { runsNatively } from './images/platform.ts'
import { isAllowed, isReference, parseReference } from './images/reference.ts'
import { registryAuth, type RegistryLogin } from './images/registry-auth.ts'
import { findImage, platformOf } from './images/stored-image.ts'

/** What an engine says of itself. */
export interface EngineReport extends EngineKind {
  /** The engine has a virtual machine of its own: its folders are not this machine's. */
  isVirtual: boolean
  /** Where it keeps images and containers. */
  dataRoot: string
}

/** Asks an engine about itself. RetryableError('engine') when it does not answer. */
export async function inspectEngine(engine: Engine, signal: AbortSignal): Promise<EngineReport> {
  try {
    const [kind, answer] = await Promise.all([engineKind(engine), engine.json('GET', '/info', { signal })])
    const info = answer as InfoAnswer
    return {
      ...kind,
      os: kind.os || (info.OSType ?? 'linux'),
      isVirtual: isVirtual(info),
      dataRoot: info.DockerRootDir ?? '',
    }
  } catch (error) {
    throw surroundingError(error)
  }
}

interface InfoAnswer {
  OSType?: string
  OperatingSystem?: string
  Name?: string
  DockerRootDir?: string
}

/** Longest time that a credential helper may take; a check has no more. */
const HELPER_TIMEOUT_MS = 10_000

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
  /** Registry → login; wins over Docker's own configuration. */
  logins: Readonly<Record<string, RegistryLogin>>
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
  const found = await findImage(engine, image, signal)
  const present = found && platformOf(found)
  if (present !== undefined && (platform === undefined || isPlatform(present, platform)))
    return { where: 'here', platforms: [present], runs: await howItRuns(engine, report, [present]) }
  const reference = parseReference(image)
  if (reference === undefined || neverPull) {
    const why = reference === undefined ? "an id can't be pulled" : 'pull_policy is never'
    const what =
      present === undefined ? 'is not on this machine' : `is here for ${present}, not for ${String(platform)}`
    throw new ImageError('not_found', `Image ${image} ${what}, and ${why}`)
  }
  const platforms = await askRegistry(engine, image, question, signal)
  if (platforms === undefined) return { where: 'unknown', platforms: [], runs: 'natively' }
  const wanted = platform === undefined ? platforms : platforms.filter((each) => isPlatform(each, platform))
  return { where: 'registry', platforms, runs: await howItRuns(engine, report, wanted) }
}

function isPlatform(platform: string, wanted: string): boolean {
  return `${platform}/`.startsWith(`${wanted}/`)
}

/** The platforms that the registry has the image for; undefined when the engine knows no way to ask. */
async function askRegistry(
  engine: Engine,
  image: string,
  { logins, environment }: ImageQuestion,
  signal: AbortSignal,
): Promise<string[] | undefined> {
  const registry = parseReference(image)?.registry ?? ''
  const options = { logins, environment, signal, timeoutMs: HELPER_TIMEOUT_MS }
  let trouble = ''
  const auth = await registryAuth(registry, options).catch((error: unknown) => {
    trouble = ` (${messageOf(error)})`
    return undefined
  })
  try {
    const path = image.split('/').map(encodeURIComponent).join('/')
    const answer = (await engine.json('GET', `/distribution/${path}/json`, {
      signal,
      headers: auth === undefined ? {} : { 'X-Registry-Auth': auth.header },
    })) as { Platforms?: { os?: string; architecture?: string; variant?: string }[] | null }
    return (answer.Platforms ?? []).map(({ os = 'linux', architecture = '', variant = '' }) =>
      platformOf({ os, architecture, variant }),
    )
  } catch (error) {
    signal.throwIfAborted()
    // Podman has no such question.
    if (error instanceof EngineError && /^(page )?not found$/i.test(error.message.trim())) return undefined
    throw distributionError(error, image, trouble)
  }
}

/** This question has less to say than a pull: a bare 401, 403 or 404 for all that a registry refuses. */
function distributionError(error: unknown, image: string, trouble: string): unknown {
  const sorted = pullError(error, image)
  if (sorted instanceof ImageError) return new ImageError(sorted.reason, `${sorted.message}${trouble}`)
  if (!(error instanceof EngineError)) return sorted
  if (error.status === 401 || error.status === 403)
    return new ImageError('denied', `The registry refuses ${image}: ${error.message}${trouble}`, {
      cause: error,
    })
  return sorted
}

function isLocal({ label }: Engine): boolean {
  return label.startsWith('unix://')
}

/** What QEMU calls them. */
const QEMU: Record<string, string> = { amd64: 'x86_64', '386': 'i386', arm64: 'aarch64' }

async function howItRuns(
  engine: Engine,
  { architecture, isVirtual }: EngineReport,
  platforms: readonly string[],
): Promise<ImageReport['runs']> {
  const wanted = platforms.map((platform) => platform.split('/')[1] ?? '')
  // What names no architecture was imported from files, and is this machine's own as far as anybody knows.
  if (wanted.some((each) => runsNatively(architecture, each))) return 'natively'
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
