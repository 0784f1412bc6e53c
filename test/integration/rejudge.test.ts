import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openTable, type Table } from '../../src/app/table.ts'
import { main } from '../../src/cli/main.ts'
import { configSchema } from '../../src/config/schema.ts'
import { ExactNumber } from '../../src/core/exact-number.ts'
import { fromPlain } from '../../src/core/json.ts'
import { createLogger } from '../../src/core/log.ts'
import { evaluationItem } from '../../src/records/evaluation.ts'
import { flagKey, partitionOf, solutionKey, type Trial } from '../../src/records/keys.ts'
import { failedItem, flagItem, type ResultSeries } from '../../src/records/result.ts'
import { scoreItem } from '../../src/records/score.ts'
import { solutionItem } from '../../src/records/solution.ts'
import { FakeIo, runMain } from '../support/fake-io.ts'

const SOME_MATCH = '0f8fad5b-d9cb-469f-a165-70867728950e'
const NOW = new Date('2026-11-20T09:30:00.000Z')
const SPAN = { startedAt: NOW, finishedAt: NOW, createdAt: NOW }
const TEXTS = { errorMessage: 'it broke\u001b[31m', adminErrorMessage: 'for the admin' }

let home: string
let table: Table
/** Each test has a match and a participant of its own. */
let match: string
let team: string

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'opthub-rejudge-'))
  const config = configSchema.parse({ wait_time: '0' })
  table = await openTable({ config, local: true, dataDir: home, log: createLogger(() => undefined) })
})
afterAll(async () => {
  await table.close()
  await rm(home, { recursive: true, force: true })
})
beforeEach(async () => {
  match = randomUUID()
  team = `Team#${match.slice(0, 8)}`
  await Promise.all([messages('evaluator'), messages('scorer')])
})

function rejudge(...args: string[]) {
  const environment = { OPTHUB_RUNNER_HOME: home }
  return runMain(['rejudge', '--local', '--match', match, '--participant', team, ...args], { environment })
}

/** TrialNos of the messages on a queue, which are taken off it. */
async function messages(kind: 'evaluator' | 'scorer'): Promise<string[]> {
  const queue = table.queue(kind)
  const found: string[] = []
  for (;;) {
    const deliveries = await queue.receive(10, AbortSignal.timeout(30_000))
    if (deliveries.length === 0) return found.sort()
    for (const delivery of deliveries) {
      const { ParticipantID, TrialNo } = JSON.parse(delivery.body) as Record<string, string>
      if (ParticipantID === team) found.push(TrialNo ?? '')
      await delivery.ack()
    }
  }
}

function trialOf(number: number): Trial {
  return { matchId: match, participantId: team, trialNo: String(number).padStart(5, '0') }
}

type Outcome = 'Success' | 'Failed' | undefined

/** Stores a trial as runners left it. The messages that its items cause are taken away. */
async function store(number: number, evaluation: Outcome, score?: Outcome): Promise<void> {
  const trial = trialOf(number)
  const put = async (series: ResultSeries, outcome: Outcome): Promise<void> => {
    if (outcome === undefined) return
    const values = {
      objective: ExactNumber.of(number),
      constraint: null,
      info: fromPlain({}),
      feasible: null,
    }
    const success =
      series === 'Scores'
        ? scoreItem(trial, SPAN, ExactNumber.of(number))
        : evaluationItem(trial, SPAN, values)
    const item = outcome === 'Failed' ? failedItem(series, trial, SPAN, TEXTS) : success
    await table.store.put([item, flagItem(series, trial)], flagKey(series, trial))
  }
  const submission = { userId: 'User#1', variable: null, createdAt: NOW }
  await table.store.put([solutionItem(trial, submission)], solutionKey(trial))
  await put('Evaluations', evaluation)
  await put('Scores', score)
}

/** Takes the messages away that stored items cause. */
async function settle(): Promise<void> {
  await Promise.all([messages('evaluator'), messages('scorer')])
}

/** Sort keys of all results and flags of the participant. */
async function keys(series: ResultSeries | 'Rejudgings'): Promise<string[]> {
  const found: string[] = []
  const id = partitionOf(series, { matchId: match, participantId: team })
  for await (const { Trial } of table.store.query(id, { from: '0', to: '~' })) found.push(Trial as string)
  return found
}

