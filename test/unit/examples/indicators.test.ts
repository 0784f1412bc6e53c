import { describe, expect, test } from 'vitest'
import { createRandom } from '../../../src/demo/optimizers/random.ts'
import { runExample } from './run-example.ts'

const BEST = 'indicators/best/main.mjs'
const HYPERVOLUME = 'indicators/hypervolume/main.mjs'
const WORST = 9.999999999999998e125

interface Trial {
  objective: unknown
  feasible?: boolean | null
  score?: number
}

/** The two lines that a scorer writes, the last trial being the one to score. */
function series(trials: readonly Trial[]): string {
  const full = trials.map(({ objective, feasible = null, score = 0 }, i) => ({
    trial_no: String(i + 1).padStart(5, '0'),
    objective,
    constraint: null,
    info: {},
    feasible,
    score,
  }))
  const history = full.slice(0, -1)
  const { objective, constraint, info, feasible } = full[full.length - 1] ?? {}
  return `${JSON.stringify({ objective, constraint, info, feasible })}\n${JSON.stringify(history)}\n`
}

async function scoreOf(
  path: string,
  trials: readonly Trial[],
  environment: Record<string, string> = {},
): Promise<unknown> {
  const { result, stdout } = await runExample(path, series(trials), environment)
  expect(stdout.trimEnd().split('\n')).toHaveLength(1)
  return result
}

describe('best', () => {
  test.each<[string, Trial[], Record<string, string>, number]>([
    ['the first trial', [{ objective: 3.5 }], {}, 3.5],
    ['a better one', [{ objective: 3.5 }, { objective: -2 }], {}, -2],
    ['a worse one', [{ objective: 3.5 }, { objective: 4 }], {}, 3.5],
    ['to maximise', [{ objective: 3.5 }, { objective: 4 }, { objective: 1 }], { DIRECTION: 'maximize' }, 4],
    [
      'objectives, not the scores of the history',
      [
        { objective: 5, score: -100 },
        { objective: 3, score: 77 },
        { objective: 4, score: -100 },
      ],
      {},
      3,
    ],
    ['an infeasible one does not count', [{ objective: 3 }, { objective: 1, feasible: false }], {}, 3],
    [
      'nor one of the history',
      [
        { objective: 1, feasible: false },
        { objective: 3, feasible: true },
      ],
      {},
      3,
    ],
    ['null does not count', [{ objective: null }, { objective: 2 }, { objective: null }], {}, 2],
    ['nothing counts yet', [{ objective: 1, feasible: false }], {}, WORST],
    ['nothing counts yet, to maximise', [{ objective: null }], { DIRECTION: 'maximize' }, -WORST],
    ['nothing counts yet, own score', [{ objective: null }], { NO_SCORE: '1000' }, 1000],
    ['as large as the table allows', [{ objective: 9.999999999999999e125 }], {}, WORST],
    ['a list of one', [{ objective: [2] }, { objective: [1.5] }], {}, 1.5],
    ['0 and -0', [{ objective: 0 }, { objective: -0 }], {}, 0],
  ])('%s', async (_, trials, environment, expected) => {
    expect(await scoreOf(BEST, trials, environment)).toEqual({ score: expected })
  })

  test('a history of 100000 trials', async () => {
    const trials = Array.from({ length: 100_000 }, (_, i) => ({ objective: Math.abs(i - 31_415) + 0.5 }))
    expect(await scoreOf(BEST, trials)).toEqual({ score: 0.5 })
  })
})

