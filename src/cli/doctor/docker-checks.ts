import type { Config } from '../../config/schema.ts'
import type { Environment } from '../../config/problem.ts'
import { RetryableError } from '../../core/errors.ts'
import type { Engine } from '../../executors/docker/api/engine.ts'
import type { EngineReport, ImageReport } from '../../executors/docker/inspect.ts'
import { ImageError } from '../../executors/executor.ts'
import { failed, failedBy, ok, unchecked, type Check, type Finding } from './finding.ts'
import { checkGpus, type GpuContext } from './gpu-check.ts'

/** The engine and what it says of itself; rejects when there is none. */
export interface FoundEngine {
  engine: Engine
  report: EngineReport
}

const NO_DOCKER = "Docker can't be used"

/** Finds the engine that runners would use. */
export async function findEngine(
  host: string | undefined,
  environment: Environment,
  signal: AbortSignal,
): Promise<FoundEngine> {
  const [{ connectEngine }, { inspectEngine }] = await Promise.all([
    import('../../executors/docker/api/connect.ts'),
    import('../../executors/docker/inspect.ts'),
  ])
  const engine = await connectEngine({ host, environment, signal })
  try {
    return { engine, report: await inspectEngine(engine, signal) }
  } catch (error) {
    engine.close()
    throw error
  }
}

/** The engine, and the disk that it writes to. */
export function engineChecks(
  found: Promise<FoundEngine>,
  leastFreeBytes: number,
  context: Omit<GpuContext, 'found'>,
): Check[] {
  return [
    { id: 'docker', title: 'Docker', run: () => checkEngine(found) },
    { id: 'disk', title: "Docker's disk", run: () => checkDisk(found, leastFreeBytes) },
    {
      id: 'gpu',
      title: 'GPU toolkit',
      run: () => checkGpus({ ...context, found }),
    },
  ]
}

async function checkEngine(found: Promise<FoundEngine>): Promise<Finding> {
  let engine: Engine
  let report: EngineReport
  try {
    ;({ engine, report } = await found)
  } catch (error) {
    return failedBy(error, 'Is Docker running? `docker info` must work for this user.')
  }
  const { product, version, isSupported, oldest, os, architecture } = report
  const detail = `${product} ${version} at ${engine.label}, ${os}/${architecture}`
  if (!isSupported) return failed(`${detail} is too old`, `Install ${product} ${oldest} or newer.`)
  if (os !== 'linux') {
    return failed(`${detail} runs no Linux containers`, 'Switch Docker to Linux containers.')
  }
  return ok(detail)
}

async function checkDisk(found: Promise<FoundEngine>, leastFreeBytes: number): Promise<Finding> {
  const there = await found.catch(() => undefined)
  if (there === undefined) return unchecked(NO_DOCKER)
  const { freeDiskBytes } = await import('../../executors/docker/host/engine-data.ts')
  const free = await freeDiskBytes(there.engine)
  if (free === undefined) return unchecked('it is not on this machine')
  const detail = `${gibibytes(free)} free in ${there.report.dataRoot}`
  if (free >= leastFreeBytes) return ok(detail)
  return failed(
    `only ${detail}; runners need ${gibibytes(leastFreeBytes)}`,
    'Free some space: `docker system df` shows what Docker holds, `docker image prune -a` removes images that no container uses.',
  )
}

function gibibytes(bytes: number): string {
  return `${(bytes / 1024 ** 3).toFixed(1)} GiB`
}

/** An image that a match runs. */
export interface WantedImage {
  image: string
  /** `os/arch[/variant]` that the settings ask for. */
  platform: string | undefined
  /** E.g. `problem of match *`. */
  use: string
}

