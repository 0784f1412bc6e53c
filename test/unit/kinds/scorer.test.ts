import { describe, expect, it } from 'vitest'
import { LeaseLostError, NotYetError } from '../../../src/core/errors.ts'
import { ExactNumber } from '../../../src/core/exact-number.ts'
import { formatJson } from '../../../src/core/json.ts'
import { createScorer } from '../../../src/kinds/scorer/handler.ts'
import { evaluationItem } from '../../../src/records/evaluation.ts'
import { flagKey, resultKey } from '../../../src/records/keys.ts'
import { failedItem } from '../../../src/records/result.ts'
import type { Item } from '../../../src/stores/store.ts'
import {
  addItem,
  addSolution,
  createWorld,
  MATCH,
  TEAM,
  trialOf,
  warnings,
  work,
  type World,
} from './harness.ts'
import {
  addEvaluation,
  addFailure,
  addScore,
  addScored,
  addTrial,
  COUNT,
  historyIn,
  lastHistory,
  PARTITION,
  spanNow,
  TEXTS,
} from './scorer-trials.ts'

async function score(stdout: string): Promise<{ world: World; item: Item }> {
  const world = createWorld(() => ({ stdout }))
  const trial = addTrial(world, '00001')
  await work(createScorer(world.services), trial, world)
  const [flag, item, ...more] = world.store.partition(PARTITION)
  expect(more).toEqual([])
  expect(flag).toEqual({ ID: PARTITION, Trial: '00001', IgnoreStream: true })
  return { world, item: item ?? {} }
}

describe('a score', () => {
  it('is stored with exactly its attributes, and its flag', async () => {
    const { world, item } = await score('{"score": 0.10}')
    expect(item).toEqual({
      ID: PARTITION,
      Trial: 'Success#00001',
      TrialNo: '00001',
      ResourceType: 'Score',
      MatchID: `Match#${MATCH}`,
      ParticipantID: TEAM,
      StartedAt: '2026-11-20T09:30:00.123Z',
      FinishedAt: '2026-11-20T09:30:00.123Z',
      CreatedAt: '2026-11-20T09:30:00.123Z',
      Status: 'Success',
      Value: ExactNumber.parse('0.1'),
      IgnoreStream: false,
    })
    expect(world.executor.started[0]).toMatchObject({ kind: 'scorer', image: 'i' })
    expect(world.executor.started[0]?.name).toMatch(/^scorer-/)
  })

  it.each([
    ['12345678901234567890', '12345678901234567890'],
    ['Infinity', '9.9999999999999999999999999999999999999e125'],
    ['-1e999', '-9.9999999999999999999999999999999999999e125'],
    ['1e-200', '0'],
  ])('of %s is stored as %s', async (printed, stored) => {
    const { item } = await score(`{"score": ${printed}}`)
    expect(item['Value']).toEqual((await score(`{"score": ${stored}}`)).item['Value'])
  })

  it.each([
    ['{"score": NaN}', /NaN/],
    ['{"score": null}', /must be a number/],
    ['{"score": "1"}', /must be a number/],
    ['{"score": true}', /must be a number/],
    ['{"score": [1]}', /must be a number/],
    ['{"objective": 1}', /no key "score"/],
    ['{"score": 1, "error": "no"}', /^no$/],
  ])('fails for %s', async (stdout, message) => {
    const { item } = await score(stdout)
    expect(item).toMatchObject({ Trial: 'Failed#00001', ResourceType: 'Score', Status: 'Failed' })
    expect(item['ErrorMessage']).toMatch(message)
  })

  it('is written once', async () => {
    const { world } = await score('{"score": 1}')
    expect(await work(createScorer(world.services), trialOf('00001'), world)).toBe('settled')
    expect(world.executor.started).toHaveLength(1)
  })

  it('is not written once the lease is lost', async () => {
    const world = createWorld(COUNT)
    const trial = addTrial(world, '00001')
    const assertHeld = (): void => {
      throw new LeaseLostError('lost')
    }
    await expect(work(createScorer(world.services), trial, world, { assertHeld })).rejects.toThrow(
      LeaseLostError,
    )
    expect(world.store.puts).toBe(0)
  })

  it('needs a successful evaluation, for which it waits 10 s', async () => {
    for (const failed of [false, true]) {
      const world = createWorld(COUNT)
      const trial = trialOf('00001')
      if (failed) addFailure(world, 'Evaluations', trial)
      expect(await work(createScorer(world.services), trial, world)).toBe('failed')
      expect(world.store.partition(PARTITION)[1]).toMatchObject({ ErrorMessage: 'Internal Server Error' })
      expect(world.clock.now()).toBeGreaterThanOrEqual(10_000)
    }
  })

  it('is parked with a match that has no indicator', async () => {
    const world = createWorld(COUNT, {}, { '*': { problem: { image: 'p' } } })
    const trial = addTrial(world, '00001')
    await expect(work(createScorer(world.services), trial, world)).rejects.toThrow(/no indicator image/)
  })
})

