import { describe, expect, it } from 'vitest'
import { NotYetError } from '../../../src/core/errors.ts'
import { ExactNumber } from '../../../src/core/exact-number.ts'
import { createScorer } from '../../../src/kinds/scorer/handler.ts'
import { flagKey, resultKey, type Trial } from '../../../src/records/keys.ts'
import { addRejudging } from '../../../src/records/rejudging.ts'
import { addSolution, createWorld, trialOf, work, type World } from './harness.ts'
import {
  addEvaluation,
  addFailure,
  addScore,
  addScored,
  addTrial,
  COUNT,
  historyIn,
} from './scorer-trials.ts'

/** Takes results away, as somebody does who wants them made anew. */
async function takeAway(world: World, trial: Trial, series: ('Evaluations' | 'Scores')[]): Promise<void> {
  const names = series.map((each) => (each === 'Scores' ? 'scores' : 'evaluations'))
  const trials = (name: string): string[] => (names.includes(name as 'scores') ? [trial.trialNo] : [])
  await addRejudging(world.store, trial, { evaluations: trials('evaluations'), scores: trials('scores') })
  for (const each of series) {
    for (const status of ['Success', 'Failed'] as const) world.store.drop(resultKey(each, status, trial))
    world.store.drop(flagKey(each, trial))
  }
  await addRejudging(world.store, trial, { evaluations: [], scores: [] })
}

function scoreOf(world: World, trial: Trial): unknown {
  const { ID, Trial } = resultKey('Scores', 'Success', trial)
  return world.store.items.get(`${ID}|${Trial}`)?.['Value']
}

describe('a scorer of which another one remembers results', () => {
  it('has them read anew at once when a trial is judged again elsewhere', async () => {
    const world = createWorld(COUNT)
    addScored(world, 4)
    const scorer = createScorer(world.services)
    await work(scorer, addTrial(world, '00005'), world)
    await takeAway(world, trialOf('00002'), ['Scores'])
    // By another scorer, of which this one hears nothing.
    addScore(world, trialOf('00002'), 42)
    await work(scorer, addTrial(world, '00006'), world)
    expect(historyIn(world.inputs.at(-1))[1]).toMatchObject({ trial_no: '00002', score: 42 })
    // And then only what is new again.
    const before = world.store.itemsRead
    await work(scorer, addTrial(world, '00007'), world)
    expect(world.store.itemsRead - before).toBeLessThanOrEqual(4)
  })

  it('waits for a trial that is judged again elsewhere', async () => {
    const world = createWorld(COUNT)
    addScored(world, 4)
    const scorer = createScorer(world.services)
    await work(scorer, addTrial(world, '00005'), world)
    await takeAway(world, trialOf('00003'), ['Evaluations', 'Scores'])
    await expect(work(scorer, addTrial(world, '00006'), world)).rejects.toThrow('00003')
  })
})

describe('a score that is being made', () => {
  it('is not stored when its evaluation was made anew meanwhile', async () => {
    const world = createWorld((stdin) => ({
      stdout: `{"score": ${(JSON.parse(stdin.split('\n')[0] ?? '') as { objective: number }).objective}}`,
    }))
    const trial = addTrial(world, '00001')
    const scorer = createScorer(world.services)
    const { image } = world
    world.image = (stdin, spec) => {
      world.image = image
      world.clock.jump(1000)
      addEvaluation(world, trial, ExactNumber.of(77))
      return image(stdin, spec)
    }
    await expect(work(scorer, trial, world)).rejects.toThrow(NotYetError)
    expect(world.store.puts).toBe(0)
    expect(await work(scorer, trial, world)).toBe('succeeded')
    expect(scoreOf(world, trial)).toEqual(ExactNumber.of(77))
  })

  it('is not stored, nor its failure, when an earlier trial was judged again meanwhile', async () => {
    for (const stdout of ['{"score": 1}', '{"error": "no"}']) {
      const world = createWorld(() => ({ stdout }))
      addScored(world, 2)
      const trial = addTrial(world, '00003')
      const scorer = createScorer(world.services)
      const { image } = world
      world.image = async (stdin, spec) => {
        world.image = image
        await takeAway(world, trialOf('00001'), ['Scores'])
        return image(stdin, spec)
      }
      await expect(work(scorer, trial, world)).rejects.toThrow(NotYetError)
      expect(world.store.items.has(`${flagKey('Scores', trial).ID}|00003`)).toBe(false)
      await expect(work(scorer, trial, world)).rejects.toThrow('00001')
      addScore(world, trialOf('00001'), 9)
      world.clock.jump(5000)
      expect(await work(scorer, trial, world)).toBe(stdout.includes('error') ? 'failed' : 'succeeded')
      expect(historyIn(world.inputs.at(-1))[0]).toMatchObject({ score: 9 })
    }
  })
})

describe('a message whose evaluation was taken away', () => {
  it('does no harm: it waits for the new one', async () => {
    const world = createWorld(COUNT)
    const trial = addTrial(world, '00001')
    await takeAway(world, trial, ['Evaluations', 'Scores'])
    const scorer = createScorer(world.services)
    await expect(work(scorer, trial, world)).rejects.toMatchObject({
      name: 'NotYetError',
      retryAfterSeconds: 60,
    })
    addEvaluation(world, trial)
    expect(await work(scorer, trial, world)).toBe('succeeded')
  })

  it('fails when the new one failed, or does not come within order_timeout', async () => {
    const world = createWorld(COUNT, { orderTimeoutSeconds: 300 })
    const scorer = createScorer(world.services)
    for (const [trialNo, fails] of [
      ['00001', true],
      ['00002', false],
    ] as const) {
      const trial = addTrial(world, trialNo)
      await takeAway(world, trial, ['Evaluations', 'Scores'])
      await expect(work(scorer, trial, world)).rejects.toThrow(NotYetError)
      if (fails) addFailure(world, 'Evaluations', trial)
      else world.clock.jump(300_000)
      expect(await work(scorer, trial, world)).toBe('failed')
    }
  })

  it('fails after 10 s as ever where nothing was judged again', async () => {
    const world = createWorld(COUNT)
    addSolution(world, trialOf('00001'))
    expect(await work(createScorer(world.services), trialOf('00001'), world)).toBe('failed')
  })
})
