import { getEventListeners } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { fromPlain } from '../../src/core/json.ts'
import { createLogger } from '../../src/core/log.ts'
import { createStop } from '../../src/core/stop.ts'
import { runWorker } from '../../src/core/worker.ts'
import { TRIAL_KINDS, type TrialKindName, type TrialKind } from '../../src/kinds/index.ts'
import type { KindSettings } from '../../src/kinds/services.ts'
import { createLocalMatchSource } from '../../src/matches/local/local-matches.ts'
import { evaluationItem } from '../../src/records/evaluation.ts'
import { flagItem } from '../../src/records/result.ts'
import { solutionItem } from '../../src/records/solution.ts'
import type { Trial } from '../../src/records/keys.ts'
import { until } from '../support/faults/until.ts'
import { MemoryQueue } from '../support/memory-queue.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { ScriptedExecutor } from '../support/scripted-executor.ts'

/** 100,000 are a day of a job and more a second. */
const JOBS = Number(process.env['OPTHUB_CHAOS_JOBS'] ?? 6_000)
const BATCH = 250
const PARTICIPANTS = 25
const CONCURRENCY = 16
const MATCH = '55555555-2222-3333-4444-555555555555'

/** What may be left behind, in bytes: noise, however many jobs there were. */
const GROWTH_BYTES = 4 * 1024 ** 2
/** What the scorer keeps of each participant, in bytes; of at most 10,000. */
const PER_PARTICIPANT_BYTES = 1024

const SETTINGS: KindSettings = {
  timeoutSeconds: 60,
  stopGraceSeconds: 1,
  maxOutputBytes: 1024 ** 2,
  maxTotalOutputBytes: 4 * 1024 ** 2,
  strictExit: false,
  keep: false,
  limits: {},
  matchTtlSeconds: 60,
  ordered: true,
  orderTimeoutSeconds: 3600,
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

interface Sample {
  heapBytes: number
  handles: string
  listeners: number
}

test.each(['evaluator', 'scorer'] as const)(
  `%s: ${String(JOBS)} jobs leave no memory, handle, timer or listener behind`,
  { timeout: 1_800_000 },
  async (kind) => {
    const store = new MemoryStore()
    const queue = new MemoryQueue(systemClock, 60_000, 20)
    const executor = new ScriptedExecutor({
      problem: () => ({ stdout: '{"objective": 1}\n' }),
      indicator: () => ({ stdout: '{"score": 1}\n' }),
    })
    const matches = createLocalMatchSource({
      '*': { problem: { image: 'problem' }, indicator: { image: 'indicator' } },
    })
    const stop = createStop({ graceMs: 10_000 })
    let done = 0
    const { parseMessage, create }: TrialKind = TRIAL_KINDS[kind]
    const working = runWorker({
      kind: {
        name: kind,
        parseMessage,
        handler: create({ store, executor, matches, clock: systemClock, settings: SETTINGS }),
      },
      queue,
      probes: {},
      concurrency: CONCURRENCY,
      num: 0,
      drainQueue: false,
      intervalMs: 1,
      visibilitySeconds: 60,
      heartbeatMs: 20_000,
      maxReceiveCount: 10,
      maxHeld: 100,
      drain: stop.drain,
      abort: stop.abort,
      clock: systemClock,
      log: createLogger(() => undefined),
      observer: {
        jobStarted: () => undefined,
        jobEnded: (_job, outcome) => {
          if (outcome === 'succeeded') done += 1
        },
        stateChanged: () => undefined,
      },
    })

    async function workBatch(from: number): Promise<void> {
      for (let n = 0; n < BATCH; n += 1) {
        // Competitions come and go: no participant has more than ten trials.
        const participantId = `User#${String(from + (n % PARTICIPANTS))}`
        const trialNo = String(Math.floor(n / PARTICIPANTS) + 1).padStart(5, '0')
        prepare(store, kind, { matchId: MATCH, participantId, trialNo })
        await queue.send(JSON.stringify({ MatchID: MATCH, ParticipantID: participantId, TrialNo: trialNo }))
      }
      await until('a batch is done', () => done === from + BATCH && queue.left().length === 0)
      for (const grown of [queue.messages, queue.log, store.gets, executor.started, executor.pulls])
        grown.length = 0
      store.items.clear()
    }
    /** At rest, so that what is left is left for good. */
    async function sample(): Promise<Sample> {
      for (let n = 0; n < 3; n += 1) {
        collect()
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      return {
        heapBytes: process.memoryUsage().heapUsed,
        // A poll that ends may be between two of its own timers just now.
        handles: process
          .getActiveResourcesInfo()
          .filter((name) => name !== 'Timeout' && name !== 'Immediate')
          .sort()
          .join(),
        listeners:
          getEventListeners(stop.drain, 'abort').length + getEventListeners(stop.abort, 'abort').length,
      }
    }

    const samples: Sample[] = []
    let timers = 0
    try {
      const quarter = Math.ceil(JOBS / BATCH / 4)
      for (let batch = 1; batch <= 4 * quarter; batch += 1) {
        await workBatch((batch - 1) * BATCH)
        if (batch % quarter === 0) samples.push(await sample())
      }
      timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    } finally {
      stop.requestAbort('the test is over')
      await working.catch(() => undefined)
      stop.dispose()
    }
    const [first] = samples
    const last = samples.at(-1)
    if (first === undefined || last === undefined) throw new Error('too few jobs')
    process.stderr.write(
      `${kind}: heap after each quarter of ${String(JOBS)} jobs ${samples.map(({ heapBytes }) => (heapBytes / 1024 ** 2).toFixed(1)).join(', ')} MiB, ${String(timers)} timers\n`,
    )
    const participants = kind === 'scorer' ? Math.min(JOBS / (BATCH / PARTICIPANTS), 10_000) : 0
    expect(last.heapBytes - first.heapBytes).toBeLessThan(GROWTH_BYTES + participants * PER_PARTICIPANT_BYTES)
    expect(last.handles).toBe(first.handles)
    expect(last.listeners).toBe(first.listeners)
    expect(timers).toBeLessThan(CONCURRENCY)
    expect([...executor.present]).toEqual([])
  },
)

/** Puts into the table what a job reads. */
function prepare(store: MemoryStore, kind: TrialKindName, trial: Trial): void {
  const createdAt = new Date()
  store.add(solutionItem(trial, { userId: 'User#1', variable: fromPlain([1]), createdAt }))
  if (kind === 'evaluator') return
  const span = { startedAt: createdAt, finishedAt: createdAt, createdAt }
  const evaluation = { objective: fromPlain(1), constraint: null, info: new Map(), feasible: null }
  store.add(evaluationItem(trial, span, evaluation))
  store.add(flagItem('Evaluations', trial))
}
