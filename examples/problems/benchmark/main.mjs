/**
 * A problem image: reads one solution (a JSON list of numbers) from standard input and prints its evaluation as the
 * last line of standard output. Logs go to standard error.
 *
 * Environment: FUNCTION, DIMENSION, SEED, ROTATION (true|false), OPTIMUM (a JSON list; default: hidden).
 */
import { createProblem, FUNCTION_NAMES } from './functions.mjs'

const MOST_DIMENSIONS = 200

try {
  const settings = readSettings(process.env)
  const problem = createProblem(settings)
  const solution = readSolution(await readInput(), settings.dimension, problem.bound)
  log(`evaluating ${settings.name} in ${settings.dimension} dimensions`)
  const objective = problem.evaluate(solution)
  log(`objective ${objective}`)
  print({
    objective,
    constraint: null,
    info: { function: settings.name, dimension: settings.dimension },
    feasible: true,
  })
} catch (error) {
  log(`failed: ${error.message}`)
  print({ error: error.message })
}

function readSettings(environment) {
  const name = environment.FUNCTION ?? 'rastrigin'
  if (!FUNCTION_NAMES.includes(name)) {
    throw new Error(`FUNCTION is ${JSON.stringify(name)}; it must be one of ${FUNCTION_NAMES.join(', ')}`)
  }
  const smallest = name === 'rosenbrock' ? 2 : 1
  const dimension = wholeNumber('DIMENSION', environment.DIMENSION ?? '10', smallest, MOST_DIMENSIONS)
  const seed = wholeNumber('SEED', environment.SEED ?? '1', 0, 2 ** 32 - 1)
  const rotation = environment.ROTATION ?? 'true'
  if (!['true', 'false'].includes(rotation)) throw new Error('ROTATION must be true or false')
  const optimum = environment.OPTIMUM === undefined ? undefined : parse('OPTIMUM', environment.OPTIMUM)
  if (optimum !== undefined) checkNumbers('OPTIMUM', optimum, dimension)
  return { name, dimension, seed, rotation: rotation === 'true', optimum }
}

function readSolution(text, dimension, bound) {
  if (text.trim() === '') throw new Error('There is no solution on standard input')
  const solution = parse('The solution', text)
  checkNumbers('The solution', solution, dimension)
  const outside = solution.findIndex((value) => Math.abs(value) > bound)
  if (outside >= 0) {
    throw new Error(
      `Number ${outside + 1} of the solution is ${solution[outside]}, outside [${-bound}, ${bound}]`,
    )
  }
  return solution
}

function checkNumbers(what, values, count) {
  if (!Array.isArray(values)) throw new Error(`${what} must be a list of ${count} numbers`)
  if (values.length !== count) throw new Error(`${what} must have ${count} numbers, not ${values.length}`)
  const wrong = values.findIndex((value) => !Number.isFinite(value))
  if (wrong >= 0) throw new Error(`Number ${wrong + 1} of ${what.toLowerCase()} is not a finite number`)
}

function wholeNumber(name, text, smallest, largest) {
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value) || value < smallest || value > largest) {
    throw new Error(`${name} must be a whole number from ${smallest} to ${largest}`)
  }
  return value
}

function parse(what, text) {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`${what} is not valid JSON`)
  }
}

async function readInput() {
  const chunks = []
  for await (const chunk of process.stdin) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

function log(message) {
  process.stderr.write(`${message}\n`)
}

function print(result) {
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
