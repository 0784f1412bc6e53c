import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { planRejudging, rejudge, type RejudgeOutcome, type Selection } from '../../../src/cli/rejudging.ts'
import { flagKey, partitionOf, resultKey, type Trial } from '../../../src/records/keys.ts'
import type { Store } from '../../../src/stores/store.ts'
import { Competition, createRandom, fateOf, scoresInOrder, shuffle, trialNoOf } from './competition.ts'
import { Mortal } from './mortal.ts'

const NEVER = new AbortController().signal

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}

function selectionOf({ matchId, participantId }: Trial, more: Partial<Selection>): Selection {
  return {
    matchId,
    participantId,
    trialNo: undefined,
    kind: undefined,
    failed: false,
    cascade: false,
    ...more,
  }
}

/** What the verb does once it was confirmed. */
async function judgeAgain(
  store: Store,
  selection: Selection,
  send: (kind: 'evaluator' | 'scorer', message: string) => Promise<void>,
): Promise<RejudgeOutcome[]> {
  const outcomes: RejudgeOutcome[] = []
  for (const plan of await planRejudging(store, selection, NEVER)) {
    outcomes.push(await rejudge(store, plan, { cascade: selection.cascade, send }, NEVER))
  }
  return outcomes
}

describe('judging again while two scorers work', () => {
  test.each([1, 2, 3])(
    'gives the scores of a sequential run with the new evaluations (seed %i)',
    async (seed) => {
      const [before, after] = [40, 60]
      const again = new Map([
        [4, 4004],
        [11, 5011],
      ])
      const competition = new Competition(100)
      const random = createRandom(seed)
      competition.indicatorMs = 400
      for (const number of numbers(1, before)) competition.submit(number)
      for (const number of shuffle(numbers(1, before), random)) await competition.evaluate(number)
      for (let n = 0; n < 2; n += 1) void competition.startScorer({ concurrency: 2 })
      while (competition.queue.left().length > 0) await delay(5)
      expect(competition.scores()).toEqual(scoresInOrder(before))

      // Others submit meanwhile.
      const submitting = (async () => {
        for (const number of numbers(before + 1, after)) {
          competition.submit(number)
          await competition.evaluate(number, 2)
          await delay(random() * 8)
        }
      })()
      await delay(random() * 40)
      for (const [number, objective] of again) {
        const selection = selectionOf(competition.trialOf(number), { trialNo: String(number), cascade: true })
        await judgeAgain(competition.store, selection, async (kind, message) => {
          if (kind === 'scorer') await competition.queue.send(message)
          else await delay(20).then(() => competition.evaluate(number, 1, objective))
        })
        await delay(random() * 60)
      }
      await submitting
      await competition.finish()
      expect(competition.scores()).toEqual(scoresInOrder(after, (number) => again.get(number) ?? number))
    },
  )
})

