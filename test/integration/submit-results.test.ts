import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTable, type Table } from '../../src/app/table.ts'
import { main } from '../../src/cli/main.ts'
import { configSchema } from '../../src/config/schema.ts'
import { createLogger } from '../../src/core/log.ts'
import { ExactNumber } from '../../src/core/exact-number.ts'
import { fromPlain, type Json } from '../../src/core/json.ts'
import { evaluationItem } from '../../src/records/evaluation.ts'
import { flagKey, type Trial } from '../../src/records/keys.ts'
import { failedItem, flagItem } from '../../src/records/result.ts'
import { scoreItem } from '../../src/records/score.ts'
import { FakeIo, runMain } from '../support/fake-io.ts'

const MATCH = '0f8fad5b-d9cb-469f-a165-70867728950e'
const SPAN = {
  startedAt: new Date('2026-11-20T09:30:00.000Z'),
  finishedAt: new Date('2026-11-20T09:30:01.500Z'),
  createdAt: new Date('2026-11-20T09:30:02.000Z'),
}

let home: string
let table: Table

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'opthub-submit-'))
  const config = configSchema.parse({ wait_time: '1' })
  table = await openTable({ config, local: true, dataDir: home, log: createLogger(() => undefined) })
})
afterAll(async () => {
  await table.close()
  await rm(home, { recursive: true, force: true })
})

function run(argv: readonly string[], stdin?: string) {
  return runMain(argv, { environment: { OPTHUB_RUNNER_HOME: home }, ...(stdin !== undefined && { stdin }) })
}

function submit(participant: string, variable: string, ...more: string[]) {
  const who = ['--match', MATCH, '--participant', participant, '--variable', variable]
  return run(['submit', 'evaluator', '--local', ...who, ...more])
}

/** What the evaluator is told, until the queue stays empty. */
async function messages(): Promise<unknown[]> {
  const queue = table.queue('evaluator')
  const bodies: unknown[] = []
  for (;;) {
    const deliveries = await queue.receive(10, AbortSignal.timeout(30_000))
    if (deliveries.length === 0) return bodies
    for (const delivery of deliveries) {
      bodies.push(JSON.parse(delivery.body))
      await delivery.ack()
    }
  }
}

async function store(
  series: 'Evaluations' | 'Scores',
  trial: Trial,
  outcome: { value: Json } | { error: string },
) {
  const item =
    'error' in outcome
      ? failedItem(series, trial, SPAN, { errorMessage: outcome.error, adminErrorMessage: 'for the admin' })
      : series === 'Scores'
        ? scoreItem(trial, SPAN, outcome.value as ExactNumber)
        : evaluationItem(trial, SPAN, {
            objective: outcome.value,
            constraint: null,
            info: fromPlain({ note: 'x,"y"' }),
            feasible: true,
          })
  expect(await table.store.put([item, flagItem(series, trial)], flagKey(series, trial))).toBe('written')
}

const number = (text: string): ExactNumber => ExactNumber.parse(text)

