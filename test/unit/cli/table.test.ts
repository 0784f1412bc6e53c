import { describe, expect, test } from 'vitest'
import { formatScore, rankParticipants, renderLeaderboard, renderTable } from '../../../src/cli/table.ts'
import type { ScoredTrial } from '../../../src/cli/table.ts'
import { displayWidth } from '../../../src/cli/text.ts'

/** Trials of one participant; null = failed, undefined = not scored yet. */
function trials(participantId: string, scores: readonly (number | null | undefined)[]): ScoredTrial[] {
  return scores.map((score) => ({
    participantId,
    failed: score === null,
    ...(typeof score === 'number' ? { score } : {}),
  }))
}

describe('renderTable', () => {
  test('aligns columns by what a terminal draws', () => {
    const table = renderTable(
      [{ header: 'name' }, { header: 'n', align: 'right' }, { header: 'note' }],
      [
        ['松本', '1', 'x'],
        ['ｶﾅ', '200', ''],
        ['abc', '30', 'y'],
      ],
    )
    expect(table).toBe(
      ['name    n  note', '----  ---  ----', '松本    1  x', 'ｶﾅ    200', 'abc    30  y'].join('\n'),
    )
  })

  test('keeps every cell on its line, whatever it holds', () => {
    const table = renderTable(
      [{ header: 'a' }, { header: 'b' }],
      [['x\ny', '\u001b[2J'], ['1', '2', '3'], []],
    )
    expect(table.split('\n')).toEqual(['a       b', '------  -------', 'x\\x0ay  \\x1b[2J', '1       2', ''])
  })

  test('cuts long cells', () => {
    expect(renderTable([{ header: 'a', maxWidth: 5 }], [['123456']]).split('\n')[2]).toBe('12...')
  })

  test('has headers without rows', () => {
    expect(renderTable([{ header: 'a' }, { header: 'bc' }], [])).toBe('a  bc\n-  --')
  })
})

describe('rankParticipants', () => {
  const all = [
    ...trials('b', [3, 1, 2]),
    ...trials('a', [5, null, 1]),
    ...trials('c', [null, undefined]),
    ...trials('d', [4, 2]),
    ...trials('e', [0.5]),
  ]

  test('smallest best score first, equals share a rank and the next one skips', () => {
    expect(rankParticipants(all, 'minimize')).toEqual([
      { participantId: 'e', rank: 1, best: 0.5, last: 0.5, trials: 1, failed: 0 },
      { participantId: 'a', rank: 2, best: 1, last: 1, trials: 3, failed: 1 },
      { participantId: 'b', rank: 2, best: 1, last: 2, trials: 3, failed: 0 },
      { participantId: 'd', rank: 4, best: 2, last: 2, trials: 2, failed: 0 },
      { participantId: 'c', trials: 2, failed: 1 },
    ])
  })

  test('largest first to maximise', () => {
    const ranked = rankParticipants(all, 'maximize').map(({ participantId, rank, best }) => [
      participantId,
      rank,
      best,
    ])
    expect(ranked).toEqual([
      ['a', 1, 5],
      ['d', 2, 4],
      ['b', 3, 3],
      ['e', 4, 0.5],
      ['c', undefined, undefined],
    ])
  })

  test('takes NaN for no score and -0 for 0', () => {
    const ranked = rankParticipants(
      [...trials('a', [NaN]), ...trials('b', [-0]), ...trials('c', [0])],
      'minimize',
    )
    expect(ranked.map(({ participantId, rank }) => [participantId, rank])).toEqual([
      ['b', 1],
      ['c', 1],
      ['a', undefined],
    ])
  })

  test('takes names that look like properties of objects', () => {
    expect(rankParticipants(trials('__proto__', [1]), 'minimize')).toMatchObject([{ rank: 1, trials: 1 }])
    expect(rankParticipants([], 'minimize')).toEqual([])
  })
})

describe('renderLeaderboard', () => {
  test('shows rank, participant, scores and counts', () => {
    const standings = rankParticipants(
      [
        ...trials('User#cma-es', [120.5, null, 3.25]),
        ...trials('User#松本', [3.25, 4]),
        ...trials('Team#1', [null]),
      ],
      'minimize',
    )
    expect(`\n${renderLeaderboard(standings)}\n`).toBe(`
rank  participant  best score  trials  failed  last score
----  -----------  ----------  ------  ------  ----------
   1  User#cma-es        3.25       3       1        3.25
   1  User#松本          3.25       2       0           4
   -  Team#1                -       1       1           -
`)
  })

  test('shows as many digits as tell two scores apart', () => {
    const standings = rankParticipants([...trials('a', [1.00000000001]), ...trials('b', [1])], 'minimize')
    expect(renderLeaderboard(standings)).toMatch(/1 {2}b +1 .*\n +2 {2}a +1\.00000000001 /)
    const close = rankParticipants([...trials('a', [0.1 + 0.2]), ...trials('b', [0.3])], 'minimize')
    expect(renderLeaderboard(close)).toContain('0.30000000000000004')
  })

  test('neutralises and cuts hostile names', () => {
    const names = ['\u001b[2J\u001b[H', 'x\n   1  fake  0', 'y'.repeat(1000), 'z\u202e']
    const lines = renderLeaderboard(
      rankParticipants(
        names.flatMap((name) => trials(name, [1])),
        'minimize',
      ),
    ).split('\n')
    expect(lines).toHaveLength(2 + names.length)
    for (const line of lines) {
      expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u)
      expect(displayWidth(line)).toBeLessThan(110)
    }
  })
})

describe('formatScore', () => {
  test.each([
    [0, '0'],
    [-0, '0'],
    [0.1 + 0.2, '0.3'],
    [27059.24999, '27059.2'],
    [12345678, '12345700'],
    [1e22, '1e22'],
    [-1.5e-300, '-1.5e-300'],
    [0.00012345678, '0.000123457'],
    [9.999999999999998e125, '1e126'],
    [NaN, 'NaN'],
    [-Infinity, '-Infinity'],
  ])('%d', (value, expected) => {
    expect(formatScore(value)).toBe(expected)
  })
})