describe('what the image gets', () => {
  it('is the trial on one line, the history on the next, numbers as floats', async () => {
    const world = createWorld(COUNT)
    // As the Python runner writes them: numbers come back from the table as plain digits, attributes may be missing.
    addItem(
      world,
      `{"ID": "Evaluations#Match#${MATCH}#${TEAM}", "Trial": "Success#00001", "TrialNo": "00001",
      "Objective": [10000000000000000000000, 1], "Constraint": null, "Info": {"é": 0}, "Feasible": null}`,
    )
    addItem(world, `{"ID": "${PARTITION}", "Trial": "Success#00001", "TrialNo": "00001", "Value": 3}`)
    addItem(
      world,
      `{"ID": "Evaluations#Match#${MATCH}#${TEAM}", "Trial": "Success#00002",
      "Objective": 12345678901234567890, "Feasible": true}`,
    )
    await work(createScorer(world.services), trialOf('00002'), world)
    expect(world.inputs).toEqual([
      '{"objective": 12345678901234567890.0, "constraint": null, "info": {}, "feasible": true}\n' +
        '[{"trial_no": "00001", "objective": [1e+22, 1.0], "constraint": null, "info": {"\\u00e9": 0.0}, ' +
        '"feasible": null, "score": 3.0}]\n',
    ])
  })

  it('is an empty list when nothing was before', async () => {
    const { world } = await score('{"score": 1}')
    expect(world.inputs[0]?.split('\n').slice(1)).toEqual(['[]', ''])
  })

  it('holds the earlier trials of the same participant in the same match, and those with both results', async () => {
    const world = createWorld(COUNT)
    addScored(world, 6)
    world.store.drop(resultKey('Scores', 'Success', trialOf('00002')))
    addFailure(world, 'Scores', trialOf('00002'))
    for (const key of [
      resultKey('Evaluations', 'Success', trialOf('00004')),
      resultKey('Scores', 'Success', trialOf('00004')),
      flagKey('Scores', trialOf('00004')),
    ]) {
      world.store.drop(key)
    }
    addFailure(world, 'Evaluations', trialOf('00004'))
    addEvaluation(world, trialOf('00001', 'Team#2'))
    addScore(world, trialOf('00001', 'Team#2'))
    world.store.drop(resultKey('Scores', 'Success', trialOf('00005')))
    world.store.drop(flagKey('Scores', trialOf('00005')))
    const scorer = createScorer(world.services)
    await work(scorer, trialOf('00005'), world)
    expect(lastHistory(world)).toEqual(['00001', '00003'])
  })

  it('is the same when trials come out of order', async () => {
    const world = createWorld(COUNT, { ordered: false })
    for (const n of ['00001', '00002', '00003', '00004']) addTrial(world, n)
    const scorer = createScorer(world.services)
    const seen: Record<string, string[]> = {}
    for (const n of ['00003', '00001', '00002', '00004']) {
      await work(scorer, trialOf(n), world)
      seen[n] = lastHistory(world)
    }
    expect(seen).toEqual({
      '00003': [],
      '00001': [],
      '00002': ['00001'],
      '00004': ['00001', '00002', '00003'],
    })
  })

  it('compares numbers where the width has grown, and where there are no zeros before', async () => {
    for (const [width, last] of [
      [2, 103],
      [1, 12],
    ] as const) {
      const world = createWorld(COUNT)
      addScored(world, last - 1, width)
      // A trial that comes later has no place in it.
      addTrial(world, String(last + 1))
      addScore(world, trialOf(String(last + 1)))
      await work(createScorer(world.services), addTrial(world, String(last)), world)
      expect(lastHistory(world).map(Number)).toEqual(Array.from({ length: last - 1 }, (_, n) => n + 1))
    }
  })

  it('passes over items that are no trials', async () => {
    const world = createWorld(COUNT)
    addScored(world, 3)
    for (const Trial of ['Success#00001x', 'Success#', 'Success#000011', 'Success#00002\n']) {
      world.store.add({ ID: `Evaluations#Match#${MATCH}#${TEAM}`, Trial })
      world.store.add({ ID: PARTITION, Trial })
    }
    await work(createScorer(world.services), addTrial(world, '00004'), world)
    expect(lastHistory(world)).toEqual(['00001', '00002', '00003'])
  })
})

