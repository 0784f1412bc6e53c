import { availableParallelism } from 'node:os'
import type { AwsConnection } from './aws/client-options.ts'
import type { Inspection } from './aws/inspection.ts'
import type { Config, LimitsConfig, MatchConfig } from './config/schema.ts'
import { Breaker, type Probe } from './core/breaker.ts'
import { createCleanup, type Cleanup } from './core/cleanup.ts'
import { systemClock } from './core/clock.ts'
import { EXIT, messageOf, OperatorError, RetryableError } from './core/errors.ts'
import type { LeaseRecords } from './core/lease-record.ts'
import type { Logger } from './core/log.ts'
import type { WorkerObserver } from './core/observer.ts'
import type { Stop } from './core/stop.ts'
import { awaitStopNotice } from './core/stop-notice.ts'
import { runWorker } from './core/worker.ts'
import type { EmbeddedInfo } from './embedded/index.ts'
import type { Executor, TaskLimits } from './executors/executor.ts'
import type { KindName, TrialKind } from './kinds/index.ts'
import type { KindSettings } from './kinds/services.ts'
import { chooseSource } from './matches/choose-source.ts'
import type { LocalMatch, LocalRecipe } from './matches/local/local-matches.ts'
import type { MatchSource } from './matches/matches.ts'
import type { OptHubEndpoints } from './matches/opthub/endpoints.ts'
import type { Account } from './matches/opthub/opthub.ts'
import type { Queue } from './queues/queue.ts'
import type { QueueReport } from './queues/sqs/inspect.ts'
import type { TableReport } from './stores/dynamodb/inspect.ts'
import type { LeaseTable } from './stores/dynamodb/lease-records.ts'
import type { Store } from './stores/store.ts'

/** Between two looks for containers whose runner is dead. */
const REAP_INTERVAL_MS = 30_000

/** Below this a short fault of the surroundings could use up a message's receives. */
const SAFE_RECEIVE_COUNT = 10

type RecipeConfig = NonNullable<MatchConfig['problem']>

const SILENT: WorkerObserver = {
  jobStarted: () => undefined,
  jobEnded: () => undefined,
  stateChanged: () => undefined,
}

/** Where the queues and the table are. */
export interface TableOptions {
  config: Config
  /** Use the servers in `dataDir` instead of what the config names. */
  local: boolean
  dataDir: string
  log: Logger
}

export interface RunnerOptions extends TableOptions {
  kind: KindName
  /** Takes the place of the image's own command. */
  command: readonly string[] | undefined
  /** Shown in logs and on containers. */
  processName: string
  /** For finding the Docker engine: DOCKER_HOST, HOME … */
  environment: Readonly<Record<string, string | undefined>>
  /** Return when the queue stays empty for one whole long poll. */
  drainQueue: boolean
  /** Return after so many jobs; 0 = never. */
  num: number
  concurrency: number | 'auto'
  /** Where matches that the config does not name come from, and who asks; left out = they stand in the config alone. */
  optHub?: OptHubAccess
  stop: Stop
  observer?: WorkerObserver
}

/** An OptHub, and who the runner is to it. */
export interface OptHubAccess {
  endpoints: OptHubEndpoints
  account: Account
}

/** The table and the queues of one place. */
export interface Table {
  store: Store
  queue(kind: KindName): Queue
  /** A stored Solution puts its message on the evaluator's queue by itself. */
  reactive: boolean
  close(): Promise<void>
}

export type { Inspection, QueueReport, TableReport }

/** Asks about queues and table, for somebody who looks for mistakes: touches no message and reads no item. */
export interface Inspector {
  /** Throws OperatorError when the config names none, and the signal's reason. */
  queue(kind: KindName, signal: AbortSignal): Promise<Inspection<QueueReport>>
  table(signal: AbortSignal): Promise<Inspection<TableReport>>
  close(): Promise<void>
}

/** What is spoken to: AWS, another server of its protocols, or our own on loopback. */
interface Place {
  sqs: AwsConnection
  dynamodb: AwsConnection
  tableName: string
  /** Where lease records are kept; undefined = nowhere. */
  leaseTable: string | undefined
  queueUrl(kind: KindName): string
  reactive: boolean
}

/**
 * Works a queue until it is drained or stopped. Resolves when drained; OperatorError when it can't start;
 * rejects with the stop's reason after a forced stop.
 */
