import { describe, expect, test } from 'vitest'
import { createRandom } from '../../../src/demo/optimizers/random.ts'
import { symmetricEigen } from '../../../src/demo/optimizers/symmetric-eigen.ts'

describe('createRandom', () => {
  const draw = (count: number, seed: number, kind: 'uniform' | 'normal'): number[] => {
    const random = createRandom(seed)
    return Array.from({ length: count }, () => random[kind]())
  }
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length

  test('is the same for the same seed and differs between neighbours', () => {
    const [one, same, other] = [1, 1, 2].map((seed) => draw(20, seed, 'uniform'))
    expect(same).toEqual(one)
    expect(other).not.toEqual(one)
  })

  test('is uniform in [0, 1) and uncorrelated', () => {
    const values = draw(100_000, 3, 'uniform')
    expect(values.every((value) => value >= 0 && value < 1)).toBe(true)
    expect(mean(values)).toBeCloseTo(0.5, 2)
    expect(mean(values.map((value) => (value - 0.5) ** 2))).toBeCloseTo(1 / 12, 2)
    expect(mean(values.slice(1).map((value, i) => (value - 0.5) * ((values[i] ?? 0) - 0.5)))).toBeCloseTo(
      0,
      2,
    )
    const counts = Array.from(
      { length: 10 },
      (_, k) => values.filter((value) => Math.floor(value * 10) === k).length,
    )
    expect(counts.every((count) => Math.abs(count - 10_000) < 500)).toBe(true)
  })

  test('is normal with mean 0, deviation 1 and the right tails', () => {
    const values = draw(100_000, 4, 'normal')
    expect(values.every(Number.isFinite)).toBe(true)
    expect(mean(values)).toBeCloseTo(0, 1)
    expect(mean(values.map((value) => value ** 2))).toBeCloseTo(1, 1)
    const outer = values.filter((value) => Math.abs(value) > 2).length / values.length
    expect(outer).toBeCloseTo(0.0455, 2)
  })

  test('permutes every number once, each place alike', () => {
    const random = createRandom(5)
    const firsts = [0, 0, 0, 0]
    for (let round = 0; round < 4000; round += 1) {
      const order = random.permutation(4)
      expect(order.toSorted()).toEqual([0, 1, 2, 3])
      const first = order[0] ?? 0
      firsts[first] = (firsts[first] ?? 0) + 1
    }
    expect(firsts.every((count) => Math.abs(count - 1000) < 150)).toBe(true)
    expect(random.permutation(0)).toEqual([])
  })
})

describe('symmetricEigen', () => {
  function multiply(matrix: readonly (readonly number[])[], vector: readonly number[]): number[] {
    return matrix.map((row) => row.reduce((sum, value, i) => sum + value * (vector[i] ?? 0), 0))
  }

  test.each([1, 2, 5, 12, 30])('decomposes random matrices of %i dimensions', (n) => {
    const random = createRandom(n)
    const half = Array.from({ length: n }, () => Array.from({ length: n }, () => random.normal()))
    const matrix = half.map((row, i) => row.map((value, j) => value + (half[j]?.[i] ?? 0)))
    const { values, vectors } = symmetricEigen(matrix)
    for (const [k, vector] of vectors.entries()) {
      expect(Math.hypot(...vector)).toBeCloseTo(1, 10)
      const image = multiply(matrix, vector)
      for (const [i, value] of image.entries())
        expect(value).toBeCloseTo((values[k] ?? NaN) * (vector[i] ?? NaN), 9)
      for (const other of vectors.slice(k + 1)) {
        expect(other.reduce((sum, value, i) => sum + value * (vector[i] ?? 0), 0)).toBeCloseTo(0, 10)
      }
    }
  })

  test('knows the eigenvalues of a small matrix', () => {
    const { values } = symmetricEigen([
      [2, 1],
      [1, 2],
    ])
    expect(values.toSorted((a, b) => a - b).map((value) => Number(value.toFixed(12)))).toEqual([1, 3])
  })

  test('keeps small eigenvalues beside large ones, and takes the zero matrix', () => {
    const { values } = symmetricEigen([
      [1e12, 1e3],
      [1e3, 1],
    ])
    expect(Math.max(...values) / 1e12).toBeCloseTo(1, 9)
    expect(symmetricEigen([[0, 0], [0, 0]]).values).toEqual([0, 0]) // prettier-ignore
    expect(symmetricEigen([])).toEqual({ values: [], vectors: [] })
  })
})