/** The images of a config's matches, each once for each platform that is asked for. */
export function imagesOf(config: Config, parts: readonly ('problem' | 'indicator')[]): WantedImage[] {
  const wanted = new Map<string, WantedImage>()
  for (const [id, match] of Object.entries(config.matches)) {
    for (const part of parts) {
      const recipe = match[part]
      if (recipe === undefined) continue
      const platform = recipe.limits?.platform ?? config.limits.platform ?? config.docker.platform
      const key = JSON.stringify([recipe.image, platform])
      const use = `${part} of match ${id}`
      const known = wanted.get(key)
      if (known === undefined) wanted.set(key, { image: recipe.image, platform, use })
      else known.use += `, ${use}`
    }
  }
  return [...wanted.values()]
}

interface ImageContext {
  found: Promise<FoundEngine>
  config: Config
  environment: Environment
  signal: AbortSignal
}

/** One check for each image: whether it is here or could be pulled, and runs on this machine. Nothing is pulled. */
export function imageChecks(images: readonly WantedImage[], context: ImageContext): Check[] {
  return images.map((wanted) => ({
    id: `image:${wanted.image}`,
    title: `Image ${wanted.image}`,
    run: () => checkImage(wanted, context),
  }))
}

/** Whether an image can be run here. */
export async function checkImage(wanted: WantedImage, context: ImageContext): Promise<Finding> {
  const { config, environment, signal } = context
  const there = await context.found.catch(() => undefined)
  if (there === undefined) return unchecked(NO_DOCKER)
  const { inspectImage } = await import('../../executors/docker/inspect.ts')
  const { image, platform } = wanted
  const question = {
    image,
    platform,
    neverPull: config.pull_policy === 'never',
    allowed: config.allowed_images,
    logins: config.docker.registry_auth,
    environment,
  }
  try {
    return judgeImage(wanted, await inspectImage(there.engine, there.report, question, signal), there.report)
  } catch (error) {
    signal.throwIfAborted()
    return failedBy(error, howToGet(error, image))
  }
}

function judgeImage(
  { image, platform, use }: WantedImage,
  { where, platforms, runs }: ImageReport,
  { os, architecture }: EngineReport,
): Finding {
  if (where === 'unknown') return unchecked('it is not here yet, and this engine can ask no registry for it')
  const place = where === 'here' ? 'on this machine' : 'in its registry'
  const shown = platforms.filter((each) => each.split('/')[1] !== '').join(', ')
  const detail = `${place}${shown === '' ? '' : ` for ${shown}`} (${use})`
  if (runs === 'natively') return ok(detail)
  const machine = `${os}/${architecture}`
  if (runs === 'emulated') return ok(`${detail}, emulated on ${machine}: slower than one for ${machine}`)
  if (platform !== undefined && !platforms.some((each) => `${each}/`.startsWith(`${platform}/`))) {
    return failed(
      `${detail}, not for ${platform} as the settings ask`,
      `Build and push it for ${platform} (\`docker buildx build --platform ${platform} …\`), or change \`platform\` in the config file.`,
    )
  }
  return failed(
    `${detail}, but this machine is ${machine}: its programs end with "exec format error"`,
    `Build it for ${machine}: \`docker buildx build --platform ${machine} -t ${image} …\`; or use a machine that it fits; or install an emulator: \`docker run --privileged --rm tonistiigi/binfmt --install all\`.`,
  )
}

function howToGet(error: unknown, image: string): string {
  if (error instanceof RetryableError) {
    return error.surrounding === 'engine'
      ? 'Is Docker running? `docker info` must work for this user.'
      : `Check the network and whether the registry answers: \`docker pull ${image}\`.`
  }
  if (!(error instanceof ImageError)) return `See what \`docker pull ${image}\` says.`
  switch (error.reason) {
    case 'denied':
      return `Log in to its registry as a user who may read it (\`docker login\`), or check the name: \`docker pull ${image}\` must work.`
    case 'not_found':
      return `Check the name in the config file; push the image to its registry, or bring it here by \`docker build -t ${image} …\` or \`docker load\`.`
    case 'invalid_reference':
      return 'Write it as [registry/]name[:tag], in small letters.'
    case 'not_allowed':
      return 'Add it to allowed_images in the config file, or name another image.'
    case 'platform_mismatch':
    case 'not_startable':
      return `Build it for the platform of this machine, and push it again.`
  }
}