describe('submit evaluator', () => {
  test('stores the solution with all its digits under the next trial, and it is queued once', async () => {
    const first = await submit('Team#1', '[1, 2.50, 12345678901234567890, 1e22]')
    expect(first).toEqual({ code: 0, stdout: `${MATCH}/Team#1/00001\n`, stderr: '' })
    expect((await submit('Team#1', '{"x": null}')).stdout).toBe(`${MATCH}/Team#1/00002\n`)
    const item = await table.store.get({ ID: `Solutions#Match#${MATCH}#Team#1`, Trial: '00001' })
    expect(item).toMatchObject({
      TrialNo: '00001',
      ResourceType: 'Solution',
      MatchID: `Match#${MATCH}`,
      ParticipantID: 'Team#1',
      UserID: 'Team#1',
      CreatedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
    })
    const digits = (item?.['Variable'] as readonly ExactNumber[])[2]
    expect(digits?.toString()).toBe('12345678901234567890')
    expect(await messages()).toEqual([
      { MatchID: MATCH, ParticipantID: 'Team#1', TrialNo: '00001' },
      { MatchID: MATCH, ParticipantID: 'Team#1', TrialNo: '00002' },
    ])
  })

  test('many at once get numbers of their own', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, (_, i) => submit('User#many', String(i))))
    expect(all.map(({ code }) => code)).toEqual(Array.from({ length: 8 }, () => 0))
    const numbers = all.map(({ stdout }) => stdout.trim().split('/').at(-1))
    expect(numbers.toSorted()).toEqual(Array.from({ length: 8 }, (_, i) => `0000${String(i + 1)}`))
    expect(await messages()).toHaveLength(8)
  })

  test('a series keeps its width, and its last number ends it', async () => {
    const id = { matchId: MATCH, participantId: 'User#wide' }
    const { solutionItem } = await import('../../src/records/solution.ts')
    const { solutionKey } = await import('../../src/records/keys.ts')
    for (const trialNo of ['08', '99']) {
      const trial = { ...id, trialNo }
      const item = solutionItem(trial, { userId: 'User#wide', variable: null, createdAt: new Date() })
      await table.store.put([item], solutionKey(trial))
      const { code, stdout, stderr } = await submit('User#wide', '1')
      if (trialNo === '08') expect(stdout).toBe(`${MATCH}/User#wide/09\n`)
      else {
        expect(code).toBe(1)
        expect(stderr).toContain('has used all trial numbers of 2 digits')
      }
    }
    await messages()
  })

  test('a message file: with a solution, with a number of its own, or of a stored one', async () => {
    const message = { MatchID: MATCH, ParticipantID: 'User#file', Variable: [1] }
    const file = join(home, 'message.json')
    await writeFile(file, JSON.stringify(message))
    expect((await run(['submit', 'evaluator', '--local', '--file', file])).stdout).toBe(
      `${MATCH}/User#file/00001\n`,
    )
    const numbered = JSON.stringify({ ...message, MatchID: `Match#${MATCH}`, TrialNo: '00007' })
    const seventh = await run(['submit', 'evaluator', '--local', '--file', '-', '--json'], numbered)
    expect(JSON.parse(seventh.stdout)).toEqual({
      id: `${MATCH}/User#file/00007`,
      match_id: MATCH,
      participant_id: 'User#file',
      trial_no: '00007',
    })
    const again = await run(['submit', 'evaluator', '--local', '--file', '-'], numbered)
    expect(again.code).toBe(1)
    expect(again.stderr).toContain('Trial 00007 of User#file has a solution already')
    await messages()
    const resent = JSON.stringify({ MatchID: MATCH, ParticipantID: 'User#file', TrialNo: '00007' })
    expect((await run(['submit', 'evaluator', '--local', '--file', '-'], resent)).code).toBe(0)
    expect(await messages()).toEqual([JSON.parse(resent)])
  })

  test('the variable may come from standard input', async () => {
    const argv = [
      'submit',
      'evaluator',
      '--local',
      '--match',
      MATCH,
      '--participant',
      'User#in',
      '--variable',
      '-',
    ]
    expect((await run(argv, '[0.125]\n')).code).toBe(0)
    await messages()
  })

  test.each([
    ['too large', JSON.stringify('x'.repeat(500_000))],
    ['out of range', '[1e200]'],
    ['no number', '[NaN]'],
    ['of 39 digits', `[${'1'.repeat(39)}]`],
  ])('a solution that no item can hold is refused: %s', async (_, variable) => {
    const { code, stdout, stderr } = await submit('User#big', variable)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('The solution cannot be stored')
    expect(await table.store.get({ ID: `Solutions#Match#${MATCH}#User#big`, Trial: '00001' })).toBeUndefined()
  })

  test('--wait follows it to its result, and ends with 1 when that is a failure', async () => {
    const good = submit('User#wait', '1', '--wait')
    const bad = submit('User#wait2', '1', '--wait', '--json')
    const seen = new Set<unknown>()
    const queue = table.queue('evaluator')
    while (seen.size < 2) {
      for (const delivery of await queue.receive(10, AbortSignal.timeout(30_000))) {
        const body = JSON.parse(delivery.body) as { ParticipantID: string; TrialNo: string }
        seen.add(body.ParticipantID)
        const trial = { matchId: MATCH, participantId: body.ParticipantID, trialNo: body.TrialNo }
        const outcome = body.ParticipantID === 'User#wait' ? { value: number('0.1') } : { error: 'too slow' }
        await store('Evaluations', trial, outcome)
        await delivery.ack()
      }
    }
    const done = await good
    expect(done.code).toBe(0)
    expect(done.stdout).toContain(`${MATCH}/User#wait/00001\n`)
    expect(done.stdout).toMatch(/^status: +Success$/m)
    expect(done.stdout).toMatch(/^objective: +0\.1$/m)
    const failed = await bad
    expect(failed.code).toBe(1)
    expect(JSON.parse(failed.stdout)).toMatchObject({
      status: 'Failed',
      error_message: 'too slow',
      trial_no: '00001',
    })
  })

  test('a signal ends the waiting with the exit code of the signal', async () => {
    const io = new FakeIo({ environment: { OPTHUB_RUNNER_HOME: home } })
    const who = ['--match', MATCH, '--participant', 'User#gone', '--variable', '1']
    const ended = main(['submit', 'evaluator', '--local', ...who, '--wait'], io)
    await expect.poll(() => io.stdout.text, { timeout: 20_000 }).toContain('User#gone/00001')
    io.signal('SIGTERM')
    expect(await ended).toBe(143)
    await messages()
  })
})

