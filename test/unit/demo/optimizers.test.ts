import { describe, expect, test } from 'vitest'
import { createCmaEs } from '../../../src/demo/optimizers/cma-es.ts'
import { createDifferentialEvolution } from '../../../src/demo/optimizers/differential-evolution.ts'
import type { Bounds, Optimizer } from '../../../src/demo/optimizers/optimizer.ts'
import { createRandomSearch } from '../../../src/demo/optimizers/random-search.ts'
import { createRandom } from '../../../src/demo/optimizers/random.ts'

type Objective = (x: readonly number[]) => number
type Factory = (bounds: Bounds, seed: number) => Optimizer

const OPTIMIZERS: Record<string, Factory> = {
  'CMA-ES': (bounds, seed) => createCmaEs(bounds, { seed }),
  'CMA-ES of six': (bounds, seed) => createCmaEs(bounds, { seed, population: 6 }),
  'differential evolution': (bounds, seed) => createDifferentialEvolution(bounds, { seed }),
  'differential evolution of six': (bounds, seed) =>
    createDifferentialEvolution(bounds, { seed, population: 6 }),
}

const PLACE = [1.5, -3, 0.5, 2, -1, 3.5, -2.5, 0, 1, -0.5]
const BOX = box(10, -5, 5)

const sphere: Objective = (x) => total(x, (value, i) => (value - (PLACE[i] ?? 0)) ** 2)
const rosenbrock: Objective = (x) =>
  total(x.slice(1), (next, i) => 100 * ((x[i] ?? 0) ** 2 - next) ** 2 + (1 - (x[i] ?? 0)) ** 2)
const rastrigin: Objective = (x) =>
  total(x, (value, i) => {
    const z = value - (PLACE[i] ?? 0)
    return z ** 2 + 10 * (1 - Math.cos(2 * Math.PI * z))
  })

function box(dimension: number, low: number, high: number): Bounds {
  return {
    lower: Array.from({ length: dimension }, () => low),
    upper: Array.from({ length: dimension }, () => high),
  }
}

function total(values: readonly number[], term: (value: number, i: number) => number): number {
  return values.reduce((sum, value, i) => sum + term(value, i), 0)
}

