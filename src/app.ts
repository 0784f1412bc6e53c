import { Breaker } from './core/breaker.ts'
import { createCleanup, type Cleanup } from './core/cleanup.ts'
import { systemClock } from './core/clock.ts'
import { messageOf, RetryableError } from './core/errors.ts'
import type { Logger } from './core/log.ts'
import { observeAll, type WorkerObserver } from './core/observer.ts'
import { awaitStopNotice } from './core/stop-notice.ts'
import { runWorker, type WorkerKind } from './core/worker.ts'
import { assertInternet, createCodeExecKind } from './app/code-exec.ts'
import { connectExecutor, slotCount } from './app/executor.ts'
import type { RunnerOptions } from './app/options.ts'
import { RunnerStates } from './app/runner-states.ts'
import { connectTable, type Leases } from './app/table.ts'
import { together } from './app/together.ts'
import { connectMatches, createTrialKind } from './app/trials.ts'
import type { Executor } from './executors/executor.ts'
import { isOfTrials, type KindName } from './kinds/names.ts'
import type { Queue } from './queues/queue.ts'
import type { Store } from './stores/store.ts'

/** Between two looks for containers whose runner is dead. */
const REAP_INTERVAL_MS = 30_000

/** Below this a short fault of the surroundings could use up a message's receives. */
const SAFE_RECEIVE_COUNT = 10

const SILENT: WorkerObserver = {
  jobStarted: () => undefined,
  jobEnded: () => undefined,
  stateChanged: () => undefined,
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
    const [matches, table, { executor, docker }] = await together([
      isOfTrials(kind) ? connectMatches(kind, options, cleanup) : undefined,
      connectTable(options, cleanup, isOfTrials(kind) ? kind : undefined),
      connectExecutor(options, cleanup),
    ])
    const queue = table.queue(kind)
    await checkSurroundings(queue, table, executor, options)
    if (!isOfTrials(kind)) {
      await docker.assertWalls(config.code_exec.runtime, stop.abort)
      await assertInternet(docker, config, stop.abort)
    }
    startReaping(executor, log, cleanup)
    const worked: WorkerKind<unknown, unknown, unknown> =
      matches !== undefined && isOfTrials(kind)
        ? await createTrialKind(kind, { table, executor, matches: matches.source }, options)
        : await createCodeExecKind({ table, executor, workdirs: docker }, options)
    const memoryBytes = isOfTrials(kind) ? config.limits.memory : config.code_exec.limits.memory_bytes
    const assertRoom = (signal: AbortSignal): Promise<void> => docker.assertRoom(memoryBytes, signal)
    const told = isOfTrials(kind) ? undefined : tellStates(kind, options, table.store, cleanup)
    watchForNotice(options, cleanup)
    log.info('Ready', { kind, process_name: options.processName })
    await runWorker({
      kind: worked,
      queue,
      beforeReceive: assertRoom,
      probes: {
        engine: (signal) => executor.probe(signal),
        disk: assertRoom,
        memory: assertRoom,
        store: (signal) => table.store.probe(signal),
        queue: (signal) => queue.probe(signal),
        ...(matches === undefined ? {} : { matches: matches.probe }),
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
