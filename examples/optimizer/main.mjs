// Solves a linear or quadratic program: the problem as JSON on standard input, the solution as JSON on standard output.
// With two arguments both are files. See README.md for the format.
import { readFileSync, writeFileSync } from 'node:fs'
import { solve } from './solver.mjs'

const VERSION = '1.0.0'

try {
  const args = process.argv.slice(2)
  if (args[0] === '--version') {
    process.stdout.write(`${VERSION}\n`)
  } else {
    if (args.length !== 0 && args.length !== 2)
      throw new Error('Give no argument, or an input and an output file')
    const [input, output] = args
    const solution = `${JSON.stringify(answer(readFileSync(input ?? 0, 'utf8')))}\n`
    if (output === undefined) process.stdout.write(solution)
    else writeFileSync(output, solution)
  }
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 2
}

function answer(text) {
  const problem = readProblem(text)
  const { status, x, pivots } = solve(problem)
  const { c, Q } = problem
  const objective = x?.reduce((sum, value, i) => sum + value * (c[i] + 0.5 * dot(Q[i], x)), 0)
  return { status, x, objective, pivots, solver: `optimizer ${VERSION}` }
}

function readProblem(text) {
  const { linear, quadratic, constraints = [], lower = [], upper = [] } = parse(text)
  const c = numbers(linear, 'linear')
  const n = c.length
  if (n === 0) throw new Error('linear must name at least one coefficient')
  const Q = quadratic === undefined ? c.map(() => c.map(() => 0)) : square(quadratic, n)
  const problem = { c, Q, A: [], b: [], E: [], d: [] }
  problem.lower = bounds(lower, 'lower', n, 0, -Infinity)
  problem.upper = bounds(upper, 'upper', n, Infinity, Infinity)
  if (!Array.isArray(constraints)) throw new Error('constraints must be a list')
  for (const [k, constraint] of constraints.entries()) addConstraint(problem, constraint, `constraints[${k}]`)
  return problem
}

function addConstraint({ c, A, b, E, d }, constraint, name) {
  const { coefficients, ...sides } = constraint ?? {}
  const row = numbers(coefficients, `${name}.coefficients`)
  if (row.length !== c.length) throw new Error(`${name}.coefficients must have ${c.length} numbers`)
  const [[side, value] = [], ...others] = Object.entries(sides)
  if (others.length > 0 || !['at_most', 'at_least', 'equal'].includes(side) || !Number.isFinite(value)) {
    throw new Error(`${name} must have one of at_most, at_least and equal, a number`)
  }
  if (side === 'equal') {
    E.push(row)
    d.push(value)
  } else {
    const sign = side === 'at_least' ? 1 : -1
    A.push(row.map((entry) => sign * entry))
    b.push(sign * value)
  }
}

function bounds(list, name, n, standard, none) {
  if (!Array.isArray(list) || (list.length !== 0 && list.length !== n)) {
    throw new Error(`${name} must have ${n} numbers (null where there is no bound)`)
  }
  if (list.some((value) => value !== null && !Number.isFinite(value)))
    throw new Error(`${name} must hold numbers or null`)
  return Array.from({ length: n }, (_, i) => (list.length === 0 ? standard : (list[i] ?? none)))
}

function square(rows, n) {
  if (!Array.isArray(rows) || rows.length !== n) throw new Error(`quadratic must have ${n} rows`)
  const Q = rows.map((row, i) => numbers(row, `quadratic[${i}]`))
  if (Q.some((row) => row.length !== n)) throw new Error(`The rows of quadratic must have ${n} numbers`)
  if (Q.some((row, i) => row.some((value, j) => value !== Q[j][i])))
    throw new Error('quadratic must be symmetric')
  return Q
}

function numbers(list, name) {
  if (!Array.isArray(list) || !list.every(Number.isFinite))
    throw new Error(`${name} must be a list of numbers`)
  return list
}

function parse(text) {
  let problem
  try {
    problem = JSON.parse(text)
  } catch {
    throw new Error('The problem is not valid JSON')
  }
  if (problem === null || typeof problem !== 'object' || Array.isArray(problem)) {
    throw new Error('The problem must be a JSON object')
  }
  return problem
}

function dot(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0)
}
