import { describe, expect, test } from 'vitest'
import type { Clock } from '../../../src/core/clock.ts'
import { OperatorError } from '../../../src/core/errors.ts'
import { playCompetition } from '../../../src/demo/competition.ts'
import type { CompetitionOptions, Evaluation, PlayedTrial, Score } from '../../../src/demo/competition.ts'
import type { Optimizer } from '../../../src/demo/optimizers/optimizer.ts'
import { createVirtualClock } from './virtual-clock.ts'

/** Asks for 1, 2, 3 … and writes down what it is told. */
function countingOptimizer(): Optimizer & { told: [number, number][] } {
  let count = 0
  const told: [number, number][] = []
  return {
    told,
    ask: () => [(count += 1)],
    tell: ([x = NaN], objective) => {
      told.push([x, objective])
    },
  }
}

interface Backend extends Pick<CompetitionOptions, 'submit' | 'evaluationOf' | 'scoreOf'> {
  /** `submit a 00001`, in order. */
  calls: string[]
}

/**
 * Evaluates and scores each trial some time after it was handed in: objective 10 × variable, score = the trial's
 * own number.
 */
function createBackend(clock: Clock, overrides: Partial<Backend> = {}): Backend {
  const calls: string[] = []
  const trials = new Map<string, { variable: number; at: number }[]>()

  function trialOf(participantId: string, trialNo: string): { variable: number; ageMs: number } {
    const trial = trials.get(participantId)?.[Number(trialNo) - 1]
    if (trial === undefined) throw new Error(`nobody has handed in ${trialNo}`)
    return { variable: trial.variable, ageMs: clock.now() - trial.at }
  }

  return {
    calls,
    async submit(participantId, [variable = NaN]) {
      await clock.sleep(1)
      const list = trials.get(participantId) ?? []
      trials.set(participantId, list)
      list.push({ variable, at: clock.now() })
      const trialNo = String(list.length).padStart(5, '0')
      calls.push(`submit ${participantId} ${trialNo}`)
      return trialNo
    },
    evaluationOf(participantId, trialNo) {
      const { variable, ageMs } = trialOf(participantId, trialNo)
      const evaluation: Evaluation = { status: 'Success', objective: 10 * variable }
      return Promise.resolve(ageMs < 300 ? undefined : evaluation)
    },
    scoreOf(participantId, trialNo) {
      const score: Score = { status: 'Success', value: Number(trialNo) }
      return Promise.resolve(trialOf(participantId, trialNo).ageMs < 2000 ? undefined : score)
    },
    ...overrides,
  }
}

const never = new Promise<never>(() => undefined)

