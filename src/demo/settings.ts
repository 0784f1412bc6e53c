import type { Participant } from './competition.ts'
import { createCmaEs } from './optimizers/cma-es.ts'
import { createDifferentialEvolution } from './optimizers/differential-evolution.ts'

/**
 * What the demo plays. Rosenbrock's function, shifted and turned, in 10 dimensions: its values fall by more than a
 * decade within 30 evaluations, so that the plot shows what an optimiser does. (Rastrigin's barely halve by then,
 * Ackley's hardly move.)
 */
export const DEMO = {
  /** The problem image's environment. */
  problemEnvironment: { FUNCTION: 'rosenbrock', DIMENSION: '10', SEED: '1' },
  /** The indicator image's environment. */
  indicatorEnvironment: { DIRECTION: 'minimize' },
  /** Which scores are better. */
  direction: 'minimize',
  /** Solutions of each participant. */
  trials: 30,
} as const

const BOUND = 5
const DIMENSION = Number(DEMO.problemEnvironment.DIMENSION)

/** The demo's two participants; the same `seed` gives the same competition. */
export function createDemoParticipants(seed = 1): Participant[] {
  const bounds = {
    lower: Array.from({ length: DIMENSION }, () => -BOUND),
    upper: Array.from({ length: DIMENSION }, () => BOUND),
  }
  // Small populations: 30 evaluations are only five generations of six.
  return [
    { id: 'User#cma-es', optimizer: createCmaEs(bounds, { seed, population: 6 }) },
    {
      id: 'User#differential-evolution',
      optimizer: createDifferentialEvolution(bounds, { seed, population: 6 }),
    },
  ]
}
