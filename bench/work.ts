import { systemClock } from '../src/core/clock.ts'
import { createLogger } from '../src/core/log.ts'
import type { WorkerObserver } from '../src/core/observer.ts'
import { createStop } from '../src/core/stop.ts'
import { runWorker } from '../src/core/worker.ts'
import type { Executor } from '../src/executors/executor.ts'
import { TRIAL_KINDS } from '../src/kinds/index.ts'
import { createLocalMatchSource } from '../src/matches/local/local-matches.ts'
import type { Queue } from '../src/queues/queue.ts'
import type { Store } from '../src/stores/store.ts'

/** Longest result line, and the most output. */
const MAX_OUTPUT_BYTES = 16 * 1024 ** 2

export interface Work {
  queue: Queue
  store: Store
  executor: Executor
  image: string
  slots: number
  jobs: number
  observer?: Partial<WorkerObserver>
}

/** Works the evaluator's jobs with the production loop, until so many are done. */
export async function work({
  queue,
  store,
  executor,
  image,
  slots,
  jobs,
  observer = {},
}: Work): Promise<void> {
  const stop = createStop({ graceMs: 60_000 })
  const { parseMessage, create } = TRIAL_KINDS.evaluator
  const handler = create({
    store,
    executor,
    matches: createLocalMatchSource({ '*': { problem: { image } } }),
    clock: systemClock,
    settings: {
      timeoutSeconds: 60,
      stopGraceSeconds: 1,
      maxOutputBytes: MAX_OUTPUT_BYTES,
      maxTotalOutputBytes: MAX_OUTPUT_BYTES,
      strictExit: false,
      keep: false,
      limits: {},
      matchTtlSeconds: 60,
      ordered: true,
      orderTimeoutSeconds: 3600,
    },
  })
  try {
    await runWorker({
      kind: { name: 'evaluator', parseMessage, handler },
      queue,
      probes: {},
      concurrency: slots,
      num: jobs,
      drainQueue: false,
      intervalMs: 100,
      visibilitySeconds: 60,
      heartbeatMs: 20_000,
      maxReceiveCount: 10,
      maxHeld: 100,
      drain: stop.drain,
      abort: stop.abort,
      clock: systemClock,
      log: createLogger((record) => {
        console.error(record.msg, record.fields)
      }, 'ERROR'),
      observer: {
        jobStarted: () => undefined,
        jobEnded: () => undefined,
        stateChanged: () => undefined,
        ...observer,
      },
    })
  } finally {
    stop.dispose()
  }
}
