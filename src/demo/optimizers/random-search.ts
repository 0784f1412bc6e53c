import { checkBounds, fromUnitCube, PendingPoints } from './optimizer.ts'
import type { Bounds, Optimizer } from './optimizer.ts'
import { createRandom } from './random.ts'

/** Uniform points of the box: what every other optimiser has to beat. */
export function createRandomSearch(bounds: Bounds, { seed = 1 }: { seed?: number } = {}): Optimizer {
  checkBounds(bounds)
  const random = createRandom(seed)
  const pending = new PendingPoints<undefined>()
  return {
    ask() {
      const x = fromUnitCube(
        Array.from(bounds.lower, () => random.uniform()),
        bounds,
      )
      pending.add(x, undefined)
      return x
    },
    tell(x) {
      pending.take(x)
    },
  }
}