export async function runRunner(options: RunnerOptions): Promise<void> {
  const { config, kind, log, stop, observer = SILENT } = options
  const clock = systemClock
  const cleanup = createCleanup(log)
  try {
    observer.stateChanged('starting')
    // Of several faults the first one here is said: a wrong password to the person who has just typed it.
    const [matches, table, executor, { KINDS }] = await together([
      connectMatches(options, cleanup),
      connectTable(options, cleanup, kind),
      connectExecutor(options, cleanup),
      import('./kinds/index.ts'),
    ])
    const queue = table.queue(kind)
    const scorerQueue =
      kind === 'evaluator' && config.forward && !table.reactive ? table.queue('scorer') : undefined
    await checkSurroundings(queue, table, executor, options)
    startReaping(executor, log, cleanup)

    const { parseMessage, create }: TrialKind = KINDS[kind]
    const handler = create({
      store: table.store,
      executor,
      matches: matches.source,
      clock,
      settings: kindSettings(options),
      ...(scorerQueue === undefined ? {} : { forward: (body) => scorerQueue.send(body) }),
    })
    watchForNotice(options, cleanup)
    log.info('Ready', { kind, process_name: options.processName })
    await runWorker({
      kind: { name: kind, parseMessage, handler },
      queue,
      probes: {
        engine: (signal) => executor.probe(signal),
        disk: (signal) => executor.probe(signal),
        store: (signal) => table.store.probe(signal),
        queue: (signal) => queue.probe(signal),
        matches: (signal) => matches.probe(signal),
        credentials: async (signal) => {
          await Promise.all([table.store.probe(signal), queue.probe(signal), matches.probe(signal)])
        },
      },
      concurrency: slotCount(options),
      num: options.num,
      drainQueue: options.drainQueue,
      intervalMs: config.interval * 1000,
      visibilitySeconds: config.visibility_timeout,
      heartbeatMs: config.heartbeat_interval * 1000,
      maxReceiveCount: config.max_receive_count,
      handover: table.leases && { records: table.leases, afterMs: config.handover_after * 1000 },
      maxHeld: config.order_window,
      drain: stop.drain,
      abort: stop.abort,
      clock,
      log,
      observer,
    })
    log.info('Drained', { kind })
  } finally {
    await cleanup.run()
  }
}

/** Opens the table and its queues, for submitting and reading. Close it afterwards. */
export async function openTable(options: TableOptions): Promise<Table> {
  const cleanup = createCleanup(options.log)
  try {
    return { ...(await connectTable(options, cleanup)), close: () => cleanup.run() }
  } catch (error) {
    await cleanup.run()
    throw error
  }
}

/** Finds what the config names, or opens the servers of this machine. Close it afterwards. */
export async function openInspector(options: TableOptions): Promise<Inspector> {
  const cleanup = createCleanup(options.log)
  try {
    const [place, { inspectQueue }, { inspectTable }] = await together([
      options.local ? localPlace(options, cleanup) : configuredPlace(options.config),
      import('./queues/sqs/inspect.ts'),
      import('./stores/dynamodb/inspect.ts'),
    ])
    return {
      queue: async (kind, signal) =>
        await inspectQueue({ ...place.sqs, queueUrl: place.queueUrl(kind) }, signal),
      table: async (signal) => await inspectTable({ ...place.dynamodb, tableName: place.tableName }, signal),
      close: () => cleanup.run(),
    }
  } catch (error) {
    await cleanup.run()
    throw error
  }
}

/** As Promise.all, but settles only when all have: nothing may be opened after the cleanup. */
async function together<T extends readonly unknown[]>(
  promises: readonly [...T],
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(promises as readonly Promise<unknown>[])
  return await Promise.all(promises)
}