describe('hypervolume', () => {
  const unit = { REFERENCE_POINT: '[1, 1]' }

  test.each<[string, Trial[], Record<string, string>, number]>([
    ['one point', [{ objective: [0.5, 0.25] }], unit, 0.375],
    [
      'a staircase',
      [{ objective: [0, 0.75] }, { objective: [0.5, 0.5] }, { objective: [0.75, 0] }],
      unit,
      0.5,
    ],
    ['a dominated point adds nothing', [{ objective: [0.5, 0.5] }, { objective: [0.75, 0.75] }], unit, 0.25],
    ['the same point twice', [{ objective: [0.5, 0.5] }, { objective: [0.5, 0.5] }], unit, 0.25],
    ['beyond the reference in one objective', [{ objective: [-1, 1] }, { objective: [-5, 2] }], unit, 0],
    ['infeasible', [{ objective: [0, 0], feasible: false }, { objective: [0.5, 0.5] }], unit, 0.25],
    ['no objective', [{ objective: [0.5, 0.5] }, { objective: [null, 0] }, { objective: null }], unit, 0.25],
    [
      'to maximise',
      [{ objective: [2, 3] }, { objective: [3, 2] }],
      { REFERENCE_POINT: '[1, 1]', DIRECTION: 'maximize' },
      3,
    ],
    [
      'three objectives',
      [{ objective: [0, 0, 0.5] }, { objective: [0.5, 0.5, 0] }],
      { REFERENCE_POINT: '[1,1,1]' },
      0.625,
    ],
    ['one objective', [{ objective: [0.75] }, { objective: [0.5] }], { REFERENCE_POINT: '[1]' }, 0.5],
    ['too large for the table', [{ objective: [-1e125, -1e125] }], {}, WORST],
  ])('%s', async (_, trials, environment, expected) => {
    expect(await scoreOf(HYPERVOLUME, trials, environment)).toEqual({ score: expected })
  })

  test.each([2, 3, 4])('agrees with inclusion and exclusion in %i dimensions', async (dimension) => {
    const random = createRandom(dimension)
    for (let round = 0; round < 4; round += 1) {
      const points = Array.from({ length: 9 }, () =>
        // Coarse, so that coordinates coincide; some lie beyond the reference.
        Array.from({ length: dimension }, () => random.index(12) / 10),
      )
      const environment = { REFERENCE_POINT: JSON.stringify(points[0]?.map(() => 1)) }
      const trials = points.map((objective) => ({ objective }))
      const { score } = (await scoreOf(HYPERVOLUME, trials, environment)) as { score: number }
      expect(score).toBeCloseTo(unionOfBoxes(points), 9)
    }
  })

  /** Sum over all subsets, with alternating sign, of the box that its points share, up to 1 in every coordinate. */
  function unionOfBoxes(points: readonly (readonly number[])[]): number {
    let total = 0
    for (let subset = 1; subset < 2 ** points.length; subset += 1) {
      const members = points.filter((_, i) => (subset >> i) & 1)
      const corner = (members[0] ?? []).map((_, i) => Math.max(...members.map((member) => member[i] ?? 1)))
      const box = corner.reduce((volume, value) => volume * Math.max(0, 1 - value), 1)
      total += members.length % 2 === 1 ? box : -box
    }
    return total
  }

  test('a history of 5000 trials in three dimensions', async () => {
    const random = createRandom(1)
    const trials = Array.from({ length: 5000 }, () => ({
      objective: [random.uniform(), random.uniform(), random.uniform()],
    }))
    const { score } = (await scoreOf(HYPERVOLUME, trials, { REFERENCE_POINT: '[1,1,1]' })) as {
      score: number
    }
    expect(score).toBeGreaterThan(0.95)
    expect(score).toBeLessThan(1)
  })
})

describe.each([BEST, HYPERVOLUME])('%s given bad input', (path) => {
  test.concurrent.each([
    ['nothing', ''],
    ['one line', '{"objective": 1.0}'],
    ['garbage', 'NaN\nNaN\n'],
    ['no objective key', '{}\n[]\n'],
    ['half a history', '{"objective": 1.0}\n[{"objective": 1.0}'],
    ['a history that is no list', '{"objective": 1.0}\n{}\n'],
    ['a history of numbers', '{"objective": 1.0}\n[1.0]\n'],
    ['a text as objective', '{"objective": "1.0"}\n[]\n'],
    ['a null trial', 'null\n[]\n'],
  ])('%s: one clear error', async (_, input) => {
    const run = await runExample(path, input)
    expect(run.exitCode).toBe(0)
    expect(run.result).toEqual({ error: expect.stringMatching(/input|objective/) as string })
    expect(run.stderr).not.toMatch(/\n\s+at /)
  })

  test.each([
    [{ DIRECTION: 'up' }, 'DIRECTION'],
    path === BEST ? [{ NO_SCORE: 'NaN' }, 'NO_SCORE'] : [{ REFERENCE_POINT: '1' }, 'REFERENCE_POINT'],
    path === BEST ? [{ NO_SCORE: 'null' }, 'NO_SCORE'] : [{ REFERENCE_POINT: '[]' }, 'REFERENCE_POINT'],
  ])('environment %j is an error that names the variable', async (environment, name) => {
    const { result } = await runExample(path, series([{ objective: [1, 1] }]), environment)
    expect(result).toEqual({ error: expect.stringContaining(name) as string })
  })
})
