import { rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { resolve } from 'node:path'
import { createCleanup, type Cleanup } from '../core/cleanup.ts'
import { systemClock } from '../core/clock.ts'
import { EXIT, messageOf, OperatorError, RetryableError } from '../core/errors.ts'
import { runWorker, type WorkerKind } from '../core/worker.ts'
import { ownUser } from '../config/caller.ts'
import type { Config } from '../config/schema.ts'
import type { PathRule } from '../executors/docker/host/host-paths.ts'
import type { Executor } from '../executors/executor.ts'
import type { Files } from '../files/files.ts'
import type { FetcherPayload } from '../kinds/fetcher/job-specs.ts'
import { removeLeftFolders } from '../kinds/fetcher/leftovers.ts'
import type { FetcherServices, Place } from '../kinds/fetcher/services.ts'
import type { WorkerApi } from '../queues/worker-api/worker-api.ts'
import { connectExecutor, slotCount } from './executor.ts'
import type { RunnerOptions } from './options.ts'
import { PlacePool, sharesOf, type Machine } from './places.ts'
import { taskLimits } from './settings.ts'
import { fullDisk, SILENT, startReaping, untilDiskHasRoom, watchForNotice } from './upkeep.ts'

/** Where the Python job fetcher has its folders. */
const CONTAINER_BASE = '/data'
const HOST_BASE = '~/temp/decode_cloud/mounts'

/** Works the jobs of a worker-facing API; see `runRunner`. */
export async function runFetcher(options: RunnerOptions): Promise<void> {
  const { config, log, stop, observer = SILENT } = options
  const { fetcher: section } = config
  const clock = systemClock
  const cleanup = createCleanup(log)
  const slots = slotCount(options)
  try {
    observer.stateChanged('starting')
    const api = await openApi(config)
    cleanup.defer('API', () => {
      api.close()
    })
    const { pathBase, rules } = await pathsOf(options)
    const { executor, docker } = await connectExecutor(options, cleanup, {
      pathRules: rules,
      // A digest check for each job, unless the config says otherwise.
      pullPolicy: config.pull_policy === 'refresh' ? 'always' : config.pull_policy,
    })
    const [full] = await Promise.all([
      executor.probe(stop.abort).catch(fullDisk),
      api.probe(stop.abort).catch(asOperators(config)),
    ])
    if (full !== undefined) await untilDiskHasRoom(full, executor, options)
    startReaping(executor, log, cleanup)
    const removed = await removeLeftFolders(pathBase, (folder) =>
      rm(folder, { recursive: true, force: true }),
    )
    if (removed > 0) log.info('Removed folders that dead fetchers left behind', { removed })
    const places = sharesOf(await machineOf(executor, options), slots)
    const { createWorkerQueue } = await import('../queues/worker-api/worker-queue.ts')
    const queue = createWorkerQueue<Place>({ api, places: new PlacePool(places), clock, log })
    const kind = await createKind({ executor, jobOf: (id) => queue.job(id) }, pathBase, options, cleanup)
    watchForNotice(options, cleanup)
    const offers = places.map(({ offer, gpus }) => ({ ...offer, gpus: gpus.length }))
    log.info('Ready', { kind: 'fetcher', process_name: options.processName, path_base: pathBase, offers })
    const assertRoom = async (signal: AbortSignal): Promise<void> => {
      await executor.probe(signal)
      await docker.assertRoom(undefined, signal)
    }
    await runWorker({
      kind,
      queue,
      beforeReceive: assertRoom,
      probes: {
        engine: (signal) => executor.probe(signal),
        disk: assertRoom,
        memory: assertRoom,
        queue: (signal) => queue.probe(signal),
        credentials: (signal) => queue.probe(signal),
      },
      concurrency: slots,
      num: options.num,
      drainQueue: options.drainQueue,
      intervalMs: section.timeout_job * 1000,
      visibilitySeconds: section.give_up_after,
      heartbeatMs: section.timeout_status * 1000,
      // The API lets a job be held for as long as it hears of it.
      longestLeaseMs: Infinity,
      maxReceiveCount: 0,
      maxHeld: slots,
      drain: stop.drain,
      abort: stop.abort,
      clock,
      log,
      observer,
    })
    log.info('Drained', { kind: 'fetcher' })
  } finally {
    await cleanup.run()
  }
}

async function createKind(
  connected: Pick<FetcherServices, 'executor' | 'jobOf'>,
  pathBase: string,
  { config }: RunnerOptions,
  cleanup: Cleanup,
): Promise<WorkerKind<FetcherPayload, unknown, unknown>> {
  const [{ createFetcher }, { parseFetcherMessage }, files] = await Promise.all([
    import('../kinds/fetcher/handler.ts'),
    import('../kinds/fetcher/job-specs.ts'),
    openWebFiles(),
  ])
  cleanup.defer('files', () => {
    files.close()
  })
  const handler = createFetcher({
    ...connected,
    files,
    clock: systemClock,
    settings: {
      pathBase,
      timeoutSeconds: config.timeout,
      stopGraceSeconds: config.stop_grace,
      keep: !config.rm,
      limits: taskLimits(config.limits),
      user: ownUser(),
    },
  })
  return { name: 'fetcher', parseMessage: parseFetcherMessage, handler }
}

/** Files of the web alone: what an API tells must open neither this machine's files nor its AWS account. */
async function openWebFiles(): Promise<Files> {
  const [{ createFiles }, { createHttpCarrier }] = await Promise.all([
    import('../files/choose.ts'),
    import('../files/http/http-carrier.ts'),
  ])
  const web = (): Promise<ReturnType<typeof createHttpCarrier>> => Promise.resolve(createHttpCarrier())
  return createFiles({ carriers: { http: web, s3: web, file: web } })
}

async function openApi({ fetcher: section }: Config): Promise<WorkerApi> {
  const { api_url: url = '', username, password, access_token: token } = section
  const { WorkerApi: Api } = await import('../queues/worker-api/worker-api.ts')
  const account = username !== undefined && password !== undefined ? { username, password } : undefined
  const access = token === undefined ? account : { token }
  if (access === undefined) {
    throw new OperatorError(
      'There is no account for the API',
      'neither a username with its password nor an access token is set',
      'Set USERNAME and PASSWORD in `.env`, or fetcher.username and fetcher.password in the config file.',
      EXIT.config,
    )
  }
  return new Api({
    url: new URL(url),
    access,
    cognitoUrl: section.cognito_url,
    groups: section.groups,
    olderThanSeconds: section.older_than,
    clock: systemClock,
  })
}

/** What keeps a runner from its start is said to whoever has started it. */
function asOperators({ fetcher: section }: Config): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof RetryableError)) throw error
    const isRefused = error.surrounding === 'credentials'
    throw new OperatorError(
      isRefused ? 'The API does not accept the account' : 'The API can not be used',
      messageOf(error),
      isRefused
        ? 'Check USERNAME and PASSWORD, or ACCESS_TOKEN.'
        : `Check API_URL (${section.api_url ?? ''}) and the network.`,
      isRefused ? EXIT.failedStart : EXIT.unavailable,
      { cause: error },
    )
  }
}

