import { ascending, at, checkBounds, comparable, fromUnitCube, PendingPoints } from './optimizer.ts'
import type { Bounds, Optimizer } from './optimizer.ts'
import { createRandom } from './random.ts'
import { symmetricEigen } from './symmetric-eigen.ts'

export interface CmaEsOptions {
  seed?: number
  /** Points per generation; default 4 + 3 ln(dimension). Fewer learn faster from few evaluations. */
  population?: number
  /** First step size as a share of the box's width; default 0.3. */
  stepSize?: number
}

interface Candidate {
  /** Unbounded, in units of the box. */
  point: number[]
  objective: number
}

/**
 * The covariance matrix adaptation evolution strategy with cumulative step-size control and rank-one and rank-mu
 * updates; formulas and constants from N. Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772.
 * It works in the unit cube; samples beyond an edge are mirrored back into it.
 */
export function createCmaEs(bounds: Bounds, options: CmaEsOptions = {}): Optimizer {
  checkBounds(bounds)
  const n = bounds.lower.length
  const { seed = 1, population = 4 + Math.floor(3 * Math.log(n)), stepSize = 0.3 } = options
  if (!Number.isInteger(population) || population < 2) throw new RangeError('population must be 2 or more')
  if (!(stepSize > 0)) throw new RangeError('stepSize must be above 0')
  const random = createRandom(seed)
  const constants = strategyConstants(n, population)
  const { weights, mueff, cc, cs, c1, cmu, damping, expectedLength } = constants

  let mean = Array.from(bounds.lower, () => random.uniform())
  let sigma = stepSize
  let covariance = identity(n)
  let axes = principalAxes(covariance)
  let covariancePath = zeros(n)
  let sigmaPath = zeros(n)
  let generation = 0
  let told: Candidate[] = []
  const pending = new PendingPoints<number[]>()

  function ask(): number[] {
    const step = fromAxes(
      axes,
      axes.map(({ length }) => length * random.normal()),
    )
    const point = mean.map((value, i) => value + sigma * at(step, i))
    const x = fromUnitCube(point.map(mirror), bounds)
    pending.add(x, point)
    return x
  }

  function tell(x: readonly number[], objective: number): void {
    told.push({ point: pending.take(x), objective: comparable(objective) })
    if (told.length < population) return
    const ranked = told.toSorted((a, b) => ascending(a.objective, b.objective))
    told = []
    // Nothing but failures tells nothing about where to go.
    if (ranked[0]?.objective !== Infinity) adapt(ranked.slice(0, weights.length))
  }

  function adapt(best: readonly Candidate[]): void {
    generation += 1
    const steps = best.map(({ point }) => point.map((value, i) => (value - at(mean, i)) / sigma))
    const step = zeros(n).map((_, i) =>
      weights.reduce((total, weight, k) => total + weight * at(at(steps, k), i), 0),
    )
    mean = mean.map((value, i) => value + sigma * at(step, i))

    const whitened = fromAxes(
      axes,
      axes.map(({ vector, length }) => dot(vector, step) / length),
    )
    const sigmaGain = Math.sqrt(cs * (2 - cs) * mueff)
    sigmaPath = sigmaPath.map((value, i) => (1 - cs) * value + sigmaGain * at(whitened, i))
    const pathLength = Math.hypot(...sigmaPath)

    // A path that is long because the step size still grows must not stretch the covariance as well.
    const started = Math.sqrt(1 - (1 - cs) ** (2 * generation))
    const calm = pathLength / started < (1.4 + 2 / (n + 1)) * expectedLength
    const covarianceGain = calm ? Math.sqrt(cc * (2 - cc) * mueff) : 0
    covariancePath = covariancePath.map((value, i) => (1 - cc) * value + covarianceGain * at(step, i))
    const lost = calm ? 0 : cc * (2 - cc)
    covariance = covariance.map((row, i) =>
      row.map((value, j) => {
        const rankOne = at(covariancePath, i) * at(covariancePath, j) + lost * value
        const rankMu = weights.reduce((total, weight, k) => {
          const other = at(steps, k)
          return total + weight * at(other, i) * at(other, j)
        }, 0)
        return (1 - c1 - cmu) * value + c1 * rankOne + cmu * rankMu
      }),
    )
    sigma *= Math.exp(Math.min(1, (cs / damping) * (pathLength / expectedLength - 1)))
    // Mirrored samples say nothing new beyond one width of the box.
    sigma = Math.min(1, Math.max(1e-15, sigma))
    axes = principalAxes(covariance)
    if (isDegenerate(axes)) {
      covariance = identity(n)
      axes = principalAxes(covariance)
      covariancePath = zeros(n)
    }
  }

  return { ask, tell }
}

interface Constants {
  /** Of the better half, best first; their sum is 1. */
  weights: number[]
  mueff: number
  cc: number
  cs: number
  c1: number
  cmu: number
  damping: number
  /** Mean length of a standard normal vector. */
  expectedLength: number
}

/** The names are the tutorial's, table 1. */
function strategyConstants(n: number, population: number): Constants {
  const parents = Math.floor(population / 2)
  const raw = Array.from({ length: parents }, (_, i) => Math.log((population + 1) / 2) - Math.log(i + 1))
  const total = raw.reduce((sum, weight) => sum + weight, 0)
  const weights = raw.map((weight) => weight / total)
  const mueff = 1 / weights.reduce((sum, weight) => sum + weight ** 2, 0)
  const cs = (mueff + 2) / (n + mueff + 5)
  const c1 = 2 / ((n + 1.3) ** 2 + mueff)
  return {
    weights,
    mueff,
    cc: (4 + mueff / n) / (n + 4 + (2 * mueff) / n),
    cs,
    c1,
    cmu: Math.min(1 - c1, (2 * (0.25 + mueff + 1 / mueff - 2)) / ((n + 2) ** 2 + mueff)),
    damping: 1 + 2 * Math.max(0, Math.sqrt((mueff - 1) / (n + 1)) - 1) + cs,
    expectedLength: Math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n ** 2)),
  }
}

interface Axis {
  /** Of length 1. */
  vector: number[]
  /** Standard deviation along it, before the step size. */
  length: number
}

function principalAxes(covariance: readonly (readonly number[])[]): Axis[] {
  const { values, vectors } = symmetricEigen(covariance)
  return vectors.map((vector, k) => ({ vector, length: Math.sqrt(Math.max(0, at(values, k))) }))
}

function isDegenerate(axes: readonly Axis[]): boolean {
  const lengths = axes.map(({ length }) => length)
  const longest = Math.max(...lengths)
  return !(longest < 1e10 && Math.min(...lengths) > 1e-7 * longest)
}

/** The sum of the axes, each as long as its number in `shares`. */
function fromAxes(axes: readonly Axis[], shares: readonly number[]): number[] {
  return shares.map((_, i) => axes.reduce((total, { vector }, k) => total + at(shares, k) * at(vector, i), 0))
}

/** Folds the line onto [0, 1], as two facing mirrors do. */
function mirror(value: number): number {
  const rest = Math.abs(value) % 2
  return rest > 1 ? 2 - rest : rest
}

function identity(n: number): number[][] {
  return zeros(n).map((_, i) => zeros(n).map((_, j) => (i === j ? 1 : 0)))
}

function zeros(n: number): number[] {
  return Array.from({ length: n }, () => 0)
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((total, value, i) => total + value * at(b, i), 0)
}
