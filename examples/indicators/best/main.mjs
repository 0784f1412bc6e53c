/**
 * An indicator image: the best objective so far. Reads two lines from standard input, the trial to score and the
 * history of earlier trials, and prints `{"score": number}` as the last line of standard output. Logs go to
 * standard error.
 *
 * A trial counts unless it is infeasible (feasible: false) or has no objective (null). Before any trial counts, the
 * score is NO_SCORE: by default the worst number that the table can hold.
 *
 * Environment: DIRECTION (minimize|maximize), NO_SCORE.
 */

// The largest double below the table's largest number.
const LARGEST = 9.999999999999998e125

try {
  const settings = readSettings(process.env)
  const { trial, history } = readSeries(await readInput())
  const objectives = [...history, trial].filter(counts).map(objectiveOf)
  log(`${objectives.length} of ${history.length + 1} trials count`)
  print({ score: best(objectives, settings) })
} catch (error) {
  log(`failed: ${error.message}`)
  print({ error: error.message })
}

function best(objectives, { maximize, noScore }) {
  // Not Math.min(...objectives): a long history has more values than a call may have arguments.
  return (
    objectives.reduce(
      (found, value) => (found === undefined || (maximize ? value > found : value < found) ? value : found),
      undefined,
    ) ?? noScore
  )
}

function counts(trial) {
  return trial.feasible !== false && trial.objective !== null
}

function objectiveOf({ objective }) {
  const value = Array.isArray(objective) && objective.length === 1 ? objective[0] : objective
  if (typeof value !== 'number') throw new Error('This indicator needs a single objective, a number')
  return Math.max(-LARGEST, Math.min(LARGEST, value))
}

function readSettings(environment) {
  const direction = environment.DIRECTION ?? 'minimize'
  if (!['minimize', 'maximize'].includes(direction)) throw new Error('DIRECTION must be minimize or maximize')
  const maximize = direction === 'maximize'
  const noScore =
    environment.NO_SCORE === undefined
      ? maximize
        ? -LARGEST
        : LARGEST
      : parse('NO_SCORE', environment.NO_SCORE)
  if (!Number.isFinite(noScore)) throw new Error('NO_SCORE must be a finite number')
  return { maximize, noScore }
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
