import { Breaker, type Probe } from '../core/breaker.ts'
import type { Cleanup } from '../core/cleanup.ts'
import { systemClock } from '../core/clock.ts'
import { messageOf, RetryableError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { WorkerObserver } from '../core/observer.ts'
import { awaitStopNotice } from '../core/stop-notice.ts'
import type { Executor } from '../executors/executor.ts'
import type { RunnerOptions } from './options.ts'

/** Between two looks for containers whose runner is dead. */
const REAP_INTERVAL_MS = 30_000
/** A runner that ends waits no longer for its first look. */
const LAST_LOOK_MS = 5000

/** For whoever is told nothing. */
export const SILENT: WorkerObserver = {
  jobStarted: () => undefined,
  jobEnded: () => undefined,
  stateChanged: () => undefined,
}

/** The one fault that may be there at the start; others are thrown. */
export function fullDisk(error: unknown): RetryableError {
  if (error instanceof RetryableError && error.surrounding === 'disk') return error
  throw error
}

/** Resolves when there is room again, or the drain begins. */
export async function untilDiskHasRoom(
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
export function watchForNotice({ config, stop, log }: RunnerOptions, cleanup: Cleanup): void {
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

/**
 * Removes what dead runners left behind, now and from time to time. The probe, for each receive, asks the engine only
 * after such a look has failed: it costs nothing while all is well, and a runner without jobs notices a dead engine.
 */
export function startReaping(executor: Executor, log: Logger, cleanup: Cleanup): Probe {
  const ended = new AbortController()
  let isDoubtful = false
  async function reap(): Promise<void> {
    try {
      const removed = await executor.reap(ended.signal)
      if (removed > 0) log.info('Removed containers that dead runners left behind', { removed })
    } catch (error) {
      if (ended.signal.aborted) return
      isDoubtful = true
      log.debug('Looking for orphaned containers failed', { error: messageOf(error) })
    }
  }
  const first = reap()
  async function loop(): Promise<void> {
    await first
    for (;;) {
      await systemClock.sleep(REAP_INTERVAL_MS, ended.signal).catch(() => undefined)
      if (ended.signal.aborted) return
      await reap()
    }
  }
  const looping = loop()
  cleanup.defer('reaper', async () => {
    // Also one that ends at once removes what is left: nobody else may come.
    const over = new AbortController()
    const late = systemClock.sleep(LAST_LOOK_MS, over.signal).catch(() => undefined)
    await Promise.race([first, late])
    over.abort()
    ended.abort()
    await looping
  })
  return async (signal) => {
    if (!isDoubtful) return
    await executor.probe(signal)
    isDoubtful = false
  }
}
