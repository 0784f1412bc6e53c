// A program with an optimisation problem and no solver: it calls one that is in an image, like a function.
import { runImage } from 'opthub-runner'

/** A version of the solver, not whatever is the latest: the same answer next year. */
const SOLVER = 'opthub-runner-example/optimizer:1.0.0'

/** Expected return and covariance of the return of three investments. */
const RETURNS = [0.03, 0.06, 0.1]
const COVARIANCE = [
  [0.0009, 0.0003, 0.0002],
  [0.0003, 0.01, 0.004],
  [0.0002, 0.004, 0.04],
]

const wanted = [0.03, 0.05, 0.07, 0.09]
const plans = await Promise.all(wanted.map(leastRisk))
console.log('return  risk   shares')
for (const [i, { objective, x }] of plans.entries()) {
  const shares = x.map((share) => `${Math.round(share * 100)} %`.padStart(5)).join(' ')
  console.log(
    `${(wanted[i] * 100).toFixed(0)} %     ${(Math.sqrt(2 * objective) * 100).toFixed(1).padStart(4)} %${shares}`,
  )
}

/** How to spread one's money so that it brings so much at least, at the least risk. */
async function leastRisk(leastReturn) {
  return await minimise({
    linear: [0, 0, 0],
    quadratic: COVARIANCE,
    constraints: [
      { coefficients: [1, 1, 1], equal: 1 },
      { coefficients: RETURNS, at_least: leastReturn },
    ],
  })
}

/** Calls the solver's image: the problem goes into its standard input, the solution comes out of its standard output. */
async function minimise(problem) {
  const { verdict, exitCode, stdout, stderr } = await runImage({
    image: SOLVER,
    input: JSON.stringify(problem),
    limits: { network: 'none', memoryBytes: 512 * 1024 ** 2 },
    timeoutMs: 60_000,
  })
  if (verdict !== 'exited' || exitCode !== 0)
    throw new Error(`The solver failed (${verdict}): ${stderr.toString()}`)
  const solution = JSON.parse(stdout.toString())
  if (solution.status !== 'optimal') throw new Error(`The problem is ${solution.status}`)
  return solution
}