/** Where the folders of jobs are for this process, and for the engine where that is somewhere else. */
async function pathsOf({
  config,
  environment,
}: RunnerOptions): Promise<{ pathBase: string; rules: PathRule[] }> {
  const { path_base: base, path_host_base: hostBase } = config.fetcher
  const [{ connectEngine }, { ownContainer }] = await Promise.all([
    import('../executors/docker/api/connect.ts'),
    import('../executors/docker/host/own-container.ts'),
  ])
  const engine = await connectEngine({ host: config.docker.host, environment })
  try {
    const isContained = (await ownContainer(engine)) !== undefined
    // Whose home `~` is on the engine's machine, or `.`, nobody says in here; the mounts of the own container do.
    const known = isContained && hostBase?.startsWith('/') === false ? undefined : hostBase
    const own = isContained ? CONTAINER_BASE : (known ?? HOST_BASE)
    const pathBase = expanded(base ?? own)
    return { pathBase, rules: known === undefined ? [] : [{ base: pathBase, hostBase: expanded(known) }] }
  } finally {
    engine.close()
  }
}

function expanded(path: string): string {
  return resolve(path.replace(/^~(?=\/|$)/, homedir()))
}

/** What jobs may have of the engine's machine: no more than this process's own limits, and those of the config. */
async function machineOf(executor: Executor, options: RunnerOptions): Promise<Machine> {
  const { config, environment, stop } = options
  const [{ describeGpus }, { cgroupLimits }] = await Promise.all([
    import('../executors/docker/gpus/gpu-models.ts'),
    import('../executors/docker/host/cgroup-limits.ts'),
  ])
  const [capacity, own, models] = await Promise.all([
    executor.capacity(stop.abort),
    cgroupLimits(),
    describeGpus(environment),
  ])
  const slots = slotCount(options)
  const { cpus = Infinity, memory = Infinity } = config.limits
  return {
    cpus: Math.min(capacity.cpus, own.cpus ?? Infinity, cpus * slots),
    memoryBytes: Math.min(capacity.memoryBytes, own.memoryBytes ?? Infinity, memory * slots),
    gpus: capacity.gpus.map((uuid) => models.find((model) => model.uuid === uuid) ?? { uuid }),
  }
}