describe('results', () => {
  const match = '7c9e6679-7425-40de-944b-e07fc1f90ae7'
  const trial = (participantId: string, trialNo: string): Trial => ({
    matchId: match,
    participantId,
    trialNo,
  })
  const all = ['--local', '--match', match]

  beforeAll(async () => {
    await store('Scores', trial('User#a', '00001'), { value: number('12345678901234567890') })
    await store('Scores', trial('User#a', '00002'), { value: number('0.5') })
    await store('Scores', trial('Team#b/c', '00001'), { value: number('-1e-7') })
    await store('Scores', trial('Team#b/c', '00002'), { error: 'it failed,\n"badly"' })
    await store('Evaluations', trial('User#a', '00001'), { value: fromPlain([1, 2]) })
    await store('Evaluations', trial('User#a', '00002'), { value: number('1e22') })
  })

  test('a leaderboard, the trials best first, and a plot', async () => {
    const { code, stdout, stderr } = await run(['results', 'scorer', ...all])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const lines = stdout.split('\n')
    expect(lines[0]).toMatch(/^rank +participant +best score/)
    expect(lines[2]).toMatch(/^ +1 +Team#b\/c +-1e-7 +2 +1/)
    expect(lines[3]).toMatch(/^ +2 +User#a +0\.5 +2 +0/)
    const order = lines
      .filter((line) => /^(User|Team)\S+ +0000\d/.test(line))
      .map((line) => line.split(/ +/).slice(0, 3))
    expect(order).toEqual([
      ['Team#b/c', '00001', '-0.0000001'],
      ['User#a', '00002', '0.5'],
      ['User#a', '00001', '12345678901234567890'],
      ['Team#b/c', '00002', 'failed'],
    ])
    expect(stdout).toContain('score by trial')
    expect(stdout).toContain('it failed,\\x0a"badly"')
  })

  test('the direction comes from the flag, else from the config file', async () => {
    const best = (stdout: string) => /^ +1 +(\S+)/m.exec(stdout)?.[1]
    expect(best((await run(['results', 'scorer', ...all, '--direction', 'maximize'])).stdout)).toBe('User#a')
    const file = join(home, 'config.yml')
    await writeFile(file, `matches: {"${match.toUpperCase()}": {problem: {image: p}, direction: maximize}}\n`)
    expect(best((await run(['results', 'scorer', ...all, '-c', file])).stdout)).toBe('User#a')
    expect(
      best((await run(['results', 'scorer', ...all, '-c', file, '--direction', 'minimize'])).stdout),
    ).toBe('Team#b/c')
  })

  test('one participant alone', async () => {
    const { stdout } = await run(['results', 'scorer', ...all, '--participant', 'User#a', '--json'])
    expect(
      (JSON.parse(stdout) as { participant_id: string }[]).map((result) => result.participant_id),
    ).toEqual(['User#a', 'User#a'])
  })

  test('JSON keeps every digit', async () => {
    const { stdout } = await run(['results', 'scorer', ...all, '--json'])
    expect(stdout).toContain('"score":12345678901234567890')
    expect(JSON.parse(stdout)).toHaveLength(4)
    expect((JSON.parse(stdout) as unknown[])[3]).toEqual({
      id: `${match}/Team#b/c/00002`,
      kind: 'scorer',
      match_id: match,
      participant_id: 'Team#b/c',
      trial_no: '00002',
      status: 'Failed',
      error_message: 'it failed,\n"badly"',
      admin_error_message: 'for the admin',
      started_at: '2026-11-20T09:30:00.000Z',
      finished_at: '2026-11-20T09:30:01.500Z',
      created_at: '2026-11-20T09:30:02.000Z',
    })
  })

  test('CSV has a header and quotes what needs it', async () => {
    const { stdout } = await run(['results', 'evaluator', ...all, '--csv'])
    const rows = stdout.trimEnd().split('\n')
    expect(rows[0]).toBe(
      'match_id,participant_id,trial_no,status,objective,constraint,feasible,info,error_message,started_at,finished_at',
    )
    expect(rows[1]).toBe(
      `${match},User#a,00002,Success,10000000000000000000000,,true,"{""note"":""x,\\""y\\""""}",,2026-11-20T09:30:00.000Z,2026-11-20T09:30:01.500Z`,
    )
    expect(rows[2]).toContain(',Success,"[1,2]",,true,')
  })

  test('one trial by its id', async () => {
    const { code, stdout } = await run(['results', 'scorer', '--local', `${match}/Team#b/c/00001`])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^participant_id: +Team#b\/c$/m)
    const json = await run(['results', 'evaluator', '--local', '--json', `${match}/User#a/00001`])
    expect(JSON.parse(json.stdout)).toMatchObject({
      objective: [1, 2],
      feasible: true,
      info: { note: 'x,"y"' },
    })
  })

  test('what is not there is said', async () => {
    const one = await run(['results', 'scorer', '--local', `${match}/User#a/00009`])
    expect(one.code).toBe(1)
    expect(one.stderr).toContain(`The scorer has no result of ${match}/User#a/00009`)
    const none = await run(['results', 'scorer', '--local', '--match', MATCH])
    expect(none).toEqual({ code: 0, stdout: 'No results yet.\n', stderr: '' })
    expect((await run(['results', 'scorer', '--local', '--match', MATCH, '--json'])).stdout).toBe('[]\n')
  })

  test('--watch goes on until a signal, and says each result once', async () => {
    const watched = '3d813cbb-47fb-42ba-91df-831e1593ac29'
    const io = new FakeIo({ environment: { OPTHUB_RUNNER_HOME: home } })
    const ended = main(['results', 'scorer', '--local', '--match', watched, '--watch', '--json'], io)
    for (const [count, trialNo] of ['00001', '00002'].entries()) {
      await store('Scores', { matchId: watched, participantId: 'User#a', trialNo }, { value: number('1') })
      await expect.poll(() => io.stdout.text.split('\n').length - 1, { timeout: 20_000 }).toBe(count + 1)
    }
    io.signal('SIGINT')
    expect(await ended).toBe(130)
    const ids = io.stdout.text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { trial_no: string }).trial_no)
    expect(ids).toEqual(['00001', '00002'])
  })
})
