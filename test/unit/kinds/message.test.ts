import { describe, expect, it } from 'vitest'
import { PoisonError } from '../../../src/core/errors.ts'
import { formatTrialMessage, identifyTrial, parseTrialMessage } from '../../../src/kinds/message.ts'

const GOOD = { MatchID: '0b0f7f0c-58b1-4ce5-a5d4-6e5f1f3f6f11', ParticipantID: 'Team#1', TrialNo: '00001' }

function bodyWith(changes: Record<string, unknown>): string {
  return JSON.stringify({ ...GOOD, ...changes })
}

describe('parseTrialMessage', () => {
  it('reads the three keys and passes others over, whatever they hold', () => {
    expect(parseTrialMessage(JSON.stringify({ ...GOOD, More: [1, { a: null }] }))).toEqual({
      matchId: GOOD.MatchID,
      participantId: 'Team#1',
      trialNo: '00001',
    })
    expect(parseTrialMessage(`{"x": NaN, ${JSON.stringify(GOOD).slice(1)}`).trialNo).toBe('00001')
  })

  it('takes the key form of a match id for the bare one', () => {
    expect(parseTrialMessage(bodyWith({ MatchID: `Match#${GOOD.MatchID}` })).matchId).toBe(GOOD.MatchID)
  })

  it('takes the last of doubled keys, as other readers do', () => {
    expect(parseTrialMessage(`${JSON.stringify(GOOD).slice(0, -1)}, "TrialNo": "00002"}`).trialNo).toBe(
      '00002',
    )
  })

  it.each([
    ['', /not JSON/],
    ['hello', /not JSON/],
    ['{"MatchID": "a"', /not JSON/],
    ['[]', /not a JSON object/],
    ['null', /not a JSON object/],
    ['"text"', /not a JSON object/],
    ['[['.repeat(100_000), /not JSON/],
    ['{}', /MatchID is missing/],
    ['{"__proto__": {"MatchID": "a"}}', /MatchID is missing/],
    [bodyWith({ ParticipantID: undefined }), /ParticipantID is missing/],
    [bodyWith({ TrialNo: undefined }), /TrialNo is missing/],
    [bodyWith({ TrialNo: 1 }), /TrialNo must be a string/],
    [bodyWith({ MatchID: null }), /MatchID must be a string/],
    [bodyWith({ ParticipantID: ['Team#1'] }), /ParticipantID must be a string/],
    [bodyWith({ MatchID: '' }), /MatchID is empty/],
    [bodyWith({ ParticipantID: '' }), /ParticipantID is empty/],
    [bodyWith({ TrialNo: '' }), /TrialNo is empty/],
    [bodyWith({ MatchID: 'a#b' }), /MatchID must be/],
    [bodyWith({ MatchID: '../../etc' }), /MatchID must be/],
    [bodyWith({ MatchID: 'a\nb' }), /MatchID must be/],
    [bodyWith({ ParticipantID: 'a\nb' }), /control characters/],
    [bodyWith({ ParticipantID: '\ud800' }), /broken Unicode/],
    [bodyWith({ ParticipantID: 'あ'.repeat(400) }), /longer than/],
    [bodyWith({ TrialNo: '1.5' }), /decimal digits/],
    [bodyWith({ TrialNo: '-1' }), /decimal digits/],
    [bodyWith({ TrialNo: '٣' }), /decimal digits/],
    [bodyWith({ TrialNo: '1'.repeat(20) }), /decimal digits/],
    [bodyWith({ TrialNo: '00001\n' }), /decimal digits/],
  ])('refuses %.60s', (body, text) => {
    expect(() => parseTrialMessage(body)).toThrow(PoisonError)
    expect(() => parseTrialMessage(body)).toThrow(text)
  })

  it('is undone by formatTrialMessage', () => {
    expect(JSON.parse(formatTrialMessage(parseTrialMessage(JSON.stringify(GOOD))))).toEqual(GOOD)
  })
})

describe('identifyTrial', () => {
  it('names a trial uniquely, and shortly for container names', () => {
    const trial = parseTrialMessage(JSON.stringify(GOOD))
    expect(identifyTrial(trial)).toMatchObject({
      id: `${GOOD.MatchID}#Team#1#00001`,
      shortId: '0b0f7f0c-Team-1-00001',
    })
  })

  it.each(['###', 'あいう', '-', 'x'.repeat(1000), 'a/b:c d'])(
    'makes %.20s fit for a name',
    (participantId) => {
      const { shortId } = identifyTrial({ matchId: 'm', participantId, trialNo: '0'.repeat(31) + '1' })
      expect(shortId).toMatch(/^[A-Za-z0-9][A-Za-z0-9-]{0,60}$/)
    },
  )
})
