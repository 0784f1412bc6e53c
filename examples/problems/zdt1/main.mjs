/**
 * A problem image with two objectives to minimise: ZDT1 in [0, 1]^DIMENSION, with its Pareto set moved away from the
 * edge of the box. Reads one solution (a JSON list of numbers) from standard input and prints its evaluation as the
 * last line of standard output. Logs go to standard error.
 *
 * Environment: DIMENSION, SEED.
 */
const MOST_DIMENSIONS = 10_000

try {
  const settings = readSettings(process.env)
  const solution = readSolution(await readInput(), settings.dimension)
  log(`evaluating zdt1 in ${settings.dimension} dimensions`)
  const objective = evaluate(solution, settings.seed)
  log(`objectives ${objective.join(', ')}`)
  print({
    objective,
    constraint: null,
    info: { function: 'zdt1', dimension: settings.dimension },
    feasible: true,
  })
} catch (error) {
  log(`failed: ${error.message}`)
  print({ error: error.message })
}

/**
 * The front is f2 = 1 - sqrt(f1). ZDT1 itself has it where all numbers but the first are 0; here each of them has a
 * place of its own between 0.1 and 0.9, and its distance is scaled so that g still goes from 1 to 10.
 */
function evaluate([first, ...others], seed) {
  const random = createRandom(seed)
  let distance = 0
  for (const value of others) {
    const place = 0.1 + 0.8 * random()
    distance += Math.abs(value - place) / Math.max(place, 1 - place)
  }
  const g = 1 + (9 * distance) / others.length
  return [first, g * (1 - Math.sqrt(first / g))]
}

function readSettings(environment) {
  return {
    dimension: wholeNumber('DIMENSION', environment.DIMENSION ?? '10', 2, MOST_DIMENSIONS),
    seed: wholeNumber('SEED', environment.SEED ?? '1', 0, 2 ** 32 - 1),
  }
}

function readSolution(text, dimension) {
  if (text.trim() === '') throw new Error('There is no solution on standard input')
  const solution = parse('The solution', text)
  if (!Array.isArray(solution)) throw new Error(`The solution must be a list of ${dimension} numbers`)
  if (solution.length !== dimension) {
    throw new Error(`The solution must have ${dimension} numbers, not ${solution.length}`)
  }
  for (const [index, value] of solution.entries()) {
    if (!Number.isFinite(value)) throw new Error(`Number ${index + 1} of the solution is not a finite number`)
    if (value < 0 || value > 1)
      throw new Error(`Number ${index + 1} of the solution is ${value}, outside [0, 1]`)
  }
  return solution
}

function wholeNumber(name, text, smallest, largest) {
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value) || value < smallest || value > largest) {
    throw new Error(`${name} must be a whole number from ${smallest} to ${largest}`)
  }
  return value
}

/** Uniform numbers in [0, 1) by a 32-bit counter through a mixing function: small, and the same everywhere. */
function createRandom(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32
  }
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