describe('a rejudging that is killed', () => {
  const COUNT = 6
  /** Some of everything: 3 fails in its score, 5 in its evaluation. */
  async function judgedCompetition(): Promise<Competition> {
    const competition = new Competition(100)
    competition.indicatorMs = 0
    for (const number of numbers(1, COUNT)) {
      competition.submit(number)
      await competition.evaluate(number)
    }
    void competition.startScorer()
    await competition.finish()
    expect(competition.scores()).toEqual(scoresInOrder(COUNT))
    return competition
  }

  const has = (competition: Competition, trial: Trial, series: 'Evaluations' | 'Scores'): boolean =>
    [flagKey(series, trial), resultKey(series, 'Success', trial), resultKey(series, 'Failed', trial)].some(
      ({ ID, Trial }) => competition.store.items.has(`${ID}|${Trial}`),
    )

  interface Variant {
    /** Evaluators work off what the killed run has queued. */
    runnersWork: boolean
    /** What the killed run has sent off arrives before the next run, not meanwhile. */
    settles: boolean
  }

  /** Kills a run at one of its calls, has others finish it, and checks what is left. Says whether it died at all. */
  async function killAndFinish(
    more: Partial<Selection>,
    [call, fate]: readonly [number, 'dies before' | 'dies after'],
    { runnersWork, settles }: Variant,
  ): Promise<boolean> {
    const competition = await judgedCompetition()
    const { store } = competition
    const selection = selectionOf(competition.trialOf(1), more)
    const wanted = (await planRejudging(store, selection, NEVER)).flatMap(({ jobs }) => jobs)
    const sent: { kind: string; trialNo: string }[] = []
    const send = async (kind: string, message: string): Promise<void> => {
      const { TrialNo: trialNo = '' } = JSON.parse(message) as Record<string, string>
      sent.push({ kind, trialNo })
      await Promise.resolve()
    }
    async function evaluateSent(): Promise<void> {
      for (const message of sent.splice(0)) {
        const number = Number(message.trialNo)
        if (message.kind === 'evaluator') await competition.evaluate(number, 0, 1000 + number)
        else sent.push(message)
      }
    }

    const died = await new Promise<boolean>((resolve) => {
      const life = new Mortal(
        (made) => (made === call ? fate : 'lives'),
        () => {
          resolve(true)
        },
      )
      const mortalSend = (kind: string, message: string) => life.call(() => send(kind, message))
      void judgeAgain(life.store(store), selection, mortalSend).then(() => {
        resolve(false)
      })
    })
    if (settles) await delay(3)
    if (runnersWork) await evaluateSent()
    const again = runnersWork ? { ...selection, failed: true } : selection
    await judgeAgain(store, again, send)
    if (!settles) {
      await delay(3)
      await judgeAgain(store, again, send)
    }

    const label = `${fate} call ${call}, ${JSON.stringify({ runnersWork, settles })}`
    for (const { trial, kind } of wanted) {
      const isQueued = sent.some((each) => each.kind === kind && each.trialNo === trial.trialNo)
      const hasResult = has(competition, trial, kind === 'evaluator' ? 'Evaluations' : 'Scores')
      // Nothing is lost, and without runners nothing is queued that has a result, which would void its message.
      expect(isQueued || hasResult, `${label}: ${trial.trialNo} is lost`).toBe(true)
      if (!runnersWork) expect(isQueued && hasResult, `${label}: ${trial.trialNo} is void`).toBe(false)
      if (!runnersWork && died) expect(hasResult, `${label}: ${trial.trialNo} was not deleted`).toBe(false)
    }
    await evaluateSent()
    const evaluations = store
      .partition(partitionOf('Evaluations', competition.trialOf(1)))
      .flatMap(({ Trial: key }) => /^(?:Success|Failed)#.*/.exec(key as string)?.[0] ?? [])
    const expected = numbers(1, COUNT).map((number) =>
      fateOf(number) === 'evaluation fails' ? `Failed#${trialNoOf(number)}` : `Success#${trialNoOf(number)}`,
    )
    expect(evaluations, label).toEqual(expected.sort())
    return died
  }

  test.each([
    ['of all', {}],
    ['of what failed', { failed: true }],
    ['of one and all later scores', { trialNo: '2', cascade: true }],
  ] as [string, Partial<Selection>][])(
    'is finished by the next one, wherever it ended: %s',
    async (_, more) => {
      const variants: Variant[] = [
        { runnersWork: false, settles: true },
        { runnersWork: true, settles: true },
        { runnersWork: true, settles: false },
      ]
      let call = 1
      for (; ; call += 1) {
        const deaths: boolean[] = []
        for (const fate of ['dies before', 'dies after'] as const) {
          for (const variant of variants) deaths.push(await killAndFinish(more, [call, fate], variant))
        }
        if (deaths.includes(false)) break
      }
      expect(call).toBeGreaterThan(10)
    },
  )

  test('leaves a result alone that was written after it was shown', async () => {
    const competition = await judgedCompetition()
    const { store } = competition
    const trial = competition.trialOf(5)
    const [plan] = await planRejudging(store, selectionOf(trial, { failed: true }), NEVER)
    if (plan === undefined) throw new Error('there is something that failed')
    // Somebody else judged it again, and it failed again.
    store.drop(resultKey('Evaluations', 'Failed', trial))
    store.drop(flagKey('Evaluations', trial))
    await delay(2)
    await competition.evaluate(5)
    const sent: string[] = []
    const outcome = await rejudge(
      store,
      plan,
      {
        cascade: false,
        send: async (_, message) => {
          sent.push(message)
          await Promise.resolve()
        },
      },
      NEVER,
    )
    expect(outcome.changed.map(({ trial: { trialNo } }) => trialNo)).toEqual(['00005'])
    expect(outcome.queued.map(({ trial: { trialNo } }) => trialNo)).toEqual(['00003'])
    expect(sent).toHaveLength(1)
    expect(has(competition, trial, 'Evaluations')).toBe(true)
  })
})
