import { LONGEST_JOB_MS } from '../../core/lease.ts'
import type { TaskLimits, TaskSpec } from '../../executors/executor.ts'
import { RequestError, shown } from '../fields.ts'
import type { InferenceRequest, Resources } from './message.ts'
import type { ExistingServer, InferenceSettings, Mode, ServerProtocol, Sizes } from './settings.ts'

/** How a container is to be started for a job. */
export interface ContainerPlan {
  image: string
  /** The operator has named it: what is wrong with it is not the job's fault. */
  isPinned: boolean
  args: readonly string[] | undefined
  env: Readonly<Record<string, string>>
  limits: TaskLimits
  gpus: number
  /** The least memory of each. */
  gpuMemoryBytes: number | undefined
}

/** A container that stays, and how it is treated. */
export interface KeptPlan extends ContainerPlan {
  protocol: ServerProtocol
  server: NonNullable<TaskSpec['server']> | undefined
  /** The image may name a unix socket, in place of the port. */
  mayNameSocket: boolean
  healthPath: string | undefined
  maxConcurrency: number
  startupTimeoutMs: number
  keepAliveMs: number
}

/** All that is to be done for a request. */
export type InferencePlan = {
  request: InferenceRequest
  timeoutMs: number
} & (
  | { mode: 'oneshot'; container: ContainerPlan }
  | { mode: 'jsonl' | 'server'; kept: KeptPlan }
  | { mode: 'existing'; existing: ExistingServer }
)

/** What a request says of its container. */
type ContainerWishes = Pick<InferenceRequest, 'image' | 'mode' | 'protocol' | 'resources' | 'server'>

/** The names of sizes, as messages spell them, and in what unit. */
const SIZE_NAMES: Record<keyof Sizes, [name: string, unit: number]> = {
  cpus: ['cpus', 1],
  memoryBytes: ['memory_mb', 1024 ** 2],
  shmBytes: ['shm_mb', 1024 ** 2],
  gpus: ['gpus', 1],
}

/** What a config allows a request to have. RequestError says in one sentence why there is nothing to be done for it. */
export function planInference(
  request: InferenceRequest,
  settings: InferenceSettings,
  isImageAllowed: (image: string, patterns: readonly string[]) => boolean,
): InferencePlan {
  const timeoutMs = request.timeoutMs ?? settings.timeoutMs
  assertInTime('timeout_s', timeoutMs)
  if (settings.existing !== undefined) {
    assertForExisting(request)
    return { request, timeoutMs, mode: 'existing', existing: existingFor(request, settings.existing) }
  }
  const mode = request.mode ?? settings.mode
  assertForMode(request, mode)
  const container = containerPlan(request, settings, isImageAllowed)
  if (mode === 'oneshot') return { request, timeoutMs, mode, container: withNetwork(container, settings) }
  const kept = keptPlan(container, request, settings, mode)
  assertInTime('server.startup_timeout_s plus timeout_s', kept.startupTimeoutMs + timeoutMs)
  return { request, timeoutMs, mode, kept }
}

/** Its message can't be held for longer. */
function assertInTime(what: string, ms: number): void {
  if (ms <= LONGEST_JOB_MS) return
  throw new RequestError(`${what} is ${ms / 1000}, and at most ${LONGEST_JOB_MS / 1000} is allowed`)
}

/** The container that the config names, for loading it before any job is there. Undefined where there is none to keep. */
export function pinnedPlan(
  settings: InferenceSettings,
): { mode: 'jsonl' | 'server'; kept: KeptPlan } | undefined {
  const { image, mode } = settings
  if (image === undefined || mode === 'oneshot') return undefined
  const request = { image: undefined, mode: undefined, resources: {}, server: {}, protocol: undefined }
  const container = containerPlan(request, settings, () => true)
  return { mode, kept: keptPlan(container, request, settings, mode) }
}

/** What says nothing to a server that runs already. */
function assertForExisting(request: InferenceRequest): void {
  const { image, mode, inputs, outputs } = request
  const given = [
    ...(image === undefined ? [] : ['image']),
    ...(mode === undefined || mode === 'server' ? [] : [`mode ${mode}`]),
    ...(inputs.length === 0 ? [] : ['inputs']),
    ...(outputs.length === 0 ? [] : ['outputs']),
  ]
  if (given.length === 0) return
  throw new RequestError(
    `${given.join(', ')} can not be had: a server that runs already answers here, and no container is started`,
  )
}

function existingFor({ protocol }: InferenceRequest, existing: ExistingServer): ExistingServer {
  if (protocol === undefined || protocol === existing.protocol) return existing
  // Triton speaks its two forms at the same port.
  const http = ['kserve', 'triton-generate']
  if (http.includes(protocol) && http.includes(existing.protocol)) return { ...existing, protocol }
  throw new RequestError(
    `the protocol ${protocol} can not be had: the server here speaks ${existing.protocol}`,
  )
}

