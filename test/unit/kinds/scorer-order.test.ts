import { describe, expect, it } from 'vitest'
import { NotYetError } from '../../../src/core/errors.ts'
import { createScorer } from '../../../src/kinds/scorer/handler.ts'
import { flagKey, resultKey, solutionKey, type Trial } from '../../../src/records/keys.ts'
import { failedItem, flagItem } from '../../../src/records/result.ts'
import { addSolution, createWorld, MATCH, TEAM, trialOf, warnings, work, type World } from './harness.ts'
import {
  addEvaluation,
  addFailure,
  addScore,
  addScored,
  addTrial,
  COUNT,
  lastHistory,
  spanNow,
  TEXTS,
} from './scorer-trials.ts'

type Scorer = ReturnType<typeof createScorer>

/** Has a trial tried, and says what it waits for. */
async function waitOf(scorer: Scorer, trial: Trial, world: World): Promise<NotYetError> {
  const error: unknown = await work(scorer, trial, world).catch((thrown: unknown) => thrown)
  if (error instanceof NotYetError) return error
  throw new Error(`trial ${trial.trialNo} did not wait`, { cause: error })
}

/** Reads of all sorts. */
function readsOf({ store }: World): number {
  return store.gets.length + store.queries
}

async function isSettledSoon(promise: Promise<void> | undefined): Promise<boolean> {
  return await Promise.race([
    (promise ?? Promise.reject(new Error('there is no promise'))).then(() => true),
    new Promise<boolean>((resolve) => {
      setImmediate(() => {
        resolve(false)
      })
    }),
  ])
}

