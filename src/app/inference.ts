import type { AwsConnection } from '../aws/client-options.ts'
import { ownUser } from '../config/caller.ts'
import type { Config } from '../config/schema.ts'
import type { Probe } from '../core/breaker.ts'
import { createCleanup, type Cleanup } from '../core/cleanup.ts'
import { systemClock } from '../core/clock.ts'
import type { WorkerKind } from '../core/worker.ts'
import type { Executor } from '../executors/executor.ts'
import { KEPT_STATES } from '../executors/kept.ts'
import type { KeptPoolOptions } from '../executors/kept-pool.ts'
import type { InferenceMessage } from '../kinds/inference/message.ts'
import type { InferenceEngine } from '../kinds/inference/services.ts'
import type { ModelSession } from '../kinds/inference/session.ts'
import type { ExistingServer, InferenceSettings, Sizes } from '../kinds/inference/settings.ts'
import type { ModelServer, ProtocolName } from '../models/protocol.ts'
import { atEndpoint, configuredAws } from './aws.ts'
import type { Connected } from './executor.ts'
import { isAnsweredElsewhere, withoutEngine } from './no-engine.ts'
import { dockerForOneCall, reapInPassing, type OneCallOptions } from './one-call.ts'
import type { RunnerOptions, TableOptions } from './options.ts'
import { taskLimits } from './settings.ts'
import type { RunnerTable } from './table.ts'

/** How often a cancelled job is looked for on this machine's own table. */
const LOCAL_CANCEL_POLL_MS = 1000
/** Containers without GPU that stay without a call, where the config says nothing. */
const WARM_WITHOUT_GPU = 3

/** What calls models from a queue. */
export interface InferenceKind {
  kind: WorkerKind<InferenceMessage, unknown, unknown>
  /** Throws RetryableError('model') while the model that the operator has named is not ready. */
  assertReady: Probe
}

/** What calls models from a queue, by what has been connected for it. Closed by `cleanup`. */
export async function createInferenceKind(
  { table, ...connected }: { table: RunnerTable } & Pick<Connected, 'executor' | 'onGpusWanted'>,
  options: RunnerOptions,
  cleanup: Cleanup,
): Promise<InferenceKind> {
  const { config, local, processName } = options
  const [{ createInference }, { parseInferenceMessage }, { assertModelReady }, engine] = await Promise.all([
    import('../kinds/inference/handler.ts'),
    import('../kinds/inference/message.ts'),
    import('../kinds/inference/ready.ts'),
    openEngine({ ...connected, s3: table.s3 }, options, cleanup),
  ])
  options.onModels?.(() => {
    const states = engine.pool.states()
    return Object.fromEntries(
      KEPT_STATES.map((state) => [state, states.filter((each) => each.state === state).length]),
    )
  })
  const handler = createInference({
    ...engine,
    store: table.store,
    cancelPollMs: local ? LOCAL_CANCEL_POLL_MS : config.cancel_poll * 1000,
    worker: processName,
  })
  return {
    kind: { name: 'inference', parseMessage: parseInferenceMessage, handler },
    assertReady: (signal) => assertModelReady(engine, signal),
  }
}

/** Models of this machine, for one call without queue or table. */
export interface Models {
  engine: InferenceEngine
  /** Throws what is wrong with the engine. */
  probe: Probe
  close(): Promise<void>
}

export type ModelsOptions = OneCallOptions & Pick<TableOptions, 'keys'>

/** Connects to the engine. Close it afterwards. */
export async function openModels(options: ModelsOptions): Promise<Models> {
  const { config, log } = options
  const cleanup = createCleanup(log)
  try {
    const connected = isAnsweredElsewhere(config) ? withoutEngine() : await connectAlone(options, cleanup)
    const { executor } = connected
    const s3 = atEndpoint(await configuredAws(options), config.endpoint_url.s3)
    const engine = await openEngine({ ...connected, s3 }, options, cleanup)
    return {
      engine,
      probe: (signal) => executor.probe(signal),
      close: () => cleanup.run(),
    }
  } catch (error) {
    await cleanup.run()
    throw error
  }
}

async function connectAlone(
  options: OneCallOptions,
  cleanup: Cleanup,
): Promise<Pick<Connected, 'executor' | 'onGpusWanted'>> {
  const { config, dataDir, log } = options
  const [{ engine, executor }, { gpusInUse }, { createGpuLeasing, gpuFolder }] = await Promise.all([
    dockerForOneCall('inference', options),
    import('../executors/docker/gpus/gpus.ts'),
    import('../executors/gpu-lease.ts'),
  ])
  const waitedFor: (() => void)[] = []
  const leasing = createGpuLeasing(executor, {
    folder: gpuFolder(dataDir),
    allowed: config.docker.gpus,
    inUse: (signal) => gpusInUse(engine, signal),
    onWanted: () => {
      for (const giveUp of waitedFor) giveUp()
    },
    whenBusy: 'wait',
    clock: systemClock,
    log,
  })
  cleanup.defer('Docker', () => leasing.close())
  reapInPassing(leasing, cleanup)
  return { executor: leasing, onGpusWanted: (giveUp) => void waitedFor.push(giveUp) }
}

