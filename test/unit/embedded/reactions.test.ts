import { expect, test } from 'vitest'
import { createReactions } from '../../../src/embedded/reactions.ts'

function reactionTo(after: Record<string, unknown>, table = 'opthub'): unknown {
  let sent: unknown
  const react = createReactions('opthub', (queue, body) => {
    sent = { queue, body: JSON.parse(body) as unknown }
    return { writes: [], publish: () => undefined }
  })
  react({ table, before: undefined, after })
  return sent
}

const S = (text: string): { S: string } => ({ S: text })

test('a solution and a successful evaluation send their key', () => {
  expect(reactionTo({ ID: S('Solutions#Match#m#Team#1'), Trial: S('00001') })).toEqual({
    queue: 'evaluator',
    body: { MatchID: 'm', ParticipantID: 'Team#1', TrialNo: '00001' },
  })
  expect(reactionTo({ ID: S('Evaluations#Match#m#User#x'), Trial: S('Success#00001') })).toEqual({
    queue: 'scorer',
    body: { MatchID: 'm', ParticipantID: 'User#x', TrialNo: '00001' },
  })
})

test.each([
  { ID: S('Solutions#Match#m#Team#1'), Trial: S('00001'), IgnoreStream: { BOOL: true } },
  { ID: S('Solutions#Match#m#Team#1'), Trial: S('00001'), ResourceType: S('Draft') },
  { ID: S('Solutions#m#Team#1'), Trial: S('00001') },
  { ID: S('Solutions#Match#m'), Trial: S('00001') },
  { ID: S('Evaluations#Match#m#Team#1'), Trial: S('00001') },
  { ID: S('Evaluations#Match#m#Team#1'), Trial: S('Success#') },
  { ID: S('Evaluations#Match#m#Team#1'), Trial: S('Failed#00001') },
  { ID: S('Scores#Match#m#Team#1'), Trial: S('Success#00001') },
  { ID: { N: '1' }, Trial: S('00001') },
  {},
])('%j sends nothing', (item) => {
  expect(reactionTo(item)).toBeUndefined()
})

test('other tables send nothing', () => {
  expect(reactionTo({ ID: S('Solutions#Match#m#Team#1'), Trial: S('00001') }, 'other')).toBeUndefined()
})