function assertForMode(request: InferenceRequest, mode: Mode): void {
  const { protocol, path, method, headers, server, inputs, outputs } = request
  const onlyServer = [
    ...(protocol === undefined ? [] : ['protocol']),
    ...(path === undefined ? [] : ['path']),
    ...(method === undefined ? [] : ['method']),
    ...(Object.keys(headers).length === 0 ? [] : ['headers']),
    ...(server.port === undefined ? [] : ['server.port']),
    ...(server.healthPath === undefined ? [] : ['server.health_path']),
  ]
  if (mode !== 'server' && onlyServer.length > 0)
    throw new RequestError(`${onlyServer.join(', ')} need mode server, and this is ${mode}`)
  if (mode === 'oneshot') return
  if (inputs.length + outputs.length > 0) {
    throw new RequestError(
      `inputs and outputs need mode oneshot: a container that serves many calls (${mode}) can not have a folder of one job`,
    )
  }
}

/** Whether a request has the operator's model as the operator has it: how long it stays changes nothing of it. */
function isAsPinned(
  { mode, protocol, server, resources }: ContainerWishes,
  settings: InferenceSettings,
): boolean {
  const changed = Object.keys(server).filter((key) => key !== 'keepAliveMs' && key !== 'maxConcurrency')
  return (
    (mode ?? settings.mode) === settings.mode &&
    (protocol ?? settings.protocol) === settings.protocol &&
    changed.length + Object.keys(resources).length === 0
  )
}

function containerPlan(
  request: ContainerWishes,
  settings: InferenceSettings,
  isImageAllowed: (image: string, patterns: readonly string[]) => boolean,
): ContainerPlan {
  const image = request.image ?? settings.image
  if (image === undefined) throw new RequestError('image is missing: name the image of the model')
  const isPinned = image === settings.image
  if (!isPinned) assertImage(image, settings, isImageAllowed)
  const sizes = effectiveSizes(request.resources, settings)
  const { gpus = 0, ...limits } = sizes
  const { gpuMemoryBytes = 0 } = request.resources
  if (gpuMemoryBytes > 0 && gpus === 0)
    throw new RequestError('resources.gpu_memory_mb needs a GPU: give resources.gpus')
  const { args = isPinned ? settings.args : undefined, env } = request.server
  return {
    image,
    isPinned: isPinned && isAsPinned(request, settings),
    args,
    env: { ...(isPinned ? settings.env : {}), ...env },
    limits: { ...settings.limits, ...limits },
    gpus,
    gpuMemoryBytes: gpuMemoryBytes === 0 ? undefined : gpuMemoryBytes,
  }
}

function keptPlan(
  container: ContainerPlan,
  { server, protocol }: Pick<InferenceRequest, 'server' | 'protocol'>,
  settings: InferenceSettings,
  mode: 'jsonl' | 'server',
): KeptPlan {
  const { socket } = settings.server
  const spec =
    mode === 'jsonl'
      ? undefined
      : socket !== undefined && server.port === undefined
        ? { socketPath: socket }
        : { port: server.port ?? settings.server.port }
  const needsPort = spec !== undefined && 'port' in spec
  if (needsPort && settings.network === 'none') {
    throw new RequestError(
      'a server with a port needs a network, which inference.network: none forbids: let it serve a unix socket (inference.server.socket)',
    )
  }
  return {
    ...(needsPort
      ? { ...container, limits: { ...container.limits, network: 'default' } }
      : withNetwork(container, settings)),
    mayNameSocket: needsPort && server.port === undefined,
    protocol: protocol ?? settings.protocol,
    server: spec,
    healthPath: server.healthPath ?? settings.server.healthPath,
    maxConcurrency: server.maxConcurrency ?? settings.server.maxConcurrency,
    startupTimeoutMs: server.startupTimeoutMs ?? settings.startupTimeoutMs,
    keepAliveMs: server.keepAliveMs ?? settings.keepAliveMs,
  }
}

function withNetwork(container: ContainerPlan, { network = 'none' }: InferenceSettings): ContainerPlan {
  return { ...container, limits: { ...container.limits, network } }
}

function assertImage(
  image: string,
  { allowImages, image: own }: InferenceSettings,
  isImageAllowed: (image: string, patterns: readonly string[]) => boolean,
): void {
  if (allowImages === true) return
  if (allowImages === false || allowImages.length === 0) {
    const hint = own === undefined ? '' : ': leave image out'
    throw new RequestError(`images of messages are not allowed here (inference.allow_images is false)${hint}`)
  }
  if (isImageAllowed(image, allowImages)) return
  throw new RequestError(
    `the image ${shown(image)} is not allowed here; allowed are ${allowImages.join(', ')}`,
  )
}

/** What the job asks for on top of the defaults; all that is out of bounds is named. */
function effectiveSizes(asked: Resources, { sizes, maxSizes }: InferenceSettings): Sizes {
  const effective: Sizes = { ...sizes }
  const wrong: string[] = []
  for (const key of Object.keys(SIZE_NAMES) as (keyof Sizes)[]) {
    const value = asked[key]
    if (value === undefined) continue
    const [name, unit] = SIZE_NAMES[key]
    const most = maxSizes[key]
    if (most !== undefined && value > most)
      wrong.push(`resources.${name} is ${value / unit}, and at most ${most / unit} is allowed`)
    effective[key] = value
  }
  if (wrong.length > 0) throw new RequestError(wrong.join('; '))
  return effective
}
