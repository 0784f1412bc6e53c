import type { Config } from '../config/schema.ts'
import type { AwsConnection } from '../aws/client-options.ts'
import { createCleanup, type Cleanup } from '../core/cleanup.ts'
import { systemClock } from '../core/clock.ts'
import { EXIT, OperatorError } from '../core/errors.ts'
import type { WorkerKind } from '../core/worker.ts'
import type { Executor, WallChecks, Workdirs } from '../executors/executor.ts'
import type { CodeExecMessage } from '../kinds/code-exec/message.ts'
import type { CodeExecEngine } from '../kinds/code-exec/services.ts'
import type { CodeExecSettings, Limits } from '../kinds/code-exec/settings.ts'
import { dockerForOneCall, reapInPassing, type OneCallOptions } from './one-call.ts'
import type { RunnerOptions } from './options.ts'
import { atEndpoint, configuredAws } from './aws.ts'
import type { RunnerTable } from './table.ts'

/** How often a cancelled job is looked for on this machine's own table. */
const LOCAL_CANCEL_POLL_MS = 1000

/** What runs untrusted code from a queue, by what has been connected for it. */
export async function createCodeExecKind(
  { table, ...connected }: { table: RunnerTable; executor: Executor; workdirs: Workdirs },
  { config, local }: RunnerOptions,
  cleanup: Cleanup,
): Promise<WorkerKind<CodeExecMessage, unknown, unknown>> {
  const [{ createCodeExec }, { parseCodeExecMessage }, engine] = await Promise.all([
    import('../kinds/code-exec/handler.ts'),
    import('../kinds/code-exec/message.ts'),
    codeExecEngine({ ...connected, s3: table.s3 }, config, cleanup),
  ])
  const handler = createCodeExec({
    ...engine,
    store: table.store,
    cancelPollMs: local ? LOCAL_CANCEL_POLL_MS : config.cancel_poll * 1000,
    retrySeconds: config.match_ttl,
  })
  return { name: 'code-exec', parseMessage: parseCodeExecMessage, handler }
}

/** A sandbox of this machine, for one call without queue or table. */
export interface Sandbox {
  engine: CodeExecEngine
  /** Throws OperatorError unless a job can be given the internet and no private network. */
  assertInternet(signal: AbortSignal): Promise<void>
  /** Throws what is wrong with the engine, and RetryableError('disk' or 'memory') without room for another job. */
  assertRoom(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** Connects to the engine. Close it afterwards. */
export async function openSandbox(options: OneCallOptions): Promise<Sandbox> {
  const { config, log } = options
  const cleanup = createCleanup(log)
  try {
    const { executor } = await dockerForOneCall('code-exec', options)
    cleanup.defer('Docker', () => executor.close())
    reapInPassing(executor, cleanup)
    const s3 = atEndpoint(await configuredAws({ config }), config.endpoint_url.s3)
    const engine = await codeExecEngine({ executor, workdirs: executor, s3 }, config, cleanup)
    return {
      engine,
      assertInternet: (signal) => assertInternet(executor, config, signal),
      assertRoom: async (signal) => {
        await executor.probe(signal)
        await executor.assertRoom(config.code_exec.limits.memory_bytes, signal)
      },
      close: () => cleanup.run(),
    }
  } catch (error) {
    await cleanup.run()
    throw error
  }
}

/** Throws OperatorError unless jobs can be given the internet and no private network; settles at once if none may have it. */
export async function assertInternet(
  checks: WallChecks,
  { code_exec: { allow_internet: isAllowed, network_image: image, dns } }: Config,
  signal: AbortSignal,
): Promise<void> {
  if (!isAllowed) return
  if (image === undefined) {
    throw new OperatorError(
      "Jobs can't be given the internet",
      'code_exec.network_image is not set',
      'Set it to an image with `sh` and `ip`, such as busybox: it closes the private networks before the job starts.',
      EXIT.config,
    )
  }
  await checks.assertInternet({ image, dns }, signal)
}

async function codeExecEngine(
  { s3, ...connected }: { executor: Executor; workdirs: Workdirs; s3: AwsConnection },
  config: Config,
  cleanup: Cleanup,
): Promise<CodeExecEngine> {
  const [{ SECCOMP_PROFILE: seccomp }, { isAllowed: isImageAllowed }, settings, { openFiles }] =
    await Promise.all([
      import('../executors/docker/walls/seccomp.ts'),
      import('../executors/docker/images/reference.ts'),
      codeExecSettings(config),
      import('./files.ts'),
    ])
  // Whoever writes messages must not make this machine ask its neighbours.
  const privateHosts = [...config.code_exec.private_hosts, ...hostsOf(s3.endpoint)]
  const files = openFiles({ s3, filesRoot: config.files_root, privateHosts })
  cleanup.defer('files', () => {
    files.close()
  })
  return { ...connected, files, seccomp, isImageAllowed, clock: systemClock, settings }
}

/** Presigned URLs may lead to the server that the config names. */
function hostsOf(endpoint: string | undefined): string[] {
  if (endpoint === undefined) return []
  const { hostname, port, protocol } = new URL(endpoint)
  return [`${hostname}:${port === '' ? (protocol === 'https:' ? '443' : '80') : port}`]
}

/** `code_exec:` of the config, with the names and units of the inside. */
async function codeExecSettings({ code_exec: section, rm }: Config): Promise<CodeExecSettings> {
  const { network_image: image, dns, runtime } = section
  return {
    languages: await languagesOf(section.languages),
    allowImages: section.allow_images,
    allowInternet: section.allow_internet,
    internet: { dns, ...(image === undefined ? {} : { image }) },
    limits: limitsOf(section.limits),
    maxLimits: limitsOf(section.max_limits),
    keep: !rm,
    maxFileBytes: section.max_file_bytes,
    ...(runtime === undefined ? {} : { runtime }),
  }
}

/** OperatorError for what makes no language. */
async function languagesOf(
  configured: Config['code_exec']['languages'],
): Promise<CodeExecSettings['languages']> {
  const { mergeLanguages } = await import('../kinds/code-exec/languages.ts')
  const given = Object.fromEntries(
    Object.entries(configured).map(([name, { image, command, file, compile }]) => [
      name,
      {
        ...(image === undefined ? {} : { image }),
        ...(command === undefined ? {} : { command }),
        ...(file === undefined ? {} : { file }),
        ...(compile === undefined ? {} : { compile }),
      },
    ]),
  )
  try {
    return mergeLanguages(given)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new OperatorError(
      'code_exec.languages can not be used',
      error.message,
      'A known language needs nothing, a new one image and command.',
      EXIT.config,
      { cause: error },
    )
  }
}

function limitsOf(limits: Config['code_exec']['limits']): Limits {
  return {
    wallTimeMs: limits.wall_time_ms,
    cpuTimeMs: limits.cpu_time_ms,
    memoryBytes: limits.memory_bytes,
    pids: limits.pids,
    outputBytes: limits.output_bytes,
    fileSizeBytes: limits.file_size_bytes,
    diskBytes: limits.disk_bytes,
    openFiles: limits.open_files,
    cpus: limits.cpus,
  }
}
