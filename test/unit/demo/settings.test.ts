import { expect, test } from 'vitest'
import { createDemoParticipants, DEMO } from '../../../src/demo/settings.ts'

interface Benchmark {
  createProblem: (settings: { name: string; dimension: number; seed: number }) => {
    bound: number
    evaluate: (x: readonly number[]) => number
  }
}

test("the demo's own participants fall by a decade in its 30 trials", async () => {
  const file: string = new URL('../../../examples/problems/benchmark/functions.mjs', import.meta.url).href
  const { createProblem } = (await import(file)) as Benchmark
  const { FUNCTION, DIMENSION, SEED } = DEMO.problemEnvironment
  const problem = createProblem({ name: FUNCTION, dimension: Number(DIMENSION), seed: Number(SEED) })
  for (const { id, optimizer } of createDemoParticipants()) {
    const values = Array.from({ length: DEMO.trials }, () => {
      const x = optimizer.ask()
      expect(x).toHaveLength(10)
      expect(x.every((value) => Math.abs(value) <= problem.bound)).toBe(true)
      const value = problem.evaluate(x)
      optimizer.tell(x, value)
      return value
    })
    expect(id).toMatch(/^User#/)
    expect(Math.min(...values)).toBeLessThan((values[0] ?? 0) / 10)
    // Step by step, not by one lucky guess.
    const records = values.filter((value, i) => value < Math.min(Infinity, ...values.slice(0, i)))
    expect(records.length).toBeGreaterThanOrEqual(5)
  }
})
