// Linear and convex quadratic programs by Lemke's complementary pivoting: their optimality conditions are a linear
// complementarity problem (w = Mz + q, w and z never negative, wᵀz = 0), which a walk from vertex to vertex solves
// exactly, up to rounding. Ties are broken lexicographically, so that it never cycles. Dense: for up to a few hundred
// variables and constraints.

const TOLERANCE = 1e-9
/** What a constraint may be missed by, relative to its size. */
const ROUNDING = 1e-6
const MOST_PIVOTS = 50_000

/**
 * Minimises cᵀx + ½xᵀQx over Ax ≥ b, Ex = d, lower ≤ x ≤ upper (−Infinity and Infinity where there is no bound).
 * `status` is optimal, infeasible or unbounded; `x` is there when it is optimal. Throws when Q is not convex.
 */
export function solve({ c, Q, A, b, E, d, lower, upper }) {
  if (!isConvex(Q)) throw new Error('The quadratic part is not convex')
  if (lower.some((bound, i) => bound > upper[i])) return { status: 'infeasible', pivots: 0 }
  const columns = shiftedColumns(lower, upper)
  const offset = lower.map((bound, i) =>
    Number.isFinite(bound) ? bound : Number.isFinite(upper[i]) ? upper[i] : 0,
  )
  const rows = [
    ...A.map((row, k) => [row, b[k]]),
    ...E.flatMap((row, k) => [
      [row, d[k]],
      [row.map((value) => -value), -d[k]],
    ]),
    ...upper.flatMap((bound, i) =>
      Number.isFinite(bound) && Number.isFinite(lower[i])
        ? [[c.map((_, j) => (j === i ? -1 : 0)), -bound]]
        : [],
    ),
  ].map(([row, least]) => scaled(row, least - dot(row, offset)))
  const G = rows.map(([row]) => columns.map(({ of, sign }) => sign * row[of]))
  const g = rows.map(([, least]) => least)
  const gradient = c.map((value, i) => value + dot(Q[i], offset))
  const objective = {
    linear: columns.map(({ of, sign }) => sign * gradient[of]),
    quadratic: columns.map((one) => columns.map((other) => one.sign * other.sign * Q[one.of][other.of])),
  }
  const found = complement(objective, G, g)
  if (found.z === undefined) {
    const nothing = { linear: columns.map(() => 0), quadratic: columns.map(() => columns.map(() => 0)) }
    const { z, pivots } = complement(nothing, G, g)
    return { status: z === undefined ? 'infeasible' : 'unbounded', pivots: found.pivots + pivots }
  }
  const x = [...offset]
  for (const [k, { of, sign }] of columns.entries()) x[of] += sign * found.z[k]
  const isKept = rows.every(
    ([row, least]) => dot(row, x) - dot(row, offset) >= least - ROUNDING * (1 + Math.abs(least)),
  )
  if (!isKept) throw new Error('The numbers are too far apart in size to be computed with')
  return { status: 'optimal', x, pivots: found.pivots }
}

/** Each variable as one that is never negative, counted from a bound, or as the difference of two. */
function shiftedColumns(lower, upper) {
  return lower.flatMap((bound, of) => {
    if (Number.isFinite(bound)) return [{ of, sign: 1 }]
    if (Number.isFinite(upper[of])) return [{ of, sign: -1 }]
    return [
      { of, sign: 1 },
      { of, sign: -1 },
    ]
  })
}

function scaled(row, least) {
  const size = Math.max(...row.map(Math.abs), 0)
  return size === 0 ? [row, least] : [row.map((value) => value / size), least / size]
}