async function connectExecutor(options: RunnerOptions, cleanup: Cleanup): Promise<Executor> {
  const { config, environment, log } = options
  const [
    { connectEngine },
    { createDockerExecutor },
    { warnOfEngine },
    { gpusInUse },
    { createGpuLeasing, gpuFolder },
    { createWarmPool },
  ] = await Promise.all([
    import('./executors/docker/connect.ts'),
    import('./executors/docker/docker-executor.ts'),
    import('./executors/docker/engine-kind.ts'),
    import('./executors/docker/gpus.ts'),
    import('./executors/gpu-lease.ts'),
    import('./executors/warm-pool.ts'),
  ])
  const engine = await connectEngine({ host: config.docker.host, environment })
  await warnOfEngine(engine, log)
  const executor = createDockerExecutor({
    engine,
    processName: options.processName,
    log,
    environment,
    pullPolicy: config.pull_policy,
    imageCheckIntervalMs: config.image_check_interval * 1000,
    allowedImages: config.allowed_images,
    registryLogins: config.docker.registry_auth,
    dataDir: options.dataDir,
    minFreeDiskBytes: config.min_free_disk,
    ...(config.docker.platform === undefined ? {} : { platform: config.docker.platform }),
    ageLimitSeconds: longestTimeout(config) + config.stop_grace,
    ...(config.docker.gpu_mode === undefined ? {} : { gpuMode: config.docker.gpu_mode }),
  })
  const leasing = createGpuLeasing(executor, {
    folder: gpuFolder(options.dataDir),
    allowed: config.docker.gpus ?? (Array.isArray(config.gpus) ? config.gpus : undefined),
    inUse: (signal) => gpusInUse(engine, signal),
    whenBusy: 'throw',
    onWanted: () => {
      pool.giveUpGpus()
    },
    clock: systemClock,
    log,
  })
  const pool = createWarmPool(leasing, {
    perSlot: config.warm === 'auto' ? 1 : config.warm,
    slots: slotCount(options),
    idleMs: config.warm_idle * 1000,
    jobs: options.num,
    drain: options.stop.drain,
    clock: systemClock,
    log,
  })
  cleanup.defer('Docker', () => pool.close())
  return pool
}

function slotCount({ concurrency }: RunnerOptions): number {
  return concurrency === 'auto' ? availableParallelism() : concurrency
}

/** The matches of the config, and OptHub's where somebody is logged in there. */
async function connectMatches(
  { kind, config, dataDir, optHub, stop, log }: RunnerOptions,
  cleanup: Cleanup,
): Promise<{ source: MatchSource; probe: Probe }> {
  const { createLocalMatchSource } = await import('./matches/local/local-matches.ts')
  const configured = createLocalMatchSource(localMatches(config))
  if (optHub === undefined) return { source: configured, probe: () => Promise.resolve() }
  const { connectOptHub } = await import('./matches/opthub/opthub.ts')
  const role = kind === 'evaluator' ? 'problem' : 'indicator'
  const remote = await connectOptHub(
    { ...optHub, role, ttlSeconds: config.match_ttl, dataDir, log },
    stop.drain,
  )
  cleanup.defer('OptHub', () => remote.close())
  log.info('Logged in to OptHub', { username: remote.username })
  return {
    source: chooseSource(Object.keys(config.matches), configured, remote.source),
    probe: (signal) => remote.probe(signal),
  }
}

/** Seconds that a container of these settings may work at most. */
function longestTimeout(config: Config): number {
  const own = Object.values(config.matches).flatMap(({ problem, indicator }) => [
    problem?.timeout,
    indicator?.timeout,
  ])
  return Math.max(config.timeout, ...own.filter((seconds) => seconds !== undefined))
}

/** Asks everything that jobs will need, before the first message is received; no message is touched. */
async function checkSurroundings(
  queue: Queue,
  { store, leases }: { store: Store; leases: Leases | undefined },
  executor: Executor,
  options: RunnerOptions,
): Promise<void> {
  const { log, stop } = options
  const signal = stop.abort
  const [full, , , , redrive] = await together([
    executor.probe(signal).catch(fullDisk),
    queue.probe(signal),
    store.probe(signal),
    leases?.probe(signal),
    queue.redrive(signal),
  ])
  if (redrive === 'none') {
    log.warn('The queue has no dead-letter queue: unreadable messages come back until they expire')
  } else if (redrive !== 'unknown' && redrive.maxReceiveCount < SAFE_RECEIVE_COUNT) {
    log.warn(
      'The queue moves messages to its dead-letter queue early: faults of the surroundings may cost jobs',
      {
        max_receive_count: redrive.maxReceiveCount,
        at_least: SAFE_RECEIVE_COUNT,
      },
    )
  }
  if (full !== undefined) await untilDiskHasRoom(full, executor, options)
}

