import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { createRandom } from '../../../src/demo/optimizers/random.ts'

const FOLDER = fileURLToPath(new URL('../../../examples/optimizer', import.meta.url))

interface Program {
  c: number[]
  Q: number[][]
  A: number[][]
  b: number[]
  E: number[][]
  d: number[]
  lower: number[]
  upper: number[]
}

interface Solution {
  status: 'optimal' | 'infeasible' | 'unbounded'
  x?: number[]
}

const { solve } = (await import(pathToFileURL(join(FOLDER, 'solver.mjs')).href)) as {
  solve: (program: Program) => Solution
}

/** A program of so many variables between 0 and infinity, without anything else. */
function program(n: number, rest: Partial<Program> = {}): Program {
  const zero = Array.from({ length: n }, () => 0)
  return {
    c: zero,
    Q: zero.map(() => zero),
    A: [],
    b: [],
    E: [],
    d: [],
    lower: zero,
    upper: zero.map(() => Infinity),
    ...rest,
  }
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0)

function valueAt({ c, Q }: Program, x: readonly number[]): number {
  return (
    dot(c, x) +
    0.5 *
      dot(
        x,
        Q.map((row) => dot(row, x)),
      )
  )
}

function holds({ A, b, E, d, lower, upper }: Program, x: readonly number[], slack = 1e-7): boolean {
  return (
    A.every((row, k) => dot(row, x) >= (b[k] ?? 0) - slack) &&
    E.every((row, k) => Math.abs(dot(row, x) - (d[k] ?? 0)) <= slack) &&
    x.every((value, i) => value >= (lower[i] ?? 0) - slack && value <= (upper[i] ?? 0) + slack)
  )
}

/** The best corner of a program in the plane, found by trying all of them; undefined when there is none. */
function bestCorner(lp: Program): number | undefined {
  const lines: [number[], number][] = [
    ...lp.A.map((row, k): [number[], number] => [row, lp.b[k] ?? 0]),
    ...[0, 1].flatMap((i): [number[], number][] => {
      const unit = [0, 1].map((j) => (i === j ? 1 : 0))
      return [lp.lower, lp.upper].flatMap((bounds) =>
        Number.isFinite(bounds[i]) ? [[unit, bounds[i] ?? 0]] : [],
      )
    }),
  ]
  const corners = lines.flatMap(([[a = 0, b = 0], p], k) =>
    lines.slice(k + 1).flatMap(([[c = 0, d = 0], q]) => {
      const determinant = a * d - b * c
      return Math.abs(determinant) < 1e-9
        ? []
        : [[(p * d - b * q) / determinant, (a * q - p * c) / determinant]]
    }),
  )
  const values = corners.filter((corner) => holds(lp, corner)).map((corner) => valueAt(lp, corner))
  return values.length === 0 ? undefined : Math.min(...values)
}

describe('the solver', () => {
  const random = createRandom(7)
  const numbers = (n: number): number[] => Array.from({ length: n }, () => random.uniform() * 10 - 5)
  const whole = (n: number): number[] => numbers(n).map(Math.round)

  test('finds the best corner of linear programs in a box, or that there is none', () => {
    const seen = { optimal: 0, infeasible: 0, unbounded: 0 }
    for (let n = 0; n < 500; n += 1) {
      const count = n % 7
      // Whole numbers, so that many corners fall together.
      const draw = n % 2 === 0 ? whole : numbers
      const lp = program(2, {
        c: draw(2),
        A: Array.from({ length: count }, () => draw(2)),
        b: draw(count),
        lower: n % 3 === 0 ? [-4, -4] : [0, 0],
        upper: [6, 6],
      })
      const { status, x } = solve(lp)
      seen[status] += 1
      const best = bestCorner(lp)
      expect(status).toBe(best === undefined ? 'infeasible' : 'optimal')
      if (x === undefined || best === undefined) continue
      expect(holds(lp, x)).toBe(true)
      expect(valueAt(lp, x)).toBeCloseTo(best, 6)
    }
    expect(seen.optimal).toBeGreaterThan(100)
    expect(seen.infeasible).toBeGreaterThan(50)
  })

  test('finds a point of convex quadratic programs that no other near it beats', () => {
    let active = 0
    for (let n = 0; n < 100; n += 1) {
      const size = 2 + (n % 5)
      const factor = Array.from({ length: size - (n % 2) }, () => numbers(size))
      const Q = Array.from({ length: size }, (_, i) =>
        Array.from({ length: size }, (_, j) =>
          factor.reduce((sum, row) => sum + (row[i] ?? 0) * (row[j] ?? 0), 0),
        ),
      )
      const inside = numbers(size)
      const A = Array.from({ length: 4 }, () => numbers(size))
      const qp = program(size, {
        c: numbers(size).map((value) => value * 20),
        Q,
        A,
        b: A.map((row) => dot(row, inside) - random.uniform()),
        lower: inside.map((value) => value - 3),
        upper: inside.map((value) => value + 3),
      })
      const { status, x = [] } = solve(qp)
      expect(status).toBe('optimal')
      expect(holds(qp, x)).toBe(true)
      if (A.some((row, k) => Math.abs(dot(row, x) - (qp.b[k] ?? 0)) < 1e-7)) active += 1
      const value = valueAt(qp, x)
      for (let k = 0; k < 200; k += 1) {
        const reach = 10 ** -(k % 4)
        const near = x.map((each) => each + reach * (random.uniform() - 0.5))
        if (holds(qp, near, 0)) expect(valueAt(qp, near)).toBeGreaterThanOrEqual(value - 1e-7)
      }
    }
    expect(active).toBeGreaterThan(20)
  })

  test('keeps equalities, and variables without bounds', () => {
    const free = { lower: [-Infinity, -Infinity], upper: [Infinity, Infinity] }
    // The point of x + y = 2 next to (5, -5).
    const nearest = program(2, {
      ...free,
      c: [-5, 5],
      Q: [
        [1, 0],
        [0, 1],
      ],
      E: [[1, 1]],
      d: [2],
    })
    expect(solve(nearest).x?.map((value) => Number(value.toFixed(9)))).toEqual([6, -4])
    const mirrored = program(2, { c: [-1, -1], lower: [-Infinity, -Infinity], upper: [3, -2] })
    expect(solve(mirrored).x).toEqual([3, -2])
  })

  test.each<[string, Program, Solution['status']]>([
    ['falls for ever', program(2, { c: [-1, 1] }), 'unbounded'],
    [
      'falls for ever along a flat valley',
      program(2, {
        c: [1, -1],
        Q: [
          [1, 0],
          [0, 0],
        ],
      }),
      'unbounded',
    ],
    ['falls for ever, having no bound below', program(1, { c: [1], lower: [-Infinity] }), 'unbounded'],
    ['contradicts itself', program(1, { A: [[1], [-1]], b: [2, -1] }), 'infeasible'],
    [
      'contradicts itself and would fall for ever',
      program(2, {
        c: [0, -1],
        A: [
          [1, 0],
          [-1, 0],
        ],
        b: [2, -1],
      }),
      'infeasible',
    ],
    ['has bounds the wrong way round', program(1, { lower: [2], upper: [1] }), 'infeasible'],
    ['has nothing to minimise', program(2, { A: [[1, 1]], b: [3] }), 'optimal'],
  ])('says what is the matter with one that %s', (_, lp, status) => {
    expect(solve(lp).status).toBe(status)
  })

  test('does not cycle where simplex methods do', () => {
    // Beale's example, turned to a minimum.
    const lp = program(4, {
      c: [-0.75, 150, -0.02, 6],
      A: [
        [-0.25, 60, 0.04, -9],
        [-0.5, 90, 0.02, -3],
        [0, 0, -1, 0],
      ],
      b: [0, 0, -1],
    })
    expect(valueAt(lp, solve(lp).x ?? [])).toBeCloseTo(-0.05, 9)
  })

  test.each([
    [[[-1]], [1]],
    [
      [
        [0, 1],
        [1, 0],
      ],
      [0, 0],
    ],
    [
      [
        [1, 2],
        [2, 1],
      ],
      [0, 0],
    ],
  ])('refuses %j, which is not convex', (Q, c) => {
    expect(() => solve(program(c.length, { Q, c }))).toThrow('not convex')
  })
})

