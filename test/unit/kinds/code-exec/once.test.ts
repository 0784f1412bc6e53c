import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { RetryableError } from '../../../../src/core/errors.ts'
import { isFinal } from '../../../../src/records/code-exec.ts'
import type { Item } from '../../../../src/stores/store.ts'
import { createWorld } from './harness.ts'

/** A generator of numbers from 0 to 1 that a seed repeats. */
function randomOf(seed: number): () => number {
  let state = seed + 1
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

test.each(Array.from({ length: 40 }, (_, seed) => seed))(
  'several runners, copies of a message and a table that fails leave one result that never changes (%i)',
  async (seed) => {
    const random = randomOf(seed)
    let runs = 0
    const world = createWorld({
      py: () => {
        runs += 1
        return { stdout: `run ${String(runs)}`, delayMs: random() * 6 }
      },
    })
    const finals: Item[] = []
    const { store } = world
    const update = store.update.bind(store)
    store.update = async (item, condition, assertHeld) => {
      await delay(random() * 3)
      if (random() < 0.15) throw new RetryableError('store', 'it failed before')
      const outcome = await update(item, condition, assertHeld)
      const stored = world.item()
      if (stored !== undefined && isFinal(stored)) finals.push(stored)
      await delay(random() * 3)
      if (random() < 0.15) throw new RetryableError('store', 'its answer was lost')
      return outcome
    }
    const outcomes: string[] = []
    // A message comes again until somebody has deleted it.
    const queue = Array.from({ length: 1 + Math.floor(random() * 3) }, () => 1)
    await Promise.all(
      queue.map(async () => {
        for (let attempt = 1; attempt < 30; attempt += 1) {
          await delay(random() * 8)
          try {
            outcomes.push(await world.deliver({}, { attempt }))
            return
          } catch (error) {
            expect((error as Error).name).toBe('RetryableError')
          }
        }
        throw new Error('the job never ends')
      }),
    )
    expect(outcomes).toHaveLength(queue.length)
    expect(outcomes.filter((outcome) => outcome === 'succeeded').length).toBeLessThanOrEqual(1)
    expect(world.item()).toMatchObject({ Status: 'success', StdoutEncoding: 'utf8' })
    for (const final of finals) expect(final).toEqual(finals[0])
    expect(world.executor.present.size).toBe(0)
  },
)
