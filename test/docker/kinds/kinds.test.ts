import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { ExactNumber } from '../../../src/core/exact-number.ts'
import { formatJson, fromPlain, parseJson, type Json } from '../../../src/core/json.ts'
import type { Handler } from '../../../src/core/kind.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { processJob } from '../../../src/core/processor.ts'
import { Timeline } from '../../../src/core/timeline.ts'
import { openEmbedded, type Embedded } from '../../../src/embedded/index.ts'
import { createDockerExecutor } from '../../../src/executors/docker/docker-executor.ts'
import type { Executor } from '../../../src/executors/executor.ts'
import { createEvaluator } from '../../../src/kinds/evaluator/handler.ts'
import { createScorer } from '../../../src/kinds/scorer/handler.ts'
import type { KindServices, KindSettings } from '../../../src/kinds/services.ts'
import { createLocalMatchSource } from '../../../src/matches/local/local-matches.ts'
import { evaluationItem } from '../../../src/records/evaluation.ts'
import { flagKey, resultKey, solutionKey, type Trial } from '../../../src/records/keys.ts'
import { flagItem, type ResultSeries } from '../../../src/records/result.ts'
import { scoreItem } from '../../../src/records/score.ts'
import { solutionItem } from '../../../src/records/solution.ts'
import { createDynamoDbStore } from '../../../src/stores/dynamodb/dynamodb-store.ts'
import type { Item, Store } from '../../../src/stores/store.ts'
import { requireEngine } from '../../support/engine.ts'
import { buildPythonImage, hasPython } from '../../support/images.ts'
import { BEST_SO_FAR, CONSTRAINED_PROBLEM, UNDEFINED_PROBLEM } from './python-images.ts'

const CONSTRAINED = '0b0f7f0c-58b1-4ce5-a5d4-6e5f1f3f6f11'
const UNDEFINED = '0b0f7f0c-58b1-4ce5-a5d4-6e5f1f3f6f12'
const DIGESTS = '0b0f7f0c-58b1-4ce5-a5d4-6e5f1f3f6f13'
const TAG = 'opthub-runner-test'

/** Says what it got, without repeating it. */
const DIGEST = `
import hashlib, json, sys
data = sys.stdin.buffer.read()
print(json.dumps({"score": len(data), "objective": [len(data), hashlib.sha256(data).hexdigest()]}))
`

const SETTINGS: KindSettings = {
  timeoutSeconds: 60,
  stopGraceSeconds: 1,
  maxOutputBytes: 16 * 1024 ** 2,
  maxTotalOutputBytes: 1024 ** 3,
  strictExit: false,
  keep: false,
  limits: {},
  matchTtlSeconds: 60,
  ordered: true,
  orderTimeoutSeconds: 3600,
}

const engine = await requireEngine()
const canRun = engine !== undefined && (await hasPython())

