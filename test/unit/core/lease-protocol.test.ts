import { describe, expect, it } from 'vitest'
import { explore } from '../../model/explore.ts'

const BOUNDS = { runners: 2, messages: 2, guards: 1, tokens: 3 }

describe('the lease and settle protocol, over all interleavings', { timeout: 120_000 }, () => {
  it('never doubles a result, never lets a fenced runner write, and never loses a job', () => {
    const { states, violations, lost, stuck } = explore(BOUNDS)
    expect(states).toBeGreaterThan(10_000)
    expect(violations).toEqual([])
    expect(lost).toEqual([])
    expect(stuck).toEqual([])
  })

  it.each([
    ['a message is deleted before its copy is sent', { deletesFirst: true }, 'lost'],
    [
      'another guard number counts as out of date, not only a smaller one',
      { comparesByInequality: true },
      'lost',
    ],
    ['a result is written without looking at the record', { ignoresRecord: true }, 'violations'],
  ] as const)('would be found wrong if %s', (_what, mutation, where) => {
    expect(explore(BOUNDS, mutation)[where]).not.toEqual([])
  })
})