describe('reading histories', () => {
  it('reads only what is new', async () => {
    const world = createWorld(COUNT)
    addScored(world, 50)
    const scorer = createScorer(world.services)
    await work(scorer, addTrial(world, '00051'), world)
    const first = world.store.itemsRead
    expect(first).toBe(100)
    for (let n = 52; n <= 60; n += 1) await work(scorer, addTrial(world, `000${n}`), world)
    // Each time the trial before: its evaluation, its score.
    expect(world.store.itemsRead - first).toBe(9 * 2)
    expect(lastHistory(world)).toHaveLength(59)
    expect(lastHistory(world).at(-1)).toBe('00059')
  })

  it('reads only what is new after failures, too', async () => {
    const world = createWorld((stdin) =>
      stdin.includes('[1.0]') ? { stdout: '{"error": "x"}' } : COUNT(stdin, SPEC),
    )
    addScored(world, 20)
    addSolution(world, trialOf('00021'))
    addFailure(world, 'Evaluations', trialOf('00021'))
    const scorer = createScorer(world.services)
    await work(scorer, addTrial(world, '00022'), world)
    const before = world.store.itemsRead
    const failing = trialOf('00023')
    addSolution(world, failing)
    addEvaluation(world, failing, [ExactNumber.of(1)])
    expect(await work(scorer, failing, world)).toBe('failed')
    await work(scorer, addTrial(world, '00024'), world)
    await work(scorer, addTrial(world, '00025'), world)
    expect(lastHistory(world)).toEqual([
      ...Array.from({ length: 20 }, (_, n) => `000${String(n + 1).padStart(2, '0')}`),
      '00022',
      '00024',
    ])
    expect(world.store.itemsRead - before).toBeLessThan(20)
  })

  it('never passes a number that may still come', async () => {
    const world = createWorld(COUNT)
    for (const n of ['00001', '00003']) {
      addScore(world, addTrial(world, n))
    }
    const scorer = createScorer(world.services)
    await work(scorer, addTrial(world, '00004'), world)
    expect(lastHistory(world)).toEqual(['00001', '00003'])
    addScore(world, addTrial(world, '00002'))
    await work(scorer, addTrial(world, '00005'), world)
    expect(lastHistory(world)).toEqual(['00001', '00002', '00003', '00004'])
  })

  it('passes a number at last that nobody used', async () => {
    const world = createWorld(COUNT)
    for (const n of ['00001', '00003', '00009', '00010']) addScore(world, addTrial(world, n))
    const scorer = createScorer(world.services)
    await work(scorer, addTrial(world, '00011'), world)
    world.clock.jump(11 * 60_000)
    await work(scorer, addTrial(world, '00012'), world)
    const before = world.store.itemsRead
    await work(scorer, addTrial(world, '00013'), world)
    expect(world.store.itemsRead - before).toBe(2)
    expect(lastHistory(world)).toEqual(['00001', '00003', '00009', '00010', '00011', '00012'])
  })

  it('has several read for one participant at once', async () => {
    const world = createWorld(COUNT, { ordered: false })
    addScored(world, 30)
    for (let n = 31; n <= 36; n += 1) addTrial(world, `000${n}`)
    const scorer = createScorer(world.services)
    await Promise.all([31, 32, 33, 34, 35, 36].map((n) => work(scorer, trialOf(`000${n}`), world)))
    await work(scorer, addTrial(world, '00037'), world)
    expect(lastHistory(world)).toHaveLength(36)
    for (const [index, stdin] of world.inputs.entries()) {
      const numbers = historyIn(stdin).map((entry) => Number(entry.trial_no))
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
      expect(new Set(numbers).size).toBe(numbers.length)
      expect(numbers.length).toBeGreaterThanOrEqual(30)
      expect(index).toBeLessThan(7)
    }
  })

  it('sees a trial that was judged again, by this runner or in time by another', async () => {
    const world = createWorld(COUNT)
    addScored(world, 4)
    const scorer = createScorer(world.services)
    await work(scorer, addTrial(world, '00005'), world)
    await work(scorer, addTrial(world, '00006'), world)
    // Deleted, and queued again.
    for (const key of [
      flagKey('Scores', trialOf('00002')),
      resultKey('Scores', 'Success', trialOf('00002')),
    ]) {
      world.store.drop(key)
    }
    await work(scorer, trialOf('00002'), world)
    expect(lastHistory(world)).toEqual(['00001'])
    await work(scorer, addTrial(world, '00007'), world)
    expect(historyIn(world.inputs.at(-1))[1]).toMatchObject({ trial_no: '00002', score: 1 })
    // By another runner, of which this one hears nothing.
    addScore(world, trialOf('00003'), 42)
    world.clock.jump(11 * 60_000)
    await work(scorer, addTrial(world, '00008'), world)
    expect(historyIn(world.inputs.at(-1))[2]).toMatchObject({ trial_no: '00003', score: 42 })
  })

  it('reads nothing of the history for a message that comes again', async () => {
    const world = createWorld(COUNT)
    addScored(world, 5)
    const scorer = createScorer(world.services)
    await work(scorer, addTrial(world, '00006'), world)
    const before = world.store.queries
    expect(await work(scorer, trialOf('00003'), world)).toBe('settled')
    expect(world.store.queries).toBe(before)
  })

  it('takes no result for failed that was written between two reads', async () => {
    const world = createWorld(COUNT)
    addScored(world, 3)
    const late = trialOf('00004')
    addSolution(world, late)
    // The successes are read first; then the trial ends, before its flags are read.
    let done = false
    world.store.before = (call, key) => {
      if (done || call !== 'query' || !key.endsWith('|00004') || key.startsWith('Solutions')) return
      done = true
      addEvaluation(world, late)
      addScore(world, late)
    }
    await work(createScorer(world.services), addTrial(world, '00005'), world)
    expect(done).toBe(true)
    expect(lastHistory(world)).toEqual(['00001', '00002', '00003', '00004'])
  })

  it('takes a flag whose result was taken away for an end', async () => {
    const world = createWorld(COUNT)
    addScored(world, 3)
    world.store.drop(resultKey('Scores', 'Success', trialOf('00002')))
    expect(await work(createScorer(world.services), addTrial(world, '00004'), world)).toBe('succeeded')
    expect(lastHistory(world)).toEqual(['00001', '00003'])
  })

  it('counts results of old runners, which have no flags', async () => {
    const world = createWorld(COUNT)
    addScored(world, 3)
    for (const n of ['00001', '00002', '00003']) {
      world.store.drop(flagKey('Evaluations', trialOf(n)))
      world.store.drop(flagKey('Scores', trialOf(n)))
    }
    world.store.drop(resultKey('Scores', 'Success', trialOf('00003')))
    world.store.add(failedItem('Scores', trialOf('00003'), spanNow(world), TEXTS))
    expect(await work(createScorer(world.services), addTrial(world, '00004'), world)).toBe('succeeded')
    expect(lastHistory(world)).toEqual(['00001', '00002'])
  })

  it('passes a long history on in large parts', async () => {
    const world = createWorld(COUNT)
    const info = 'x'.repeat(90_000)
    for (let n = 1; n <= 30; n += 1) {
      const trial = trialOf(String(n).padStart(5, '0'))
      const evaluation = { objective: null, constraint: null, info, feasible: null }
      world.store.add(evaluationItem(trial, spanNow(world), evaluation))
      addScore(world, trial)
    }
    const scorer = createScorer(world.services)
    await work(scorer, addTrial(world, '00031'), world)
    await work(scorer, addTrial(world, '00032'), world)
    expect(lastHistory(world)).toHaveLength(31)
  })
})