describe('trials that wait', () => {
  it('share one look at the first that is not final', async () => {
    const world = createWorld(COUNT)
    addScored(world, 1)
    addSolution(world, trialOf('00002'))
    const waiting = Array.from({ length: 50 }, (_, n) => addTrial(world, String(n + 3).padStart(5, '0')))
    const scorer = createScorer(world.services)
    for (const trial of waiting) await waitOf(scorer, trial, world)
    const before = readsOf(world)
    for (let round = 0; round < 5; round += 1) {
      world.clock.jump(5000)
      for (const trial of waiting) expect((await waitOf(scorer, trial, world)).message).toContain('00002')
    }
    expect(readsOf(world) - before).toBe(5 * 2)
  })

  it('are woken one by one, as the earlier one ends here', async () => {
    const world = createWorld(COUNT)
    const [first, second, third] = ['00001', '00002', '00003'].map((n) => addTrial(world, n)) as [
      Trial,
      Trial,
      Trial,
    ]
    const scorer = createScorer(world.services)
    const third1 = await waitOf(scorer, third, world)
    const second1 = await waitOf(scorer, second, world)
    expect([second1.distance, third1.distance]).toEqual([1, 2])
    expect(await isSettledSoon(second1.sooner)).toBe(false)
    expect(await work(scorer, first, world)).toBe('succeeded')
    expect(await isSettledSoon(second1.sooner)).toBe(true)
    expect(await isSettledSoon(third1.sooner)).toBe(false)
    // No time has passed, and nobody has to look.
    expect(await work(scorer, second, world)).toBe('succeeded')
    expect(await isSettledSoon(third1.sooner)).toBe(true)
    expect(await work(scorer, third, world)).toBe('succeeded')
    expect(lastHistory(world)).toEqual(['00001', '00002'])
  })

  it('sleep long when another one is next, and are woken all the same', async () => {
    const world = createWorld(COUNT)
    addSolution(world, trialOf('00001'))
    const [second, third] = ['00002', '00003'].map((n) => addTrial(world, n)) as [Trial, Trial]
    const scorer = createScorer(world.services)
    expect((await waitOf(scorer, second, world)).retryAfterSeconds).toBeLessThan(1)
    const waiting = await waitOf(scorer, third, world)
    expect(waiting.retryAfterSeconds).toBe(30)
    // Another runner ends both.
    addEvaluation(world, trialOf('00001'))
    addScore(world, trialOf('00001'))
    addScore(world, second)
    world.clock.jump(1000)
    expect(await work(scorer, second, world)).toBe('settled')
    expect(await isSettledSoon(waiting.sooner)).toBe(true)
    expect(await work(scorer, third, world)).toBe('succeeded')
    expect(lastHistory(world)).toEqual(['00001', '00002'])
  })

  it('do not wait for one that is next but does not come back', async () => {
    const world = createWorld(COUNT)
    addSolution(world, trialOf('00001'))
    const [second, third] = ['00002', '00003'].map((n) => addTrial(world, n)) as [Trial, Trial]
    const scorer = createScorer(world.services)
    await waitOf(scorer, second, world)
    await waitOf(scorer, third, world)
    // The second one's message goes to another runner, which ends it.
    world.clock.jump(30_000)
    expect((await waitOf(scorer, third, world)).retryAfterSeconds).toBeLessThan(5)
    addEvaluation(world, trialOf('00001'))
    for (const trial of [trialOf('00001'), second]) addScore(world, trial)
    world.clock.jump(5000)
    expect(await work(scorer, third, world)).toBe('succeeded')
  })

  it('are not given up as long as the line moves', async () => {
    const world = createWorld(COUNT, { orderTimeoutSeconds: 100 })
    const last = addTrial(world, '00010')
    for (let n = 1; n < 10; n += 1) addSolution(world, trialOf(`0000${n}`))
    const scorer = createScorer(world.services)
    for (let n = 1; n < 10; n += 1) {
      expect((await waitOf(scorer, last, world)).message).toContain(`0000${n}`)
      world.clock.jump(90_000)
      addEvaluation(world, trialOf(`0000${n}`))
      addScore(world, trialOf(`0000${n}`))
    }
    expect(await work(scorer, last, world)).toBe('succeeded')
    expect(lastHistory(world)).toHaveLength(9)
    expect(warnings(world)).toEqual([])
  })

  it('are given up after order_timeout even when the first one only seems to end', async () => {
    const world = createWorld(COUNT, { orderTimeoutSeconds: 100 })
    const first = trialOf('00001')
    addSolution(world, first)
    const second = addTrial(world, '00002')
    const scorer = createScorer(world.services)
    await waitOf(scorer, second, world)
    // A score without its evaluation is no end: the evaluation may still come, and then it counts.
    addScore(world, first)
    for (let n = 0; n < 9; n += 1) {
      world.clock.jump(10_000)
      await waitOf(scorer, second, world)
    }
    world.clock.jump(10_001)
    expect(await work(scorer, second, world)).toBe('succeeded')
    expect(warnings(world).join()).toContain('00001')
  })

  it('see the end of trials that have no flags, or no solution any more', async () => {
    const ends: ((world: World, first: Trial) => void)[] = [
      (world, first) => {
        addEvaluation(world, first)
        addScore(world, first)
        for (const series of ['Evaluations', 'Scores'] as const) world.store.drop(flagKey(series, first))
      },
      (world, first) => {
        world.store.add(failedItem('Evaluations', first, spanNow(world), TEXTS))
      },
      (world, first) => {
        addEvaluation(world, first)
        world.store.add(failedItem('Scores', first, spanNow(world), TEXTS))
      },
      (world, first) => {
        world.store.add(flagItem('Evaluations', first))
      },
      (world, first) => {
        world.store.drop(solutionKey(first))
      },
    ]
    for (const end of ends) {
      const world = createWorld(COUNT)
      const first = trialOf('00001')
      addSolution(world, first)
      const second = addTrial(world, '00002')
      const scorer = createScorer(world.services)
      await waitOf(scorer, second, world)
      end(world, first)
      const looks = []
      while (looks.length < 10) {
        const error: unknown = await work(scorer, second, world).catch((thrown: unknown) => thrown)
        if (!(error instanceof NotYetError)) break
        looks.push(error)
        world.clock.jump(error.retryAfterSeconds * 1000)
      }
      expect(looks.length).toBeLessThan(10)
      expect(world.store.items.has(`Scores#Match#${MATCH}#${TEAM}|Success#00002`)).toBe(true)
    }
  })

  it('wait for nothing that no history will ever hold', async () => {
    // Its score has failed for good, although its evaluation is missing.
    const world = createWorld(COUNT)
    addSolution(world, trialOf('00001'))
    addFailure(world, 'Scores', trialOf('00001'))
    // Never submitted, never evaluated.
    const third = addTrial(world, '00003')
    expect(await work(createScorer(world.services), third, world)).toBe('succeeded')
    expect(lastHistory(world)).toEqual([])
  })

  it('wait again when an earlier trial is judged again, or handed in later under a smaller number', async () => {
    const world = createWorld(COUNT)
    addScored(world, 4)
    addSolution(world, trialOf('00005'))
    const sixth = addTrial(world, '00006')
    const scorer = createScorer(world.services)
    expect((await waitOf(scorer, sixth, world)).message).toContain('00005')
    for (const key of [flagKey('Scores', trialOf('00002')), resultKey('Scores', 'Success', trialOf('00002'))])
      world.store.drop(key)
    await work(scorer, trialOf('00002'), world)
    addEvaluation(world, trialOf('00005'))
    expect(await work(scorer, trialOf('00005'), world)).toBe('succeeded')
    expect(lastHistory(world)).toEqual(['00001', '00002', '00003', '00004'])
    world.clock.jump(5000)
    expect(await work(scorer, sixth, world)).toBe('succeeded')
    expect(lastHistory(world)).toHaveLength(5)
  })

  it('are not kept from being settled by others that wait', async () => {
    const world = createWorld(COUNT)
    addSolution(world, trialOf('00001'))
    const [second, third] = ['00002', '00003'].map((n) => addTrial(world, n)) as [Trial, Trial]
    const scorer = createScorer(world.services)
    await waitOf(scorer, second, world)
    addScore(world, third)
    expect(await work(scorer, third, world)).toBe('settled')
  })

  it('try again after a fault of the table, and then one does not keep the others waiting', async () => {
    const world = createWorld(COUNT)
    addSolution(world, trialOf('00001'))
    const [second, third] = ['00002', '00003'].map((n) => addTrial(world, n)) as [Trial, Trial]
    const scorer = createScorer(world.services)
    for (const trial of [second, third]) await waitOf(scorer, trial, world)
    addFailure(world, 'Evaluations', trialOf('00001'))
    world.clock.jump(1000)
    world.store.before = (call) => {
      if (call === 'query') throw new Error('the table is away')
    }
    await expect(work(scorer, second, world)).rejects.toThrow('the table is away')
    world.store.before = () => undefined
    expect(await work(scorer, second, world)).toBe('succeeded')
    expect(await work(scorer, third, world)).toBe('succeeded')
  })
})
