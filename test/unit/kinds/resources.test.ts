import { describe, expect, it } from 'vitest'
import { UnfitError } from '../../../src/core/errors.ts'
import { createEvaluator } from '../../../src/kinds/evaluator/handler.ts'
import type { KindSettings } from '../../../src/kinds/services.ts'
import type { LocalMatch } from '../../../src/matches/local/local-matches.ts'
import { addSolution, createWorld, MATCH, trialOf, work, type World } from './harness.ts'

const TRIAL = trialOf('00001')
const GOOD = { stdout: '{"objective": 1}' }

async function evaluate(
  settings: Partial<KindSettings>,
  match: LocalMatch = {},
  gpus: readonly string[] = ['GPU-a', 'GPU-b'],
): Promise<{ world: World; error: unknown }> {
  const world = createWorld(() => GOOD, settings, { '*': { problem: { image: 'p', ...match.problem } } })
  world.executor.capacity = () => Promise.resolve({ cpus: 2, memoryBytes: 1024 ** 3, gpus })
  addSolution(world, TRIAL)
  const error: unknown = await work(createEvaluator(world.services), TRIAL, world).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return { world, error }
}

describe('the GPUs of a job', () => {
  it('are those of its match, else of the config', async () => {
    const byConfig = await evaluate({ gpus: 1 })
    expect(byConfig.world.executor.started[0]?.gpus).toBe(1)
    const byMatch = await evaluate({ gpus: 1 }, { problem: { image: 'p', gpus: ['GPU-b'] } })
    expect(byMatch.world.executor.started[0]?.gpus).toEqual(['GPU-b'])
    const none = await evaluate({ gpus: 'all' }, { problem: { image: 'p', gpus: 0 } })
    expect(none.world.executor.started[0]?.gpus).toBe(0)
    const silent = await evaluate({})
    expect(silent.world.executor.started[0]).not.toHaveProperty('gpus')
  })
})

describe('a job that needs more than the machine has', () => {
  it.each([
    [{ gpus: 3 }, /3 GPUs/],
    [{ limits: { cpus: 4 } }, /4 CPU cores/],
    [{ limits: { memoryBytes: 2 * 1024 ** 3 } }, /2048 MiB/],
  ] satisfies [Partial<KindSettings>, RegExp][])(
    'goes back before anything is pulled (%#)',
    async (settings, words) => {
      const { world, error } = await evaluate(settings)
      expect(error).toBeInstanceOf(UnfitError)
      expect(String(error)).toMatch(words)
      expect(world.executor.pulls).toEqual([])
      expect(world.store.partition(`Evaluations#Match#${MATCH}#Team#1`)).toEqual([])
    },
  )
})