/** The one fault that may be there at the start; others are thrown. */
function fullDisk(error: unknown): RetryableError {
  if (error instanceof RetryableError && error.surrounding === 'disk') return error
  throw error
}

async function untilDiskHasRoom(
  full: RetryableError,
  executor: Executor,
  { config, log, stop, observer = SILENT }: RunnerOptions,
): Promise<void> {
  const probes = { disk: (signal: AbortSignal) => executor.probe(signal) }
  const intervalMs = config.interval * 1000
  const breaker = new Breaker({ probes, intervalMs, clock: systemClock, log, observer })
  breaker.report(full)
  await breaker.whenWell(stop.drain).catch((error: unknown) => {
    if (!stop.drain.aborted) throw error
  })
}

/** Drains when somebody says that this machine will be taken away. */
function watchForNotice({ config, stop, log }: RunnerOptions, cleanup: Cleanup): void {
  const { stop_file: file, stop_command: command } = config
  if (file === undefined && command === undefined) return
  const ended = new AbortController()
  const watching = awaitStopNotice({ file, command }, { clock: systemClock, log, signal: ended.signal }).then(
    (notice) => {
      if (notice === undefined) return
      log.warn('This machine will be taken away: no new jobs', { notice })
      stop.requestDrain(notice)
    },
  )
  cleanup.defer('stop notice', async () => {
    ended.abort()
    await watching
  })
}

/** Removes what dead runners left behind, now and from time to time. */
function startReaping(executor: Executor, log: Logger, cleanup: Cleanup): void {
  const ended = new AbortController()
  async function reap(): Promise<void> {
    try {
      const removed = await executor.reap(ended.signal)
      if (removed > 0) log.info('Removed containers that dead runners left behind', { removed })
    } catch (error) {
      if (!ended.signal.aborted)
        log.debug('Looking for orphaned containers failed', { error: messageOf(error) })
    }
  }
  async function loop(): Promise<void> {
    while (!ended.signal.aborted) {
      await reap()
      await systemClock.sleep(REAP_INTERVAL_MS, ended.signal).catch(() => undefined)
    }
  }
  const looping = loop()
  cleanup.defer('reaper', async () => {
    ended.abort()
    await looping
  })
}

function kindSettings({ config, command }: RunnerOptions): KindSettings {
  return {
    timeoutSeconds: config.timeout,
    stopGraceSeconds: config.stop_grace,
    maxOutputBytes: config.max_output,
    maxTotalOutputBytes: config.max_total_output,
    strictExit: config.strict_exit,
    keep: !config.rm,
    limits: taskLimits(config.limits),
    gpus: config.gpus,
    matchTtlSeconds: config.match_ttl,
    ordered: config.ordered,
    orderTimeoutSeconds: config.order_timeout,
    ...(command === undefined ? {} : { command }),
  }
}

/** `matches:` of the config, with the names and units of the inside. */
function localMatches(config: Config): Record<string, LocalMatch> {
  const recipe = (found: RecipeConfig | undefined): LocalRecipe | undefined =>
    found && { ...found, limits: found.limits && taskLimits(found.limits) }
  return Object.fromEntries(
    Object.entries(config.matches).map(([id, { problem, indicator, direction }]) => [
      id,
      { problem: recipe(problem), indicator: recipe(indicator), direction },
    ]),
  )
}

/** `limits:` of the config, with the names and units of the inside. */
function taskLimits(limits: LimitsConfig): TaskLimits {
  const {
    cpus,
    memory,
    pids,
    shm_size: shmSize,
    network,
    read_only: readOnly,
    user,
    tmpfs,
    ulimits,
    runtime,
    platform,
  } = limits
  return {
    ...(cpus === undefined ? {} : { cpus }),
    ...(memory === undefined ? {} : { memoryBytes: memory }),
    ...(pids === undefined ? {} : { pids }),
    ...(shmSize === undefined ? {} : { shmBytes: shmSize }),
    ...(network === undefined ? {} : { network }),
    ...(readOnly === undefined ? {} : { readOnly }),
    ...(user === undefined ? {} : { user }),
    ...(tmpfs === undefined ? {} : { tmpfs }),
    ...(ulimits === undefined ? {} : { ulimits }),
    ...(runtime === undefined ? {} : { runtime }),
    ...(platform === undefined ? {} : { platform }),
  }
}