describe('playCompetition', () => {
  test('plays every trial of every participant and returns them in order', async () => {
    const clock = createVirtualClock()
    const optimizers = [countingOptimizer(), countingOptimizer()] as const
    const participants = [
      { id: 'b', optimizer: optimizers[0] },
      { id: 'a', optimizer: optimizers[1] },
    ]
    const played = await playCompetition({ ...createBackend(clock), participants, trials: 3, clock })
    const expected = ['b', 'a'].flatMap((participantId) =>
      [1, 2, 3].map((number) => ({
        participantId,
        trialNo: `0000${number}`,
        variable: [number],
        evaluation: { status: 'Success', objective: 10 * number },
        score: { status: 'Success', value: number },
      })),
    )
    expect(played).toEqual(expected)
    for (const { told } of optimizers) {
      expect(told).toEqual([
        [1, 10],
        [2, 20],
        [3, 30],
      ])
    }
  })

  test('hands in no solution before the one before it is told, and waits for no score in between', async () => {
    const clock = createVirtualClock()
    const steps: string[] = []
    function onProgress(trial: PlayedTrial): void {
      const step =
        trial.score !== undefined ? 'scored' : trial.evaluation !== undefined ? 'evaluated' : 'submitted'
      steps.push(`${step} ${trial.trialNo}`)
    }
    const participants = [{ id: 'a', optimizer: countingOptimizer() }]
    await playCompetition({ ...createBackend(clock), participants, trials: 3, clock, onProgress })
    const handedIn = steps.filter((step) => !step.startsWith('scored'))
    expect(handedIn).toEqual([1, 2, 3].flatMap((n) => [`submitted 0000${n}`, `evaluated 0000${n}`]))
    expect(steps.indexOf('scored 00001')).toBeGreaterThan(steps.indexOf('submitted 00003'))
    expect(steps.filter((step) => step.startsWith('scored'))).toHaveLength(3)
  })

  test('plays participants at the same time', async () => {
    const clock = createVirtualClock()
    const backend = createBackend(clock)
    const participants = ['a', 'b'].map((id) => ({ id, optimizer: countingOptimizer() }))
    await playCompetition({ ...backend, participants, trials: 3, clock })
    expect(backend.calls.slice(0, 4).toSorted()).toEqual([
      'submit a 00001',
      'submit a 00002',
      'submit b 00001',
      'submit b 00002',
    ])
  })

  test('tells a failed trial and one without an objective as worst, and goes on', async () => {
    const clock = createVirtualClock()
    const asked: string[] = []
    const backend = createBackend(clock)
    const optimizer = countingOptimizer()
    const played = await playCompetition({
      ...backend,
      async evaluationOf(id, trialNo, signal) {
        if (trialNo === '00001') return { status: 'Failed', message: 'out of memory' }
        if (trialNo === '00002') return { status: 'Success', objective: null }
        return backend.evaluationOf(id, trialNo, signal)
      },
      scoreOf(_, trialNo) {
        asked.push(trialNo)
        return Promise.resolve({ status: 'Failed', message: 'no' })
      },
      participants: [{ id: 'a', optimizer }],
      trials: 3,
      clock,
    })
    expect(optimizer.told).toEqual([
      [1, NaN],
      [2, NaN],
      [3, 30],
    ])
    expect(asked).not.toContain('00001')
    expect(played[0]).not.toHaveProperty('score')
    expect(played[0]?.evaluation).toEqual({ status: 'Failed', message: 'out of memory' })
    expect(played[2]?.score).toEqual({ status: 'Failed', message: 'no' })
  })

  test.each<[string, Partial<Backend>, RegExp]>([
    [
      'no evaluation comes',
      { evaluationOf: () => Promise.resolve(undefined) },
      /b waits for the evaluation of trial 00001/,
    ],
    [
      'an evaluation is never answered',
      { evaluationOf: () => never },
      /a waits for the evaluation of trial 00001/,
    ],
    ['no score comes', { scoreOf: () => Promise.resolve(undefined) }, /a waits for the score of trial 00001/],
    ['a hand-in is never answered', { submit: () => never }, /a hands in solution 1; b hands in solution 1/],
  ])('ends with a clear error when %s', async (_, overrides, why) => {
    const clock = createVirtualClock()
    const participants = ['a', 'b'].map((id) => ({ id, optimizer: countingOptimizer() }))
    const backend = createBackend(clock, overrides)
    const playing = playCompetition({ ...backend, participants, trials: 2, clock, stallTimeoutMs: 5000 })
    const error = await playing.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(OperatorError)
    expect(error).toMatchObject({
      what: 'The competition has stalled: nothing happened for 5 s',
      why: expect.stringMatching(why) as string,
    })
    expect(clock.now()).toBeGreaterThanOrEqual(5000)
    expect(clock.now()).toBeLessThan(8000)
  })

  test('goes on for longer than the timeout as long as something moves', async () => {
    const clock = createVirtualClock()
    const participants = [{ id: 'a', optimizer: countingOptimizer() }]
    const backend = createBackend(clock)
    const played = await playCompetition({
      ...backend,
      participants,
      trials: 30,
      clock,
      stallTimeoutMs: 3000,
    })
    expect(played).toHaveLength(30)
    expect(clock.now()).toBeGreaterThan(9000)
  })

  test.each(['submit', 'evaluationOf', 'scoreOf'] as const)(
    'ends with the error of %s, and all others with it',
    async (port) => {
      const clock = createVirtualClock()
      const backend = createBackend(clock)
      const original = backend[port].bind(backend) as (...args: unknown[]) => Promise<never>
      let calls = 0
      const failing = {
        ...backend,
        [port]: (...args: unknown[]): Promise<never> => {
          calls += 1
          return calls === 3 ? Promise.reject(new Error('the table is gone')) : original(...args)
        },
      }
      const participants = ['a', 'b'].map((id) => ({ id, optimizer: countingOptimizer() }))
      await expect(playCompetition({ ...failing, participants, trials: 20, clock })).rejects.toThrow(
        'the table is gone',
      )
      const submitted = backend.calls.length
      await clock.sleep(60_000)
      expect(backend.calls.length).toBeLessThanOrEqual(submitted + 1)
      expect(submitted).toBeLessThan(40)
    },
  )

  test('ends with the reason of its signal, before and while it plays', async () => {
    const clock = createVirtualClock()
    const participants = [{ id: 'a', optimizer: countingOptimizer() }]
    const ending = new AbortController()
    const options = { ...createBackend(clock), participants, trials: 5, clock, signal: ending.signal }
    const playing = playCompetition({
      ...options,
      onProgress: ({ trialNo }) => {
        if (trialNo === '00002') ending.abort(new Error('ctrl-c'))
      },
    })
    await expect(playing).rejects.toThrow('ctrl-c')
    const backend = createBackend(clock)
    await expect(playCompetition({ ...options, ...backend })).rejects.toThrow('ctrl-c')
    expect(backend.calls).toEqual([])
  })

  test.each([
    [{ participants: [] }],
    [{ trials: 0 }],
    [{ trials: 1.5 }],
    [{ participants: ['a', 'a'].map((id) => ({ id, optimizer: countingOptimizer() })) }],
  ])('refuses %j', async (wrong) => {
    const clock = createVirtualClock()
    const participants = [{ id: 'a', optimizer: countingOptimizer() }]
    const options = { ...createBackend(clock), participants, trials: 1, clock, ...wrong }
    await expect(playCompetition(options)).rejects.toThrow(RangeError)
  })
})