/** The best value after each evaluation. */
function play(optimizer: Optimizer, objective: Objective, evaluations: number): number[] {
  const course: number[] = []
  for (let i = 0; i < evaluations; i += 1) {
    const x = optimizer.ask()
    const value = objective(x)
    optimizer.tell(x, value)
    course.push(Math.min(course.at(-1) ?? Infinity, value))
  }
  return course
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

function medianEnd(factory: Factory, objective: Objective, evaluations: number, seeds: number): number {
  const ends = Array.from({ length: seeds }, (_, seed) =>
    play(factory(BOX, seed), objective, evaluations).at(-1),
  )
  return median(ends.map((end) => end ?? NaN))
}

const randomSearch: Factory = (bounds, seed) => createRandomSearch(bounds, { seed })

describe.each(Object.entries(OPTIMIZERS))('%s', (_, create) => {
  test.each([
    ['sphere', sphere, 0.4],
    ['rosenbrock', rosenbrock, 0.2],
    ['rastrigin', rastrigin, 0.85],
  ] as const)('beats random search on %s by far after 600 evaluations', (__, objective, share) => {
    const ours = medianEnd(create, objective, 600, 15)
    expect(ours).toBeLessThan(share * medianEnd(randomSearch, objective, 600, 15))
  })

  test('makes progress within 30 evaluations', () => {
    const courses = Array.from({ length: 41 }, (_, seed) => play(create(BOX, seed), sphere, 30))
    expect(median(courses.map((course) => course[29] ?? NaN))).toBeLessThan(
      0.5 * median(courses.map((course) => course[0] ?? NaN)),
    )
    expect(median(courses.map((course) => course[29] ?? NaN))).toBeLessThan(
      medianEnd(randomSearch, sphere, 30, 41),
    )
  })

  test('asks for the same points with the same seed, and for others with another', () => {
    const points = [1, 1, 2].map((seed) => {
      const optimizer = create(BOX, seed)
      return Array.from({ length: 40 }, () => {
        const x = optimizer.ask()
        optimizer.tell(x, sphere(x))
        return x
      })
    })
    expect(points[1]).toEqual(points[0])
    expect(points[2]).not.toEqual(points[0])
  })

  test('stays inside the box, also when the optimum lies on its edge or beyond', () => {
    const narrow: Bounds = { lower: [-1, 0, 1e6, -1e-9], upper: [0, 1e-3, 1e6 + 1, 1e-9] }
    const optimizer = create(narrow, 3)
    for (let i = 0; i < 500; i += 1) {
      const x = optimizer.ask()
      expect(x).toHaveLength(4)
      expect(
        x.every((value, k) => value >= (narrow.lower[k] ?? NaN) && value <= (narrow.upper[k] ?? NaN)),
      ).toBe(true)
      optimizer.tell(
        x,
        total(x, (value) => value),
      )
    }
  })

  test.each([
    ['no value', NaN],
    ['Infinity', Infinity],
    ['the largest number of the table', 9.99e125],
  ])('copes with %s in a third of the box', (__, value) => {
    const holed: Objective = (x) => (Math.abs(x[3] ?? 0) > 10 / 3 ? value : sphere(x))
    const optimizer = create(BOX, 5)
    let best = Infinity
    for (let i = 0; i < 900; i += 1) {
      const x = optimizer.ask()
      expect(x.every(Number.isFinite)).toBe(true)
      const objective = holed(x)
      optimizer.tell(x, objective)
      if (objective < best) best = objective
    }
    expect(best).toBeLessThan(medianEnd(randomSearch, sphere, 900, 5))
  })

  test.each([
    ['nothing but failures', NaN],
    ['the same value everywhere', 1],
    ['minus Infinity everywhere', -Infinity],
  ])('goes on asking for usable points with %s', (__, value) => {
    const optimizer = create(BOX, 5)
    for (let i = 0; i < 2000; i += 1) {
      const x = optimizer.ask()
      expect(x.every((number) => Math.abs(number) <= 5)).toBe(true)
      optimizer.tell(x, value)
    }
  })

  test('may be asked ahead and told in another order', () => {
    const optimizer = create(BOX, 8)
    let best = Infinity
    for (let round = 0; round < 100; round += 1) {
      const points = Array.from({ length: 7 }, () => optimizer.ask())
      for (const x of points.toReversed()) {
        best = Math.min(best, sphere(x))
        optimizer.tell([...x], sphere(x))
      }
    }
    expect(best).toBeLessThan(medianEnd(randomSearch, sphere, 700, 5))
  })

  test('refuses a point that it did not ask for, and one told twice', () => {
    const optimizer = create(BOX, 1)
    const x = optimizer.ask()
    expect(() => {
      optimizer.tell(PLACE, 0)
    }).toThrow('not asked for')
    optimizer.tell(x, 1)
    expect(() => {
      optimizer.tell(x, 1)
    }).toThrow('not asked for')
  })

  test('works in one dimension', () => {
    const course = play(create(box(1, -2, 5), 2), (x) => ((x[0] ?? 0) - 1) ** 2, 300)
    expect(course.at(-1)).toBeLessThan(1e-6)
  })

  test.each([
    [{ lower: [], upper: [] }],
    [{ lower: [0], upper: [1, 2] }],
    [{ lower: [1], upper: [1] }],
    [{ lower: [2], upper: [1] }],
    [{ lower: [NaN], upper: [1] }],
    [{ lower: [0], upper: [Infinity] }],
    [{ lower: [-1e308], upper: [1.7e308] }],
  ])('refuses the bounds %j', (bounds) => {
    expect(() => create(bounds, 1)).toThrow(RangeError)
  })
})

test('CMA-ES learns a turned, badly scaled valley, where a fixed shape could not', () => {
  const dimension = 5
  const random = createRandom(4)
  const axes = Array.from({ length: dimension }, () =>
    Array.from({ length: dimension }, () => random.normal()),
  )
  const valley: Objective = (x) =>
    total(
      axes.map((axis) => total(axis, (value, i) => value * ((x[i] ?? 0) - 0.3 * i))),
      (z, i) => 10 ** (1.5 * i) * z ** 2,
    )
  for (const seed of [1, 2, 3]) {
    const course = play(createCmaEs(box(dimension, -5, 5), { seed }), valley, 4000)
    expect(course.at(-1)).toBeLessThan(1e-12)
  }
})

test('differential evolution starts anew when its population has collapsed', () => {
  const twoHills: Objective = (x) => {
    const near = (x[0] ?? 0) ** 2 + (x[1] ?? 0) ** 2
    const far = ((x[0] ?? 0) - 4) ** 2 + ((x[1] ?? 0) - 4) ** 2
    return Math.min(0.5 + near, 20 * far)
  }
  const ends = Array.from({ length: 9 }, (_, seed) =>
    play(createDifferentialEvolution(box(2, -5, 5), { seed, population: 5 }), twoHills, 20_000).at(-1),
  )
  expect(median(ends.map((end) => end ?? NaN))).toBeLessThan(1e-6)
})

test.each([{ population: 1 }, { population: 2.5 }, { stepSize: 0 }, { stepSize: NaN }])(
  'CMA-ES refuses %j',
  (options) => {
    expect(() => createCmaEs(BOX, options)).toThrow(RangeError)
  },
)

test.each([{ population: 2 }, { population: NaN }, { crossover: 1.1 }])(
  'differential evolution refuses %j',
  (options) => {
    expect(() => createDifferentialEvolution(BOX, options)).toThrow(RangeError)
  },
)