describe('rejudge', () => {
  test('deletes a result, its flag and the score that hangs on it, and queues the trial once', async () => {
    await store(1, 'Success', 'Success')
    await store(2, 'Success', 'Failed')
    await settle()
    const { code, stdout, stderr } = await rejudge('--trial', '1', '--yes')
    expect({ code, stdout }).toEqual({ code: 0, stdout: '1 trial queued again.\n' })
    expect(stderr).toContain(`${match}/${team}/00001`)
    expect(stderr).not.toContain('00002')
    // What comes later is not touched, but it is said what that means.
    expect(stderr).toContain('Later scores in whose histories these trials belong: 1.')
    expect(await keys('Evaluations')).toEqual(['00002', 'Success#00002'])
    expect(await keys('Scores')).toEqual(['00002', 'Failed#00002'])
    expect(await messages('evaluator')).toEqual(['00001'])
    expect(await messages('scorer')).toEqual([])
    // One note stays, so that no number is given again.
    expect(await keys('Rejudgings')).toEqual(['00000002'])
    // The new result can be written.
    await store(1, 'Success')
    expect(await keys('Evaluations')).toContain('Success#00001')
  })

  test('--failed takes what failed: evaluations, and scores of evaluations that went well', async () => {
    await store(1, 'Failed')
    await store(2, 'Success', 'Failed')
    await store(3, 'Success', 'Success')
    await store(4, 'Failed', 'Failed')
    await store(5, undefined)
    await store(6, undefined, 'Failed')
    await store(7, 'Success')
    await settle()
    const { code, stderr } = await rejudge('--failed', '--yes')
    expect(code).toBe(0)
    expect(stderr).toContain('it broke\\x1b[31m')
    expect(await keys('Evaluations')).toEqual([
      '00002',
      '00003',
      '00007',
      'Success#00002',
      'Success#00003',
      'Success#00007',
    ])
    expect(await keys('Scores')).toEqual(['00003', 'Success#00003'])
    expect(await messages('evaluator')).toEqual(['00001', '00004', '00006'])
    expect(await messages('scorer')).toEqual(['00002'])
    expect(await rejudge('--failed', '--yes')).toMatchObject({ code: 0, stdout: 'Nothing to judge again.\n' })
    expect(await messages('evaluator')).toEqual([])
  })

  test('takes scores only, or evaluations only', async () => {
    for (const number of [1, 2]) await store(number, 'Success', number === 1 ? 'Success' : 'Failed')
    await store(3, 'Failed', 'Failed')
    await settle()
    expect((await rejudge('scorer', '--yes')).code).toBe(0)
    expect(await keys('Scores')).toEqual(['00003', 'Failed#00003'])
    expect(await keys('Evaluations')).toHaveLength(6)
    expect(await messages('scorer')).toEqual(['00001', '00002'])
    expect((await rejudge('evaluator', '--failed', '--yes')).code).toBe(0)
    expect(await keys('Scores')).toEqual([])
    expect(await messages('evaluator')).toEqual(['00003'])
  })

  test('--cascade takes all later scores along, and only those', async () => {
    for (const number of [1, 2, 3]) await store(number, 'Success', 'Success')
    await store(4, 'Failed')
    await store(5, 'Success', 'Failed')
    await store(6, 'Success')
    await settle()
    const { stdout } = await rejudge('--trial', '2', '--cascade', '--yes', '--json')
    const ids = (numbers: number[]) => numbers.map((number) => `${match}/${team}/0000${number}`)
    const outcome = JSON.parse(stdout) as { queued: { id: string; kind: string; reason: string }[] }
    expect(outcome).toMatchObject({ changed: [], later_scores: [] })
    expect(outcome.queued.map(({ id }) => id)).toEqual(ids([2, 3, 5]))
    expect(outcome.queued.map(({ kind }) => kind)).toEqual(['evaluator', 'scorer', 'scorer'])
    expect(await messages('evaluator')).toEqual(['00002'])
    expect(await messages('scorer')).toEqual(['00003', '00005'])
    expect(await keys('Scores')).toEqual(['00001', 'Success#00001'])
  })

  test('takes a flag without a result, and results without flags', async () => {
    await store(1, 'Success', 'Success')
    await store(2, 'Failed')
    await settle()
    const id = partitionOf('Evaluations', trialOf(1))
    await table.store.remove([{ ID: id, Trial: 'Success#00001' }], [])
    await table.store.remove([{ ID: id, Trial: '00002' }], [])
    expect((await rejudge('--failed', '--yes')).code).toBe(0)
    expect(await keys('Evaluations')).toEqual([])
    expect(await messages('evaluator')).toEqual(['00001', '00002'])
  })

  test('queues a trial without any result when it is named, by any width of its number', async () => {
    await store(7, undefined)
    await settle()
    expect(await rejudge('--trial', '7', '--yes')).toMatchObject({
      code: 0,
      stdout: '1 trial queued again.\n',
    })
    expect(await messages('evaluator')).toEqual(['00007'])
    expect(await rejudge('--trial', '8', '--yes')).toMatchObject({ code: 1 })
    expect(await rejudge('--trial', '7', '--failed', '--yes')).toMatchObject({ code: 0 })
    expect(await rejudge('scorer', '--trial', '7', '--yes')).toMatchObject({ code: 1 })
    expect(await messages('evaluator')).toEqual([])
  })

  test('finds all participants of a match, and no other match', async () => {
    const other = team
    await store(1, 'Failed')
    team = `${team}/with#odd name`
    await store(1, 'Failed')
    await settle()
    const elsewhere = { ...trialOf(1), matchId: '00000000-0000-4000-8000-000000000000' }
    const item = failedItem('Evaluations', elsewhere, SPAN, TEXTS)
    await table.store.put([item, flagItem('Evaluations', elsewhere)], flagKey('Evaluations', elsewhere))
    const { code, stdout } = await runMain(['rejudge', '--local', '--match', match, '--failed', '--yes'], {
      environment: { OPTHUB_RUNNER_HOME: home },
    })
    expect({ code, stdout }).toEqual({ code: 0, stdout: '2 trials queued again.\n' })
    expect(await keys('Evaluations')).toEqual([])
    expect(await messages('evaluator')).toEqual(['00001'])
    team = other
    expect(await keys('Evaluations')).toEqual([])
    expect(await table.store.get(flagKey('Evaluations', elsewhere))).toBeDefined()
  })

  test('asks on a terminal, and deletes nothing without a yes', async () => {
    await store(1, 'Failed')
    await settle()
    const argv = ['rejudge', '--local', '--match', match, '--participant', team]
    const answer = async (typed: string) => {
      const io = new FakeIo({ stdin: typed, columns: 100, environment: { OPTHUB_RUNNER_HOME: home } })
      io.stdin.isTTY = true
      return { code: await main(argv, io), stderr: io.stderr.text }
    }
    const silent = await rejudge()
    expect(silent).toMatchObject({ code: 2, stdout: '' })
    expect(silent.stderr).toContain('--yes')
    for (const typed of ['n\r', '\r', 'yess\r', '\x04']) {
      expect(await answer(typed)).toMatchObject({ code: 0 })
      expect(await keys('Evaluations')).toEqual(['00001', 'Failed#00001'])
    }
    const { code, stderr } = await answer('y\r')
    expect(code).toBe(0)
    expect(stderr).toContain('Delete these results and queue 1 again? [y/N]')
    expect(await keys('Evaluations')).toEqual([])
    expect(await messages('evaluator')).toEqual(['00001'])
  })

  test.each([
    [['rejudge', '--local'], '--match is missing'],
    [['rejudge', '--local', '--match', 'x'], '--match: this names no match'],
    [['rejudge', 'evaluators', '--local', '--match', SOME_MATCH], 'There is no kind "evaluators"'],
    [['rejudge', '--local', '--match', SOME_MATCH, '--trial', 'one'], '--trial: this names no trial'],
    [['rejudge', '--match', SOME_MATCH], 'table_name is missing'],
  ])('refuses %j', async (argv, message) => {
    const { code, stderr } = await runMain(argv, { environment: { OPTHUB_RUNNER_HOME: home } })
    expect(stderr).toContain(message)
    expect([2, 78]).toContain(code)
  })
})
