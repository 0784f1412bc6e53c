import { at, checkBounds, comparable, fromUnitCube, PendingPoints } from './optimizer.ts'
import type { Bounds, Optimizer } from './optimizer.ts'
import { createRandom } from './random.ts'
import type { Random } from './random.ts'

export interface DifferentialEvolutionOptions {
  seed?: number
  /** Points kept; default 10. More search wider, and need more evaluations. At least 3. */
  population?: number
  /** Chance of each number to come from the mutant; default 0.9. */
  crossover?: number
}

interface Member {
  /** In units of the box. */
  point: number[]
  objective: number
}

/** A population whose differences are smaller than this share of the box has nothing left to find. */
const COLLAPSED = 1e-10

/**
 * Differential evolution, best/1/bin, after R. Storn and K. Price, Journal of Global Optimization 11 (1997): the best
 * point plus a random multiple of the difference of two others, mixed with the point that it may replace. A better
 * point takes its place at once; a population that has collapsed starts anew around nothing but its best.
 */
export function createDifferentialEvolution(
  bounds: Bounds,
  options: DifferentialEvolutionOptions = {},
): Optimizer {
  checkBounds(bounds)
  const n = bounds.lower.length
  const { seed = 1, population = 10, crossover = 0.9 } = options
  if (!Number.isInteger(population) || population < 3) throw new RangeError('population must be 3 or more')
  if (!(crossover >= 0 && crossover <= 1)) throw new RangeError('crossover must be from 0 to 1')
  const random = createRandom(seed)
  const members: (Member | undefined)[] = Array.from({ length: population }, () => undefined)
  const pending = new PendingPoints<{ point: number[]; target: number }>()
  let fresh = latinHypercube(population, n, random)
  let turn = 0

  function ask(): number[] {
    const target = turn % population
    const point = fresh.shift() ?? trialFor(target)
    turn += 1
    const x = fromUnitCube(point, bounds)
    pending.add(x, { point, target })
    return x
  }

  function trialFor(target: number): number[] {
    const known = members.filter((member) => member !== undefined)
    // Only when asked far ahead of what was told.
    if (known.length < 3) return Array.from({ length: n }, () => random.uniform())
    const best = known.reduce((a, b) => (b.objective < a.objective ? b : a))
    const [one, two] = random.permutation(known.length).map((index) => at(known, index)) as [Member, Member]
    const old = members[target] ?? best
    const scale = 0.5 + 0.5 * random.uniform()
    const certain = random.index(n)
    return old.point.map((value, i) => {
      if (i !== certain && random.uniform() >= crossover) return value
      const base = at(best.point, i)
      return inside(base + scale * (at(one.point, i) - at(two.point, i)), base, random)
    })
  }

  function tell(x: readonly number[], objective: number): void {
    const { point, target } = pending.take(x)
    const member = { point, objective: comparable(objective) }
    const old = members[target]
    if (old === undefined || member.objective <= old.objective) members[target] = member
    if (isCollapsed(members)) restart()
  }

  function restart(): void {
    const known = members.filter((member) => member !== undefined)
    const best = known.reduce((a, b) => (b.objective < a.objective ? b : a))
    members.fill(undefined)
    members[0] = best
    fresh = latinHypercube(population - 1, n, random)
    turn = 1
  }

  return { ask, tell }
}

/** `count` points, of which each coordinate has exactly one in every `count`-th part of its range. */
function latinHypercube(count: number, n: number, random: Random): number[][] {
  const columns = Array.from({ length: n }, () =>
    random.permutation(count).map((part) => (part + random.uniform()) / count),
  )
  return Array.from({ length: count }, (_, k) => columns.map((column) => at(column, k)))
}

/** A step over an edge ends at random between where it began and that edge. */
function inside(value: number, base: number, random: Random): number {
  if (value < 0) return base * random.uniform()
  if (value > 1) return base + (1 - base) * random.uniform()
  return value
}

function isCollapsed(members: readonly (Member | undefined)[]): boolean {
  const [first, ...others] = members
  if (first === undefined) return false
  return others.every(
    (member) => member?.point.every((value, i) => Math.abs(value - at(first.point, i)) < COLLAPSED) ?? false,
  )
}