async function openEngine(
  { executor, onGpusWanted, s3 }: Pick<Connected, 'executor' | 'onGpusWanted'> & { s3: AwsConnection },
  options: Omit<ModelsOptions, 'environment'>,
  cleanup: Cleanup,
): Promise<InferenceEngine> {
  const { config, log } = options
  const [{ createKeptPool }, { isAllowed: isImageAllowed }, { openFiles }, { protocolOf, loadTokenizer }] =
    await Promise.all([
      import('../executors/kept-pool.ts'),
      import('../executors/docker/images/reference.ts'),
      import('./files.ts'),
      import('./models.ts'),
    ])
  const settings = inferenceSettings(config)
  const pool = createKeptPool<ModelSession>({
    executor,
    // A server that runs already needs no containers, nor an engine.
    maxWarm: settings.existing === undefined ? await warmCounts(config, executor) : { gpu: 0, cpu: 0 },
    clock: systemClock,
    log,
  })
  cleanup.defer('models', () => pool.close())
  onGpusWanted(() => {
    pool.giveUpGpus()
  })
  const files = openFiles({ s3, filesRoot: config.files_root })
  cleanup.defer('files', () => {
    files.close()
  })
  const servers = new Map<ProtocolName, Promise<ModelServer>>()
  const { existing } = settings
  const tokenizer = config.inference.tokenizer
  async function connect(name: ProtocolName, server: ExistingServer): Promise<ModelServer> {
    const connected = protocolOf(name).connect(server.endpoint, {
      maxBytes: settings.maxOutputBytes,
      headers: server.headers,
      isTls: server.isTls,
      ...(server.basePath === undefined ? {} : { basePath: server.basePath }),
      ...(settings.model === undefined ? {} : { model: settings.model }),
      ...(settings.server.healthPath === undefined ? {} : { healthPath: settings.server.healthPath }),
      ...(tokenizer === undefined ? {} : { tokenizer: await loadTokenizer(tokenizer) }),
    })
    cleanup.defer('model server', () => {
      connected.close()
    })
    return connected
  }
  return {
    executor,
    pool,
    files,
    isImageAllowed,
    clock: systemClock,
    settings,
    protocol: async (name) => {
      const spoken = protocolOf(name)
      if (tokenizer === undefined) return spoken
      const loaded = await loadTokenizer(tokenizer)
      return {
        name,
        connect: (endpoint, more) => spoken.connect(endpoint, { ...more, tokenizer: loaded }),
      }
    },
    existing: (name) => {
      if (existing === undefined) throw new TypeError('no server is named')
      const known = servers.get(name) ?? connect(name, existing)
      servers.set(name, known)
      return known
    },
  }
}

/** Containers that stay without a call. */
async function warmCounts(
  { inference: { max_warm: most } }: Config,
  executor: Executor,
): Promise<KeptPoolOptions['maxWarm']> {
  if (most !== undefined) return { gpu: most, cpu: most }
  const { gpus } = await executor.capacity(new AbortController().signal)
  return { gpu: Math.max(1, gpus.length), cpu: WARM_WITHOUT_GPU }
}

/** `inference:` of the config, with the names and units of the inside. */
function inferenceSettings(config: Config): InferenceSettings {
  const { inference: section } = config
  const { server, network, model, image, args } = section
  const existing = existingOf(section)
  return {
    mode: section.mode,
    protocol: section.protocol,
    allowImages: section.allow_images,
    env: section.environment,
    server: {
      port: server.port,
      maxConcurrency: server.max_concurrency,
      ...(server.socket === undefined ? {} : { socket: server.socket }),
      ...(server.health_path === undefined ? {} : { healthPath: server.health_path }),
    },
    startupTimeoutMs: section.startup_timeout * 1000,
    keepAliveMs: section.keep_alive < 0 ? Infinity : section.keep_alive * 1000,
    timeoutMs: section.timeout * 1000,
    sizes: sizesOf(section.limits),
    maxSizes: sizesOf(section.max_limits),
    limits: taskLimits(config.limits),
    keep: !config.rm,
    stopGraceSeconds: config.stop_grace,
    maxOutputBytes: config.max_output,
    maxTotalOutputBytes: config.max_total_output,
    strictExit: config.strict_exit,
    maxFileBytes: section.max_file_bytes,
    user: ownUser(),
    ...(image === undefined ? {} : { image }),
    ...(args === undefined ? {} : { args }),
    ...(network === undefined ? {} : { network }),
    ...(model === undefined ? {} : { model }),
    ...(existing === undefined ? {} : { existing }),
  }
}

function sizesOf({ cpus, memory, shm_size: shmSize, gpus }: Config['inference']['limits']): Sizes {
  return {
    ...(cpus === undefined ? {} : { cpus }),
    ...(memory === undefined ? {} : { memoryBytes: memory }),
    ...(shmSize === undefined ? {} : { shmBytes: shmSize }),
    ...(gpus === undefined ? {} : { gpus }),
  }
}

function existingOf({
  url,
  api_key: key,
  triton,
  protocol,
}: Config['inference']): ExistingServer | undefined {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
  if (triton.host !== undefined) {
    const { host, port } = triton
    const isHttp = (triton.protocol ?? (port === 8000 ? 'http' : 'grpc')) === 'http'
    const overHttp = protocol === 'triton-generate' ? 'triton-generate' : 'kserve'
    return {
      endpoint: { host, port },
      name: `Triton at ${host}:${port}`,
      protocol: isHttp ? overHttp : 'kserve-grpc',
      isTls: false,
      headers,
    }
  }
  if (url === undefined) return undefined
  const { protocol: scheme, hostname, port, pathname } = new URL(url)
  const isTls = scheme === 'https:'
  return {
    endpoint: {
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? (isTls ? 443 : 80) : Number(port),
    },
    name: `the server at ${hostname}`,
    protocol,
    isTls,
    headers,
    ...(pathname === '/' ? {} : { basePath: pathname.replace(/\/+$/, '') }),
  }
}
