import { at } from './optimizer.ts'

/** `values[k]` belongs to the unit vector `vectors[k]`; the vectors are orthogonal to each other. */
export interface Eigen {
  values: number[]
  vectors: number[][]
}

const MOST_SWEEPS = 50

/**
 * Eigenvalues and eigenvectors of a symmetric matrix by Jacobi's method: plane rotations, each of which makes one
 * pair of off-diagonal elements zero, until all are.
 */
export function symmetricEigen(matrix: readonly (readonly number[])[]): Eigen {
  const n = matrix.length
  const a = matrix.map((row) => [...row])
  const vectors = a.map((_, i) => a.map((_, j) => (i === j ? 1 : 0)))
  const scale = Math.max(...a.flat().map(Math.abs))
  for (let sweep = 0; sweep < MOST_SWEEPS && largestOffDiagonal(a) > 1e-15 * scale; sweep += 1) {
    for (let p = 0; p < n - 1; p += 1) {
      for (let q = p + 1; q < n; q += 1) rotate(a, vectors, p, q)
    }
  }
  return { values: a.map((row, i) => at(row, i)), vectors }
}

/** Turns the plane of axes p and q so that a[p][q] becomes 0. */
function rotate(a: number[][], vectors: number[][], p: number, q: number): void {
  const rowP = at(a, p)
  const rowQ = at(a, q)
  const pq = at(rowP, q)
  if (pq === 0) return
  const theta = (at(rowQ, q) - at(rowP, p)) / (2 * pq)
  // The smaller of the two angles that do it, which keeps the method stable.
  const tangent = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1))
  const cosine = 1 / Math.hypot(tangent, 1)
  const sine = tangent * cosine
  for (const row of a) mix(row, p, row, q, cosine, sine)
  for (let k = 0; k < a.length; k += 1) mix(rowP, k, rowQ, k, cosine, sine)
  rowP[q] = 0
  rowQ[p] = 0
  const vectorP = at(vectors, p)
  const vectorQ = at(vectors, q)
  for (let k = 0; k < a.length; k += 1) mix(vectorP, k, vectorQ, k, cosine, sine)
}

function mix(first: number[], i: number, second: number[], j: number, cosine: number, sine: number): void {
  const x = at(first, i)
  const y = at(second, j)
  first[i] = cosine * x - sine * y
  second[j] = sine * x + cosine * y
}

function largestOffDiagonal(a: readonly (readonly number[])[]): number {
  let largest = 0
  for (const [i, row] of a.entries()) {
    for (const [j, value] of row.entries()) if (i !== j) largest = Math.max(largest, Math.abs(value))
  }
  return largest
}