describe('the program', () => {
  const LP = {
    linear: [-3, -5],
    constraints: [
      { coefficients: [1, 0], at_most: 4 },
      { coefficients: [0, -2], at_least: -12 },
      { coefficients: [3, 2], at_most: 18 },
    ],
  }
  const ANSWER = { status: 'optimal', x: [2, 6], objective: -36, pivots: 5, solver: 'optimizer 1.0.0' }

  function run(input: string, ...args: string[]): { code: number | null; out: string; err: string } {
    const main = join(FOLDER, 'main.mjs')
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
      input,
      encoding: 'utf8',
    })
    return { code: status, out: stdout, err: stderr }
  }

  test('reads standard input and prints one line', () => {
    expect(run(JSON.stringify(LP))).toEqual({ code: 0, out: `${JSON.stringify(ANSWER)}\n`, err: '' })
    expect(run('', '--version').out).toBe('1.0.0\n')
  })

  test('reads and writes files', () => {
    const folder = mkdtempSync(join(tmpdir(), 'opthub-optimizer-'))
    try {
      const [input, output] = [join(folder, 'in.json'), join(folder, 'out.json')]
      writeFileSync(input, JSON.stringify({ ...LP, lower: [3, null], upper: [null, 2] }))
      expect(run('', input, output)).toEqual({ code: 0, out: '', err: '' })
      const solution: unknown = JSON.parse(readFileSync(output, 'utf8'))
      expect(solution).toMatchObject({ status: 'optimal', x: [4, 2], objective: -22 })
      expect(run('', input)).toMatchObject({
        code: 2,
        err: expect.stringContaining('an output file') as string,
      })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test.each<[string, unknown]>([
    ['not valid JSON', '{'],
    ['must be a JSON object', []],
    ['linear must be a list of numbers', {}],
    ['linear must name at least one', { linear: [] }],
    ['quadratic must have 2 rows', { linear: [1, 1], quadratic: [[1]] }],
    [
      'must be symmetric',
      {
        linear: [1, 1],
        quadratic: [
          [1, 1],
          [0, 1],
        ],
      },
    ],
    ['not convex', { linear: [1], quadratic: [[-1]] }],
    ['constraints must be a list', { linear: [1], constraints: 1 }],
    ['constraints[0].coefficients must be a list of numbers', { linear: [1], constraints: [null] }],
    [
      'constraints[0].coefficients must have 1 numbers',
      { linear: [1], constraints: [{ coefficients: [1, 2], equal: 1 }] },
    ],
    [
      'constraints[0] must have one of',
      { linear: [1], constraints: [{ coefficients: [1], equal: 1, at_most: 2 }] },
    ],
    ['lower must have 1 numbers', { linear: [1], lower: [1, 2] }],
    ['upper must hold numbers or null', { linear: [1], upper: ['1'] }],
  ])('says that the problem %s', (text, problem) => {
    const { code, out, err } = run(typeof problem === 'string' ? problem : JSON.stringify(problem))
    expect([code, out]).toEqual([2, ''])
    expect(err).toContain(text)
    expect(err.trimEnd()).not.toContain('\n')
  })
})
