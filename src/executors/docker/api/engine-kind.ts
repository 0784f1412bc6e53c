import type { Logger } from '../../../core/log.ts'
import { asRecord } from '../../../core/unknown-json.ts'
import type { Engine } from './engine.ts'
import { surroundingError } from './errors.ts'
import { oncePerEngine, type OncePerEngine } from './once-per-engine.ts'

/** What sort of engine this is. */
export interface EngineKind {
  product: 'Docker' | 'Podman'
  version: string
  /** Whether runners work with this version. */
  isSupported: boolean
  /** The oldest that they work with. */
  oldest: string
  /** `linux`, or what can't run our images; empty when it does not say. */
  os: string
  /** As images name it, e.g. amd64; empty when it does not say. */
  architecture: string
}

const OLDEST = { Docker: '20.10', Podman: '4.0' }

/** Asks an engine once what it is. RetryableError('engine') when it does not answer; then it is asked again. */
export const engineKind = once(async (engine): Promise<EngineKind> => {
  const answer = (await engine.json('GET', '/version')) as VersionAnswer
  const isPodman = (answer.Components ?? []).some(({ Name }) => /podman/i.test(Name ?? ''))
  const product = isPodman ? 'Podman' : 'Docker'
  const { Version: version = '' } = answer
  const oldest = OLDEST[product]
  return {
    product,
    version: version === '' ? 'unknown' : version,
    isSupported: isAtLeast(version, oldest),
    oldest,
    os: answer.Os ?? '',
    architecture: answer.Arch ?? '',
  }
})

/** Says in the log what an engine lacks. RetryableError('engine') when it does not answer. */
export async function warnOfEngine(engine: Engine, log: Logger): Promise<void> {
  const { product, version, isSupported, oldest } = await engineKind(engine)
  const fields = { engine: `${product} ${version}`, at: engine.label }
  if (!isSupported) log.warn('The engine is too old: jobs may fail or hang', { ...fields, oldest })
  else if (product === 'Podman')
    log.warn('Podman hands over no GPUs: jobs that ask for one are refused', fields)
}

/** Whether root of a container is the engine's own user outside of it. */
export const isRootless = once(async (engine) => {
  const { SecurityOptions: options, Rootless: says } = asRecord(await engine.json('GET', '/info'))
  return says === true || (Array.isArray(options) && options.includes('name=rootless'))
})

interface VersionAnswer {
  Version?: string
  Os?: string
  Arch?: string
  Components?: { Name?: string }[] | null
}

/** As `oncePerEngine`, with errors that say who can act. */
function once<T>(ask: (engine: Engine) => Promise<T>): OncePerEngine<T> {
  return oncePerEngine((engine) =>
    ask(engine).catch((error: unknown) => {
      throw surroundingError(error)
    }),
  )
}

function isAtLeast(version: string, oldest: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10))
  const [oldestMajor = 0, oldestMinor = 0] = oldest.split('.').map(Number)
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)
}
