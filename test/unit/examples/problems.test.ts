import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { runExample } from './run-example.ts'

const BENCHMARK = 'problems/benchmark/main.mjs'
const ZDT1 = 'problems/zdt1/main.mjs'
const PYTHON = 'problems/sphere-python/main.py'
const hasPython = spawnSync('python3', ['--version']).status === 0

async function benchmark(x: readonly number[], environment: Record<string, string>): Promise<number> {
  const all = { DIMENSION: String(x.length), ...environment }
  const { result } = await runExample(BENCHMARK, JSON.stringify(x), all)
  return (result as { objective: number }).objective
}

describe('benchmark', () => {
  test('prints the evaluation as its only line of stdout and logs to stderr', async () => {
    const run = await runExample(BENCHMARK, '[0.0, 1.0, -1.5e-07, -0.0, 2.5, 0.1, 0.0, 0.0, 0.0, 5.12]\n')
    expect(run.exitCode).toBe(0)
    expect(run.stdout.trimEnd().split('\n')).toHaveLength(1)
    expect(run.stderr).toContain('rastrigin in 10 dimensions')
    expect(run.result).toEqual({
      objective: expect.any(Number) as number,
      constraint: null,
      info: { function: 'rastrigin', dimension: 10 },
      feasible: true,
    })
  })

  test.each([
    ['sphere', 13],
    ['ellipsoid', 4e6 + 9],
    // z = (3, -2) from its optimum at (1, 1) is the usual point (4, -1): 100 (16 + 1)^2 + 9.
    ['rosenbrock', 28_909],
    ['rastrigin', 13],
    ['griewank', 1 + 13 / 4000 - Math.cos(3) * Math.cos(-2 / Math.SQRT2)],
    ['ackley', 20 * (1 - Math.exp(-0.2 * Math.sqrt(6.5)))],
  ])('%s has its textbook value at a known distance from the optimum', async (name, expected) => {
    const environment = { FUNCTION: name, OPTIMUM: '[1, 1]', ROTATION: 'false' }
    expect(await benchmark([4, -1], environment)).toBeCloseTo(expected, 9)
  })

  test.each(['sphere', 'ellipsoid', 'rosenbrock', 'rastrigin', 'ackley', 'griewank'])(
    '%s is 0 at its optimum, whatever the rotation, and not in the centre of the box',
    async (name) => {
      const place = [1.5, -2, 0.25, 3]
      const at = { FUNCTION: name, SEED: '7', OPTIMUM: JSON.stringify(place) }
      expect(await benchmark(place, at)).toBeCloseTo(0, 12)
      expect(await benchmark([0, 0, 0, 0], { FUNCTION: name, SEED: '7' })).toBeGreaterThan(1)
    },
  )

  test('a rotation keeps distances and mixes the axes', async () => {
    const base = { OPTIMUM: '[0, 0, 0]', SEED: '3' }
    expect(await benchmark([1, 2, 2], { ...base, FUNCTION: 'sphere' })).toBeCloseTo(9, 12)
    const turned = await benchmark([1, 0, 0], { ...base, FUNCTION: 'ellipsoid' })
    expect(turned).toBeGreaterThan(1.1)
    expect(await benchmark([1, 0, 0], { ...base, FUNCTION: 'ellipsoid', ROTATION: 'false' })).toBe(1)
  })

  test('the seed alone decides the value', async () => {
    const x = [1, 2, 3]
    const first = await benchmark(x, { SEED: '1' })
    expect(await benchmark(x, { SEED: '1' })).toBe(first)
    expect(await benchmark(x, { SEED: '2' })).not.toBe(first)
  })

  test.each([
    [{ FUNCTION: 'toString' }, 'FUNCTION is "toString"'],
    [{ DIMENSION: '0' }, 'DIMENSION'],
    [{ DIMENSION: '2.5' }, 'DIMENSION'],
    [{ DIMENSION: '' }, 'DIMENSION'],
    [{ DIMENSION: '1', FUNCTION: 'rosenbrock' }, 'DIMENSION'],
    [{ SEED: '-1' }, 'SEED'],
    [{ ROTATION: 'maybe' }, 'ROTATION'],
    [{ OPTIMUM: '[1' }, 'OPTIMUM'],
    [{ OPTIMUM: '[1]' }, 'OPTIMUM'],
  ])('environment %j is an error that names the variable', async (environment, text) => {
    const { result } = await runExample(BENCHMARK, '[0,0]', environment)
    expect(result).toEqual({ error: expect.stringContaining(text) as string })
  })
})

