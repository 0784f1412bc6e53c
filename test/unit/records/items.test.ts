import { describe, expect, it } from 'vitest'
import { ExactNumber } from '../../../src/core/exact-number.ts'
import { formatPythonJson, fromPlain, parseJson, type Json } from '../../../src/core/json.ts'
import {
  evaluationItem,
  evaluationJson,
  readEvaluation,
  type Evaluation,
} from '../../../src/records/evaluation.ts'
import { flagKey, resultKey, solutionKey } from '../../../src/records/keys.ts'
import { failedItem, flagItem, readResultHead } from '../../../src/records/result.ts'
import { historyEntryJson, readScore, scoreItem } from '../../../src/records/score.ts'
import { readVariable, solutionItem } from '../../../src/records/solution.ts'

const TRIAL = { matchId: 'uuid', participantId: 'Team#1', trialNo: '00007' }
const SPAN = {
  startedAt: new Date('2026-11-20T09:30:00.123Z'),
  finishedAt: new Date('2026-11-20T09:30:01Z'),
  createdAt: new Date('2026-11-20T18:30:02.5+09:00'),
}
const EVALUATION: Evaluation = {
  objective: [ExactNumber.parse('0.1')],
  constraint: null,
  info: fromPlain({ ok: true }),
  feasible: false,
}
const HEAD = {
  TrialNo: '00007',
  MatchID: 'Match#uuid',
  CreatedAt: '2026-11-20T09:30:02.500Z',
  ParticipantID: 'Team#1',
  StartedAt: '2026-11-20T09:30:00.123Z',
  FinishedAt: '2026-11-20T09:30:01.000Z',
}

describe('items as the table has them', () => {
  it('a successful evaluation', () => {
    expect(evaluationItem(TRIAL, SPAN, EVALUATION)).toEqual({
      ...HEAD,
      ID: 'Evaluations#Match#uuid#Team#1',
      Trial: 'Success#00007',
      ResourceType: 'Evaluation',
      Status: 'Success',
      Objective: [ExactNumber.parse('0.1')],
      Constraint: null,
      Info: new Map([['ok', true]]),
      Feasible: false,
      IgnoreStream: false,
    })
  })

  it('a failed evaluation', () => {
    const texts = { errorMessage: 'why', adminErrorMessage: 'why, in depth' }
    expect(failedItem('Evaluations', TRIAL, SPAN, texts)).toEqual({
      ...HEAD,
      ID: 'Evaluations#Match#uuid#Team#1',
      Trial: 'Failed#00007',
      ResourceType: 'Evaluation',
      Status: 'Failed',
      ErrorMessage: 'why',
      AdminErrorMessage: 'why, in depth',
      IgnoreStream: false,
    })
  })

  it('a successful and a failed score', () => {
    const value = ExactNumber.parse('1e22')
    expect(scoreItem(TRIAL, SPAN, value)).toEqual({
      ...HEAD,
      ID: 'Scores#Match#uuid#Team#1',
      Trial: 'Success#00007',
      ResourceType: 'Score',
      Status: 'Success',
      Value: value,
      IgnoreStream: false,
    })
    expect(failedItem('Scores', TRIAL, SPAN, { errorMessage: '', adminErrorMessage: 'x' })).toMatchObject({
      ID: 'Scores#Match#uuid#Team#1',
      Trial: 'Failed#00007',
      ResourceType: 'Score',
      ErrorMessage: '',
    })
  })

  it('a flag, and nothing else in it', () => {
    expect(flagItem('Scores', TRIAL)).toEqual({
      ID: 'Scores#Match#uuid#Team#1',
      Trial: '00007',
      IgnoreStream: true,
    })
    expect(flagKey('Evaluations', TRIAL)).toEqual({ ID: 'Evaluations#Match#uuid#Team#1', Trial: '00007' })
  })

  it('a solution, which its streams react to', () => {
    const submission = { userId: 'User#1', variable: fromPlain([1, 2]), createdAt: SPAN.createdAt }
    const item = solutionItem(TRIAL, submission)
    expect(item).toEqual({
      ID: 'Solutions#Match#uuid#Team#1',
      Trial: '00007',
      TrialNo: '00007',
      ResourceType: 'Solution',
      MatchID: 'Match#uuid',
      CreatedAt: HEAD.CreatedAt,
      ParticipantID: 'Team#1',
      UserID: 'User#1',
      Variable: submission.variable,
    })
    expect(readVariable(item)).toBe(submission.variable)
    expect(readVariable({})).toBeUndefined()
    expect(solutionKey(TRIAL)).toEqual({ ID: item['ID'], Trial: item['Trial'] })
  })

  it('error texts of 16384 code points, no character split', () => {
    const texts = { errorMessage: '🎉'.repeat(20_000), adminErrorMessage: `a\ud800b` }
    const item = failedItem('Scores', TRIAL, SPAN, texts)
    const stored = item['ErrorMessage'] as string
    expect(Array.from(stored).length).toBeLessThanOrEqual(16_384)
    expect(Array.from(stored).length).toBeGreaterThan(16_000)
    expect(stored).toMatch(/^(🎉)+\n\.\.\. Content omitted for length \.\.\.\n(🎉)+$/u)
    expect(item['AdminErrorMessage']).toBe('a\ufffdb')
  })
})

describe('reading items back', () => {
  it('reads what it wrote', () => {
    expect(readEvaluation(evaluationItem(TRIAL, SPAN, EVALUATION))).toEqual(EVALUATION)
    expect(readScore(scoreItem(TRIAL, SPAN, ExactNumber.of(2)))).toEqual(ExactNumber.of(2))
  })

  it('reads evaluations of other writers, with attributes left out', () => {
    expect(readEvaluation({ Objective: ExactNumber.of(1) })).toEqual({
      objective: ExactNumber.of(1),
      constraint: null,
      info: new Map<string, Json>(),
      feasible: null,
    })
    expect(readEvaluation({ Info: null, Feasible: 'yes' })).toMatchObject({ info: null, feasible: null })
    expect(readScore({ Value: 'high' })).toBeUndefined()
  })

  it('gives images numbers as Python prints floats', () => {
    const item = { Objective: parseJson('[1, 10000000000000000000000, 0.10]'), Feasible: true }
    expect(formatPythonJson(evaluationJson(readEvaluation(item)))).toBe(
      '{"objective": [1.0, 1e+22, 0.1], "constraint": null, "info": {}, "feasible": true}',
    )
    expect(formatPythonJson(historyEntryJson('00003', readEvaluation(item), ExactNumber.of(5)))).toBe(
      '{"trial_no": "00003", "objective": [1.0, 1e+22, 0.1], "constraint": null, "info": {}, "feasible": true, "score": 5.0}',
    )
  })

  it('knows results from flags', () => {
    const failed = failedItem('Scores', TRIAL, SPAN, { errorMessage: 'a', adminErrorMessage: 'b' })
    expect(readResultHead(failed)).toEqual({
      status: 'Failed',
      trialNo: '00007',
      startedAt: HEAD.StartedAt,
      finishedAt: HEAD.FinishedAt,
      createdAt: HEAD.CreatedAt,
      errorMessage: 'a',
      adminErrorMessage: 'b',
    })
    expect(readResultHead({ Trial: resultKey('Scores', 'Success', TRIAL).Trial })).toMatchObject({
      status: 'Success',
      trialNo: '00007',
      errorMessage: '',
    })
    expect(readResultHead(flagItem('Scores', TRIAL))).toBeUndefined()
    expect(readResultHead({})).toBeUndefined()
  })
})