/** The optimality conditions over Gx ≥ g, x ≥ 0, solved; without `z` when they have no solution. */
function complement({ linear, quadratic }, G, g) {
  const n = linear.length
  const size = n + g.length
  // Columns: w, z, the artificial one, q. Rows: w − Mz − z₀ = q.
  const rows = Array.from({ length: size }, (_, i) => {
    const row = new Float64Array(2 * size + 2)
    row[i] = 1
    for (let j = 0; j < size; j += 1) {
      const entry = i < n ? (j < n ? quadratic[i][j] : -G[j - n][i]) : j < n ? G[i - n][j] : 0
      row[size + j] = -entry
    }
    row[2 * size] = -1
    row[2 * size + 1] = i < n ? linear[i] : -g[i - n]
    return row
  })
  const basis = rows.map((_, i) => i)
  const artificial = 2 * size
  const last = 2 * size + 1

  if (rows.every((row) => row[last] >= 0)) return { z: new Array(size).fill(0), pivots: 0 }
  let leaving = 0
  for (let i = 1; i < size; i += 1) if (isLess(rows[i], 1, rows[leaving], 1, size)) leaving = i
  let entering = artificial
  for (let pivots = 1; pivots <= MOST_PIVOTS; pivots += 1) {
    const left = basis[leaving]
    pivot(rows, leaving, entering)
    basis[leaving] = entering
    if (left === artificial) return { z: readZ(rows, basis, size), pivots }
    entering = left < size ? left + size : left - size
    leaving = chooseRow(rows, basis, entering, size)
    if (leaving < 0) return { pivots }
  }
  throw new Error('No solution was found in time')
}

/** The row whose basic variable reaches zero first when the entering one grows; −1 when none does. */
function chooseRow(rows, basis, entering, size) {
  const artificial = 2 * size
  let best = -1
  for (const [i, row] of rows.entries()) {
    if (row[entering] <= TOLERANCE) continue
    if (best < 0 || isLess(row, row[entering], rows[best], rows[best][entering], size)) best = i
  }
  if (best < 0) return best
  // Where the artificial variable may leave just as well, the walk is over.
  const at = basis.indexOf(artificial)
  const ratio = rows[best][2 * size + 1] / rows[best][entering]
  const own = rows[at][2 * size + 1] / rows[at][entering]
  return rows[at][entering] > TOLERANCE && own <= ratio + TOLERANCE ? at : best
}

/** Whether one row over its divisor comes before another: by q, then by the columns of w. */
function isLess(row, divisor, other, otherDivisor, size) {
  for (const j of [2 * size + 1, ...Array(size).keys()]) {
    const difference = row[j] / divisor - other[j] / otherDivisor
    if (Math.abs(difference) > TOLERANCE) return difference < 0
  }
  return false
}

function pivot(rows, at, column) {
  const row = rows[at]
  const divisor = row[column]
  for (let j = 0; j < row.length; j += 1) row[j] /= divisor
  for (const other of rows) {
    const factor = other[column]
    if (other === row || factor === 0) continue
    for (let j = 0; j < row.length; j += 1) other[j] -= factor * row[j]
    other[column] = 0
  }
}

function readZ(rows, basis, size) {
  const z = new Array(size).fill(0)
  for (const [i, variable] of basis.entries()) {
    if (variable >= size && variable < 2 * size) z[variable - size] = Math.max(0, rows[i][2 * size + 1])
  }
  return z
}

/** Whether xᵀQx is never negative, by elimination along the largest diagonal entries. */
function isConvex(Q) {
  const left = Q.map((row) => [...row])
  const open = new Set(left.keys())
  const small = TOLERANCE * Math.max(1, ...left.flat().map(Math.abs))
  while (open.size > 0) {
    const k = [...open].reduce((best, i) => (left[i][i] > left[best][best] ? i : best))
    if (left[k][k] <= small) {
      return [...open].every(
        (i) => left[i][i] >= -small && [...open].every((j) => i === j || Math.abs(left[i][j]) <= small),
      )
    }
    open.delete(k)
    for (const i of open) for (const j of open) left[i][j] -= (left[i][k] * left[k][j]) / left[k][k]
  }
  return true
}

function dot(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0)
}