describe('zdt1', () => {
  const size = { DIMENSION: '3', SEED: '5' }

  async function zdt1(x: readonly number[]): Promise<[number, number]> {
    const { result } = await runExample(ZDT1, JSON.stringify(x), size)
    return (result as { objective: [number, number] }).objective
  }

  test('reaches its Pareto front at the places that its slopes point to', async () => {
    // With the first number 0 the second objective is g = 1 + 9/2 (|b - p| / max(p, 1 - p) + the same for c).
    const [[, both], [, high], [, low]] = await Promise.all([
      zdt1([0, 0, 0]),
      zdt1([0, 1, 0]),
      zdt1([0, 0, 1]),
    ])
    const places = [high, low].map((edge) => {
      const slope = (both - edge) / 4.5
      return slope >= 0 ? 1 / (2 - slope) : (1 + slope) / (2 + slope)
    })
    for (const first of [0, 0.25, 1]) {
      const [f1, f2] = await zdt1([first, ...places])
      expect(f1).toBe(first)
      expect(f2).toBeCloseTo(1 - Math.sqrt(first), 9)
    }
  })

  test('prints two objectives and nothing else on stdout', async () => {
    const run = await runExample(ZDT1, JSON.stringify(Array.from({ length: 10 }, () => 0.5)))
    const numbers = [expect.any(Number), expect.any(Number)] as number[]
    expect(run.stdout.trimEnd().split('\n')).toHaveLength(1)
    expect(run.stderr).not.toBe('')
    const info = { function: 'zdt1', dimension: 10 }
    expect(run.result).toEqual({ objective: numbers, constraint: null, info, feasible: true })
  })
})

describe.skipIf(!hasPython)('sphere-python', () => {
  test('prints its evaluation without a final newline and logs to stderr', async () => {
    const run = await runExample(PYTHON, '[0.0, 0.0]', { DIMENSION: '2' })
    expect(run.stdout).not.toContain('\n')
    expect(run.stderr).toContain('evaluating')
    expect(run.result).toMatchObject({ constraint: null, error: null, feasible: true })
    const { objective } = run.result as { objective: number }
    // Each number of the optimum is between 1 and 4 away from 0.
    expect(objective).toBeGreaterThan(2)
    expect(objective).toBeLessThan(32)
  })
})

const BAD_INPUTS = [
  ['nothing', ''],
  ['blanks', ' \n\t '],
  ['NaN', 'NaN'],
  ['a NaN in the list', '[NaN, 0.0]'],
  ['an Infinity in the list', '[0.0, -Infinity]'],
  ['half a list', '[0.5, 0.'],
  ['two lists', '[0.0, 0.0]\n[0.0, 0.0]'],
  ['binary', '\u0000\uffff\u001b[2J'],
  ['an object', '{"x": 1}'],
  ['null', 'null'],
  ['a string', '"0.1, 0.2"'],
  ['too few', '[0.0]'],
  ['too many', '[0.0, 0.0, 0.0]'],
  ['a string in the list', '["0.1", 0.0]'],
  ['a boolean in the list', '[true, 0.0]'],
  ['null in the list', '[null, 0.0]'],
  ['a nested list', '[[0.0, 0.0]]'],
  ['a number beyond a double', '[1e999, 0.0]'],
  ['a number outside the box', '[1e+22, 0.0]'],
  ['a long integer', `[${'9'.repeat(400)}, 0.0]`],
  ['a deep list', '['.repeat(100_000)],
] as const

describe.each([
  [BENCHMARK, true],
  [ZDT1, true],
  [PYTHON, hasPython],
] as const)('%s given bad input', (path, isRunnable) => {
  test.skipIf(!isRunnable).concurrent.each(BAD_INPUTS)('%s: one clear error', async (_, input) => {
    const run = await runExample(path, input, { DIMENSION: '2' })
    expect(run.exitCode).toBe(0)
    const { error, ...others } = run.result as Record<string, unknown>
    expect(error).toMatch(/solution/)
    expect(others).toEqual(path === PYTHON ? { objective: null, constraint: null } : {})
    expect(run.stderr).not.toContain('Traceback')
    expect(run.stderr).not.toMatch(/\n\s+at /)
  })
})
