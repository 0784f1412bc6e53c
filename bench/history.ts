import { systemClock } from '../src/core/clock.ts'
import { ExactNumber } from '../src/core/exact-number.ts'
import { fromPlain } from '../src/core/json.ts'
import { createLogger } from '../src/core/log.ts'
import { processJob } from '../src/core/processor.ts'
import { Timeline } from '../src/core/timeline.ts'
import { createScorer } from '../src/kinds/scorer/handler.ts'
import { createLocalMatchSource } from '../src/matches/local/local-matches.ts'
import { evaluationItem } from '../src/records/evaluation.ts'
import type { Trial } from '../src/records/keys.ts'
import { flagItem } from '../src/records/result.ts'
import { scoreItem } from '../src/records/score.ts'
import { solutionItem } from '../src/records/solution.ts'
import { PagedStore } from '../test/support/paged-store.ts'
import { createInstantExecutor } from './instant-executor.ts'
import { heldBytes, type Print } from './measure.ts'

const TRIALS = [10, 100, 1000, 10_000, 20_000]
/** Warm figures are medians of so many trials in a row. */
const WARM_TRIALS = 11
/** Of a problem of ten variables and three objectives. */
const VARIABLE = fromPlain(Array.from({ length: 10 }, (_, index) => index / 7))
const OBJECTIVE = fromPlain([0.1234567890123456, 2.345678901234567, 34.56789012345678])

/**
 * What scoring the n-th trial of a participant costs in requests to the table, time and memory: cold, as after a
 * start, and warm. The table is in memory and answers at once, in pages as DynamoDB cuts them.
 */
export async function benchHistory(print: Print): Promise<void> {
  print('| trial | history | cold: requests | cold: ms | warm: requests | warm: items | warm: ms | kept |')
  print('|---:|---:|---:|---:|---:|---:|---:|---:|')
  for (const trial of TRIALS) {
    const { historyBytes, cold, warm, keptBytes } = await measure(trial)
    const cells = [
      trial.toLocaleString('en'),
      size(historyBytes),
      cold.requests,
      cold.ms.toFixed(1),
      warm.requests,
      warm.items,
      warm.ms.toFixed(1),
      size(keptBytes),
    ]
    print(`| ${cells.join(' | ')} |`)
  }
  print('')
  print(`Warm: median of ${WARM_TRIALS} trials. Kept: memory that the scorer holds on to, all in all.`)
}

interface Cost {
  requests: number
  items: number
  ms: number
}

interface Measured {
  historyBytes: number
  cold: Cost
  warm: Cost
  keptBytes: number
}

async function measure(count: number): Promise<Measured> {
  const store = new PagedStore()
  for (let number = 1; number < count - 1; number += 1) addScored(store, number)
  // Whatever the table's items, the code and its caches take is taken by a first scorer.
  await createScoring(store).score(count - 1)
  const beforeBytes = await heldBytes()
  const scoring = createScoring(store)
  const cold = await scoring.score(count)
  const historyBytes = scoring.lastInputBytes()
  const keptBytes = (await heldBytes()) - beforeBytes
  const costs: Cost[] = []
  for (let n = 1; n <= WARM_TRIALS; n += 1) costs.push(await scoring.score(count + n))
  const medianOf = (part: keyof Cost): number =>
    costs.map((cost) => cost[part]).sort((a, b) => a - b)[WARM_TRIALS >> 1] ?? NaN
  const warm = { requests: medianOf('requests'), items: medianOf('items'), ms: medianOf('ms') }
  return { historyBytes, cold, warm, keptBytes }
}

/** A scorer that knows nothing yet. */
function createScoring(store: PagedStore): {
  score(number: number): Promise<Cost>
  lastInputBytes(): number
} {
  const executor = createInstantExecutor('{"score": 1}')
  const scorer = createScorer({
    store,
    executor,
    matches: createLocalMatchSource({ '*': { indicator: { image: 'indicator' } } }),
    clock: systemClock,
    settings: {
      timeoutSeconds: 60,
      stopGraceSeconds: 1,
      maxOutputBytes: 1024,
      maxTotalOutputBytes: 1024,
      strictExit: false,
      keep: false,
      limits: {},
      matchTtlSeconds: 60,
      ordered: true,
      orderTimeoutSeconds: 3600,
    },
  })
  return {
    lastInputBytes: () => executor.lastInputBytes,
    async score(number) {
      addEvaluated(store, number)
      const { requests, items } = store
      const startMs = performance.now()
      const outcome = await processJob(scorer, trialOf(number), {
        attempt: 1,
        signal: new AbortController().signal,
        assertHeld: () => undefined,
        log: createLogger(() => undefined),
        timeline: new Timeline(systemClock),
      })
      const ms = performance.now() - startMs
      if (outcome !== 'succeeded') throw new Error(`trial ${number} ${outcome}`)
      return { requests: store.requests - requests, items: store.items - items, ms }
    },
  }
}

function trialOf(number: number): Trial {
  return {
    matchId: '0b0f7f0c-58b1-4ce5-a5d4-6e5f1f3f6f11',
    participantId: 'Team#1',
    trialNo: String(number).padStart(5, '0'),
  }
}

function addEvaluated(store: PagedStore, number: number): void {
  const trial = trialOf(number)
  const now = new Date()
  const span = { startedAt: now, finishedAt: now, createdAt: now }
  const evaluation = { objective: OBJECTIVE, constraint: null, info: fromPlain({}), feasible: true }
  store.add(solutionItem(trial, { userId: 'User#1', variable: VARIABLE, createdAt: now }))
  store.add(evaluationItem(trial, span, evaluation))
  store.add(flagItem('Evaluations', trial))
}

function addScored(store: PagedStore, number: number): void {
  addEvaluated(store, number)
  const trial = trialOf(number)
  const now = new Date()
  store.add(scoreItem(trial, { startedAt: now, finishedAt: now, createdAt: now }, ExactNumber.of(number / 3)))
  store.add(flagItem('Scores', trial))
}

function size(bytes: number): string {
  return bytes < 1024 ** 2 ? `${Math.round(bytes / 1024)} KiB` : `${(bytes / 1024 ** 2).toFixed(1)} MiB`
}