describe.skipIf(!canRun)('evaluator and scorer on Docker and DynamoDB', () => {
  const records: LogRecord[] = []
  const log = createLogger((record) => records.push(record), 'DEBUG')
  let folder: string
  let embedded: Embedded
  let store: Store
  let executor: Executor
  let services: KindServices

  beforeAll(async () => {
    if (engine === undefined) return
    folder = await mkdtemp(join(tmpdir(), 'kinds-'))
    embedded = await openEmbedded({ dataDir: folder, log })
    const { endpoints, region, accessKeyId, secretAccessKey, table } = embedded.info
    const credentials = { accessKeyId, secretAccessKey }
    store = createDynamoDbStore({ region, endpoint: endpoints.dynamodb, credentials, tableName: table })
    await buildPythonImage(engine, `${TAG}/constrained:1`, CONSTRAINED_PROBLEM)
    await buildPythonImage(engine, `${TAG}/undefined:1`, UNDEFINED_PROBLEM)
    await buildPythonImage(engine, `${TAG}/best:1`, BEST_SO_FAR)
    await buildPythonImage(engine, `${TAG}/digest:1`, DIGEST)
    executor = createDockerExecutor({
      engine,
      processName: 'kinds-test',
      log,
      environment: {},
      pullPolicy: 'never',
    })
    services = {
      store,
      executor,
      clock: systemClock,
      settings: SETTINGS,
      matches: createLocalMatchSource({
        [CONSTRAINED]: {
          problem: {
            image: `${TAG}/constrained:1`,
            environment: { DIMENSION: '2', PROBLEM_VERSION: 'v1', API_TOKEN: 'hush-hush' },
          },
          indicator: { image: `${TAG}/best:1` },
        },
        [UNDEFINED]: { problem: { image: `${TAG}/undefined:1` }, indicator: { image: `${TAG}/best:1` } },
        [DIGESTS]: { problem: { image: `${TAG}/digest:1` }, indicator: { image: `${TAG}/digest:1` } },
      }),
    }
  }, 600_000)
  afterAll(async () => {
    if (engine === undefined) return
    store.close()
    await executor.close()
    await embedded.close()
    await rm(folder, { recursive: true, force: true })
  })

  async function submit(trial: Trial, variable: Json): Promise<void> {
    const item = solutionItem(trial, { userId: 'User#1', variable, createdAt: new Date() })
    await store.put([item], solutionKey(trial))
  }
  async function work<I, R>(handler: Handler<Trial, I, R>, trial: Trial): Promise<string> {
    return await processJob(handler, trial, {
      attempt: 1,
      signal: new AbortController().signal,
      assertHeld: () => undefined,
      log,
      timeline: new Timeline(systemClock),
    })
  }
  async function resultOf(series: ResultSeries, trial: Trial): Promise<Item> {
    expect(await store.get(flagKey(series, trial))).toEqual(flagItem(series, trial))
    const results = await Promise.all([
      store.get(resultKey(series, 'Success', trial)),
      store.get(resultKey(series, 'Failed', trial)),
    ])
    const found = results.filter((item) => item !== undefined)
    expect(found).toHaveLength(1)
    return found[0] ?? {}
  }
  const text = (value: Json | undefined): string => formatJson(value ?? null)

  it('judges a constrained problem, best so far', async () => {
    const [evaluator, scorer] = [createEvaluator(services), createScorer(services)]
    const trials = ['00001', '00002', '00003', '00004'].map((trialNo): Trial => ({
      matchId: CONSTRAINED,
      participantId: 'Team#1',
      trialNo,
    }))
    // Feasible, infeasible though better, wrong dimension, better.
    const variables = [[3, 4], [1, 5.5], [1], [0.5, -2]]
    for (const [index, trial] of trials.entries()) await submit(trial, fromPlain(variables[index]))
    const evaluated = await Promise.all(trials.map((trial) => work(evaluator, trial)))
    expect(evaluated).toEqual(['succeeded', 'succeeded', 'failed', 'succeeded'])
    for (const trial of trials) {
      if (trial.trialNo !== '00003') expect(await work(scorer, trial)).toBe('succeeded')
    }

    const [first, second, third, fourth] = await Promise.all(
      trials.map((trial) => resultOf('Evaluations', trial)),
    )
    expect(text(first?.['Objective'])).toBe('25')
    expect(text(first?.['Constraint'])).toBe('[-2,-1]')
    expect(first?.['Info']).toEqual(parseJson('{"mean": 12.5, "note": "ログ", "ok": true}'))
    expect([first, second, fourth].map((item) => item?.['Feasible'])).toEqual([true, false, true])
    expect(third?.['ErrorMessage']).toBe('')
    expect(third?.['AdminErrorMessage']).toContain('ValueError')
    expect(third?.['AdminErrorMessage']).toContain('version v1')
    const scores = await Promise.all(
      trials.filter((trial) => trial.trialNo !== '00003').map((trial) => resultOf('Scores', trial)),
    )
    expect(scores.map((item) => text(item['Value']))).toEqual(['25', '25', '4.25'])
    expect(JSON.stringify(records)).not.toContain('hush-hush')
  })

  it('stores what is not defined, and gives it back to the indicator', async () => {
    const trial: Trial = { matchId: UNDEFINED, participantId: 'User#1', trialNo: '00001' }
    await submit(trial, fromPlain([-1, 0]))
    expect(await work(createEvaluator(services), trial)).toBe('succeeded')
    const item = await resultOf('Evaluations', trial)
    expect(item).toMatchObject({ Constraint: null, Feasible: null })
    expect(text(item['Objective'])).toMatch(/^\[null,9{38}0{88}\]$/)
    expect(text(item['Info'])).toBe('{"exact":12345678901234567890,"tiny":0}')
    // No score is feasible yet, so the best one is infinite.
    expect(await work(createScorer(services), trial)).toBe('succeeded')
    expect(text((await resultOf('Scores', trial))['Value'])).toMatch(/^9{38}0{88}$/)
  })

  it('writes one result for three deliveries and two runners at once', async () => {
    const trial: Trial = { matchId: CONSTRAINED, participantId: 'Team#2', trialNo: '00001' }
    await submit(trial, fromPlain([1, 1]))
    const runners = [createEvaluator(services), createEvaluator(services)]
    const outcomes = await Promise.all([...runners, ...runners].map((runner) => work(runner, trial)))
    expect(outcomes.filter((outcome) => outcome === 'succeeded')).toHaveLength(1)
    expect(outcomes.filter((outcome) => outcome === 'settled')).toHaveLength(3)
    await resultOf('Evaluations', trial)
  })

  it('loses no byte of a history of 50 MB', async () => {
    const participant = { matchId: DIGESTS, participantId: 'User#big' }
    const now = new Date()
    const span = { startedAt: now, finishedAt: now, createdAt: now }
    const info = 'x'.repeat(390_000)
    const count = 130
    for (let n = 1; n <= count + 1; n += 1) {
      const trial = { ...participant, trialNo: String(n).padStart(5, '0') }
      const evaluation = { objective: ExactNumber.of(n), constraint: null, info, feasible: null }
      await store.put(
        [evaluationItem(trial, span, evaluation), flagItem('Evaluations', trial)],
        flagKey('Evaluations', trial),
      )
      if (n > count) break
      await store.put(
        [scoreItem(trial, span, ExactNumber.of(n)), flagItem('Scores', trial)],
        flagKey('Scores', trial),
      )
    }
    const trial = { ...participant, trialNo: '00131' }
    expect(await work(createScorer(services), trial)).toBe('succeeded')
    const entry = (n: number): string =>
      `{"objective": ${n}.0, "constraint": null, "info": "${info}", "feasible": null`
    let length = entry(131).length + '}\n'.length + '[]\n'.length + (count - 1) * 2
    for (let n = 1; n <= count; n += 1)
      length += entry(n).length + `"trial_no": "00001", , "score": ${n}.0}`.length
    expect(text((await resultOf('Scores', trial))['Value'])).toBe(String(length))
  }, 180_000)
})