/** With a kind, its runner's: results are then fenced by the lease records, where there are any. */
async function connectTable(
  options: TableOptions,
  cleanup: Cleanup,
  kind?: KindName,
): Promise<Omit<Table, 'close'> & { leases: Leases | undefined }> {
  const { config } = options
  const [place, { createDynamoDbStore }, { createSqsQueue }] = await together([
    options.local ? localPlace(options, cleanup) : configuredPlace(options.config),
    import('./stores/dynamodb/dynamodb-store.ts'),
    import('./queues/sqs/sqs-queue.ts'),
  ])
  const { tableName, leaseTable } = place
  const fence = kind === undefined || leaseTable === undefined ? undefined : { tableName: leaseTable, kind }
  const store = createDynamoDbStore({ ...place.dynamodb, tableName, ...(fence && { leaseTable: fence }) })
  cleanup.defer('table', () => {
    store.close()
  })
  return {
    store,
    leases: fence && (await connectLeases(place, fence, config, cleanup)),
    reactive: place.reactive,
    queue: (kind) => {
      const queue = createSqsQueue({
        ...place.sqs,
        queueUrl: place.queueUrl(kind),
        waitSeconds: config.wait_time,
        visibilitySeconds: config.visibility_timeout,
        clock: systemClock,
      })
      cleanup.defer('queue', () => {
        queue.close()
      })
      return queue
    },
  }
}

type Leases = LeaseRecords & { probe: Probe }

async function connectLeases(
  place: Place,
  fence: LeaseTable,
  config: Config,
  cleanup: Cleanup,
): Promise<Leases> {
  const { createLeaseRecords } = await import('./stores/dynamodb/lease-records.ts')
  const leases = createLeaseRecords({ ...place.dynamodb, ...fence, holdSeconds: config.visibility_timeout })
  cleanup.defer('lease table', () => {
    leases.close()
  })
  return leases
}

/** The embedded servers: joined when another process serves them, else served from here. */
async function localPlace({ dataDir, log }: TableOptions, cleanup: Cleanup): Promise<Place> {
  const { embeddedFolder, openEmbedded } = await import('./embedded/index.ts')
  const embedded = await openEmbedded({ dataDir: embeddedFolder(dataDir), log })
  cleanup.defer('embedded servers', () => embedded.close())
  return embeddedPlace(embedded.info)
}

function embeddedPlace(info: EmbeddedInfo): Place {
  const { accessKeyId, secretAccessKey, region } = info
  const connection = { region, credentials: { accessKeyId, secretAccessKey } }
  return {
    sqs: { ...connection, endpoint: info.endpoints.sqs },
    dynamodb: { ...connection, endpoint: info.endpoints.dynamodb },
    tableName: info.table,
    leaseTable: info.leaseTable,
    queueUrl: (kind) => info.queues[kind],
    reactive: true,
  }
}

async function configuredPlace(config: Config): Promise<Place> {
  const { throughProxy } = await import('./aws/proxy.ts')
  const { access_key_id: accessKeyId, secret_access_key: secretAccessKey } = config
  const connection = {
    region: config.region_name ?? 'us-east-1',
    ...(accessKeyId === undefined || secretAccessKey === undefined
      ? {}
      : { credentials: { accessKeyId, secretAccessKey } }),
  }
  const at = (endpoint: string | undefined): AwsConnection => ({
    ...connection,
    ...(endpoint === undefined ? {} : { endpoint }),
  })
  const urls = { evaluator: config.evaluator_queue_url, scorer: config.scorer_queue_url }
  return {
    sqs: await throughProxy(at(config.endpoint_url.sqs), 'sqs'),
    dynamodb: await throughProxy(at(config.endpoint_url.dynamodb), 'dynamodb'),
    get tableName() {
      return required('table_name', config.table_name)
    },
    leaseTable: config.lease_table,
    queueUrl: (kind) => required(`${kind}_queue_url`, urls[kind]),
    reactive: false,
  }
}

function required(key: string, value: string | undefined): string {
  if (value !== undefined) return value
  throw new OperatorError(
    `${key} is missing`,
    'the config does not set it',
    `Set ${key} in the config file, or use --local.`,
    EXIT.config,
  )
}
