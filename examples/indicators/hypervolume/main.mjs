/**
 * An indicator image for several objectives: the volume that the trials so far dominate, up to a reference point
 * (exact, any number of objectives; larger is better). Reads two lines from standard input, the trial to score and
 * the history of earlier trials, and prints `{"score": number}` as the last line of standard output. Logs go to
 * standard error.
 *
 * A trial counts unless it is infeasible (feasible: false) or has no objective (null). Points that are not better
 * than the reference point in every objective add nothing; the score is 0 until there is one.
 *
 * Environment: REFERENCE_POINT (a JSON list, e.g. [1.1, 11]), DIRECTION (minimize|maximize, of all objectives).
 */
import { hypervolume } from './volume.mjs'

// The largest double below the table's largest number.
const LARGEST = 9.999999999999998e125

try {
  const { reference, sign } = readSettings(process.env)
  const { trial, history } = readSeries(await readInput())
  const points = [...history, trial].filter(counts).map(({ objective }) => {
    checkPoint(objective, reference.length)
    return objective.map((value) => sign * value)
  })
  log(`${points.length} of ${history.length + 1} trials count`)
  const volume = hypervolume(
    points,
    reference.map((value) => sign * value),
  )
  print({ score: Math.min(volume, LARGEST) })
} catch (error) {
  log(`failed: ${error.message}`)
  print({ error: error.message })
}

function counts({ feasible, objective }) {
  return feasible !== false && objective !== null && !(Array.isArray(objective) && objective.includes(null))
}

function checkPoint(objective, count) {
  if (
    !Array.isArray(objective) ||
    objective.length !== count ||
    !objective.every((value) => typeof value === 'number')
  ) {
    throw new Error(
      `REFERENCE_POINT has ${count} numbers, so each objective must be a list of ${count} numbers`,
    )
  }
}

function readSettings(environment) {
  const direction = environment.DIRECTION ?? 'minimize'
  if (!['minimize', 'maximize'].includes(direction)) throw new Error('DIRECTION must be minimize or maximize')
  const reference = parse('REFERENCE_POINT', environment.REFERENCE_POINT ?? '[1.1, 11]')
  if (!Array.isArray(reference) || reference.length === 0 || !reference.every(Number.isFinite)) {
    throw new Error('REFERENCE_POINT must be a JSON list of numbers, such as [1.1, 11]')
  }
  return { reference, sign: direction === 'maximize' ? -1 : 1 }
}

function readSeries(text) {
  const end = text.indexOf('\n')
  if (end < 0) throw new Error('Standard input must have two lines: the trial to score and the history')
  const trial = parse('The first line of the input', text.slice(0, end))
  const history = parse('The second line of the input', text.slice(end + 1))
  if (!isTrial(trial)) throw new Error('The first line of the input must be a trial with an objective')
  if (!Array.isArray(history) || !history.every(isTrial)) {
    throw new Error('The second line of the input must be a list of trials with objectives')
  }
  return { trial, history }
}

function isTrial(value) {
  return typeof value === 'object' && value !== null && value.objective !== undefined
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