describe('the order of trials', () => {
  it('makes a trial wait until all earlier ones are final', async () => {
    const world = createWorld(COUNT)
    addScored(world, 1)
    const second = trialOf('00002')
    addSolution(world, second)
    const third = addTrial(world, '00003')
    const scorer = createScorer(world.services)
    const wait = work(scorer, third, world)
    await expect(wait).rejects.toThrow(NotYetError)
    await expect(wait).rejects.toThrow(/00002/)
    await expect(wait).rejects.toMatchObject({ retryAfterSeconds: 0.25 })
    addEvaluation(world, second)
    await expect(work(scorer, third, world)).rejects.toThrow(NotYetError)
    await work(scorer, second, world)
    world.clock.jump(500)
    expect(await work(scorer, third, world)).toBe('succeeded')
    expect(lastHistory(world)).toEqual(['00001', '00002'])
  })

  it('goes on when the earlier one failed, in evaluation or score', async () => {
    for (const series of ['Evaluations', 'Scores'] as const) {
      const world = createWorld(COUNT)
      const first = trialOf('00001')
      addSolution(world, first)
      if (series === 'Scores') addEvaluation(world, first)
      const second = addTrial(world, '00002')
      const scorer = createScorer(world.services)
      await expect(work(scorer, second, world)).rejects.toThrow(NotYetError)
      addFailure(world, series, first)
      world.clock.jump(1000)
      expect(await work(scorer, second, world)).toBe('succeeded')
    }
  })

  it('asks seldom and little while it waits', async () => {
    const world = createWorld(COUNT)
    addScored(world, 100)
    addSolution(world, trialOf('00101'))
    const last = addTrial(world, '00102')
    const scorer = createScorer(world.services)
    await expect(work(scorer, last, world)).rejects.toThrow(NotYetError)
    const [queries, gets] = [world.store.queries, world.store.gets.length]
    const pauses: number[] = []
    for (let n = 0; n < 8; n += 1) {
      const error: unknown = await work(scorer, last, world).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(NotYetError)
      const seconds = error instanceof NotYetError ? error.retryAfterSeconds : NaN
      pauses.push(seconds)
      world.clock.jump(seconds * 1000)
    }
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b))
    expect(pauses.at(-1)).toBe(5)
    expect(world.store.queries).toBe(queries)
    expect(world.store.gets.length - gets).toBeLessThanOrEqual(14)
  })

  it('asks nothing while the earlier one runs here', async () => {
    const world = createWorld(COUNT)
    const first = addTrial(world, '00001')
    const second = addTrial(world, '00002')
    const scorer = createScorer(world.services)
    await expect(work(scorer, second, world)).rejects.toThrow(NotYetError)
    let readsWhileRunning = -1
    world.image = async (stdin, spec) => {
      const before = world.store.gets.length + world.store.queries
      await expect(work(scorer, second, world)).rejects.toThrow(NotYetError)
      readsWhileRunning = world.store.gets.length + world.store.queries - before
      return COUNT(stdin, spec)
    }
    await work(scorer, first, world)
    expect(readsWhileRunning).toBe(0)
    world.image = COUNT
    world.clock.jump(1000)
    expect(await work(scorer, second, world)).toBe('succeeded')
  })

  it('is given up after order_timeout, with a warning', async () => {
    const world = createWorld(COUNT, { orderTimeoutSeconds: 100 })
    addScored(world, 1)
    addSolution(world, trialOf('00002'))
    const third = addTrial(world, '00003')
    const scorer = createScorer(world.services)
    await expect(work(scorer, third, world)).rejects.toThrow(NotYetError)
    world.clock.jump(99_000)
    await expect(work(scorer, third, world)).rejects.toMatchObject({ retryAfterSeconds: 0.4 })
    world.clock.jump(1000)
    expect(await work(scorer, third, world)).toBe('succeeded')
    expect(lastHistory(world)).toEqual(['00001'])
    expect(warnings(world).join()).toContain('"earlier_trial":"00002"')
  })

  it('does not matter under ordered: false, nor with order_timeout: 0', async () => {
    for (const settings of [{ ordered: false }, { orderTimeoutSeconds: 0 }]) {
      const world = createWorld(COUNT, settings)
      addSolution(world, trialOf('00001'))
      expect(await work(createScorer(world.services), addTrial(world, '00002'), world)).toBe('succeeded')
    }
  })

  it('does not hold up what is done already, nor other participants', async () => {
    const world = createWorld(COUNT)
    addSolution(world, trialOf('00001'))
    const done = addTrial(world, '00002')
    addScore(world, done)
    const scorer = createScorer(world.services)
    expect(await work(scorer, done, world)).toBe('settled')
    const other = trialOf('00001', 'Team#2')
    addEvaluation(world, other)
    expect(await work(scorer, other, world)).toBe('succeeded')
  })

  it('scores a crowd that arrives backwards, each with its whole history', async () => {
    const world = createWorld(COUNT)
    const numbers = Array.from({ length: 12 }, (_, n) => String(12 - n).padStart(5, '0'))
    for (const n of numbers) addTrial(world, n)
    const scorer = createScorer(world.services)
    const waiting = new Set(numbers)
    for (let round = 0; waiting.size > 0 && round < 100; round += 1) {
      for (const n of waiting) {
        try {
          await work(scorer, trialOf(n), world)
          waiting.delete(n)
        } catch (error) {
          expect(error).toBeInstanceOf(NotYetError)
        }
      }
      world.clock.jump(500)
    }
    expect(waiting.size).toBe(0)
    const scores = world.store.partition(PARTITION).filter((item) => item['Status'] === 'Success')
    expect(scores.map((item) => formatJson(item['Value'] ?? null))).toEqual(numbers.map((_, n) => String(n)))
  })
})

const SPEC = { name: '', kind: '', image: '', environment: {}, limits: {}, keep: false }
