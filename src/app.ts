import type { Config } from './config/schema.ts'
import type { Probe } from './core/breaker.ts'
import { createCleanup, type Cleanup } from './core/cleanup.ts'
import { systemClock } from './core/clock.ts'
import { observeAll, type WorkerObserver } from './core/observer.ts'
import { runWorker, type WorkerKind } from './core/worker.ts'
import { assertInternet, createCodeExecKind } from './app/code-exec.ts'
import { connectExecutor, slotCount } from './app/executor.ts'
import { createInferenceKind, type InferenceKind } from './app/inference.ts'
import { isAnsweredElsewhere, withoutEngine } from './app/no-engine.ts'
import type { RunnerOptions } from './app/options.ts'
import { RunnerStates } from './app/runner-states.ts'
import { connectTable, type Leases } from './app/table.ts'
import { together } from './app/together.ts'
import { connectMatches, createTrialKind } from './app/trials.ts'
import { fullDisk, SILENT, startReaping, untilDiskHasRoom, watchForNotice } from './app/upkeep.ts'
import type { Executor } from './executors/executor.ts'
import { isOfTrials, type KindName } from './kinds/names.ts'
import type { Queue } from './queues/queue.ts'
import type { Store } from './stores/store.ts'

/** Below this a short fault of the surroundings could use up a message's receives. */
const SAFE_RECEIVE_COUNT = 10

/**
 * Works a queue until it is drained or stopped. Resolves when drained; OperatorError when it can't start;
 * rejects with the stop's reason after a forced stop.
 */
export async function runRunner(options: RunnerOptions): Promise<void> {
  const { config, kind, log, stop, observer = SILENT } = options
  if (kind === 'fetcher') {
    const { runFetcher } = await import('./app/fetcher.ts')
    await runFetcher(options)
    return
  }
  const clock = systemClock
  const cleanup = createCleanup(log)
  try {
    observer.stateChanged('starting')
    // Of several faults the first one here is said: a wrong password to the person who has just typed it.
    const [matches, table, connected] = await together([
      isOfTrials(kind) ? connectMatches(kind, options, cleanup) : undefined,
      connectTable(options, cleanup, isOfTrials(kind) ? kind : undefined),
      kind === 'inference' && isAnsweredElsewhere(config)
        ? withoutEngine()
        : connectExecutor(options, cleanup),
    ])
    const { executor, docker } = connected
    const queue = table.queue(kind)
    await checkSurroundings(queue, table, executor, options)
    if (kind === 'code-exec') {
      await docker.assertWalls(config.code_exec.runtime, stop.abort)
      await assertInternet(docker, config, stop.abort)
    }
    const assertEngine = startReaping(executor, log, cleanup)
    const models =
      kind === 'inference' ? await createInferenceKind({ table, ...connected }, options, cleanup) : undefined
    const worked: WorkerKind<unknown, unknown, unknown> =
      matches !== undefined && isOfTrials(kind)
        ? await createTrialKind(kind, { table, executor, matches: matches.source }, options, cleanup)
        : (models?.kind ??
          (await createCodeExecKind({ table, executor, workdirs: docker }, options, cleanup)))
    const memoryBytes = kind === 'code-exec' ? config.code_exec.limits.memory_bytes : config.limits.memory
    const assertRoom = (signal: AbortSignal): Promise<void> => docker.assertRoom(memoryBytes, signal)
    const mayRun = models === undefined ? assertRoom : beforeCalls(models, config, assertRoom)
    const told = isOfTrials(kind) ? undefined : tellStates(kind, options, table.store, cleanup)
    watchForNotice(options, cleanup)
    log.info('Ready', { kind, process_name: options.processName })
    await runWorker({
      kind: worked,
      queue,
      beforeReceive: async (signal) => {
        await assertEngine(signal)
        await matches?.assertLogin(signal)
        await mayRun(signal)
      },
      probes: {
        engine: (signal) => executor.probe(signal),
        disk: assertRoom,
        memory: assertRoom,
        store: (signal) => table.store.probe(signal),
        queue: (signal) => queue.probe(signal),
        ...(matches === undefined ? {} : { matches: matches.probe }),
        ...(models === undefined ? {} : { model: models.assertReady }),
        credentials: async (signal) => {
          await Promise.all([table.store.probe(signal), queue.probe(signal), matches?.probe(signal)])
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
      observer: observeAll([observer, ...(told === undefined ? [] : [told])]),
    })
    log.info('Drained', { kind })
  } finally {
    await cleanup.run()
  }
}

/** With `preload` nothing is received that could not be answered now. */
function beforeCalls({ assertReady }: InferenceKind, { inference }: Config, assertRoom: Probe): Probe {
  if (!inference.preload) return assertRoom
  return async (signal) => {
    await assertRoom(signal)
    await assertReady(signal)
  }
}

/** Whoever waits for a job of code can read why none is taken. */
function tellStates(
  kind: KindName,
  { processName, log }: RunnerOptions,
  store: Store,
  cleanup: Cleanup,
): WorkerObserver {
  const states = new RunnerStates(kind, processName, store, log)
  cleanup.defer('runner state', () => states.settle())
  return states
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
