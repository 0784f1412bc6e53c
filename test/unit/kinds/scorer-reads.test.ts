import { describe, expect, it } from 'vitest'
import { ExactNumber } from '../../../src/core/exact-number.ts'
import { fromPlain } from '../../../src/core/json.ts'
import { createScorer } from '../../../src/kinds/scorer/handler.ts'
import { Histories } from '../../../src/kinds/scorer/history.ts'
import { evaluationItem } from '../../../src/records/evaluation.ts'
import { flagItem } from '../../../src/records/result.ts'
import { scoreItem } from '../../../src/records/score.ts'
import { solutionItem } from '../../../src/records/solution.ts'
import { PagedStore } from '../../support/paged-store.ts'
import { addSolution, createWorld, trialOf, work, type World } from './harness.ts'
import { addFailure, addScored, addTrial, COUNT, historyIn, lastHistory } from './scorer-trials.ts'

const NEVER = new AbortController().signal
const NOW = new Date('2026-11-20T09:30:00.000Z')
const SPAN = { startedAt: NOW, finishedAt: NOW, createdAt: NOW }
/** What a long participation needs for its numbers. */
const nameOf = (number: number): string => String(number).padStart(5, '0')

function submit(store: PagedStore, number: number): void {
  const trial = trialOf(nameOf(number))
  const evaluation = {
    objective: ExactNumber.of(number),
    constraint: null,
    info: fromPlain({}),
    feasible: null,
  }
  store.add(solutionItem(trial, { userId: 'User#1', variable: fromPlain([0.5]), createdAt: NOW }))
  store.add(evaluationItem(trial, SPAN, evaluation))
  store.add(flagItem('Evaluations', trial))
}

function score(store: PagedStore, number: number): void {
  const trial = trialOf(nameOf(number))
  store.add(scoreItem(trial, SPAN, ExactNumber.of(number)))
  store.add(flagItem('Scores', trial))
}

/** What a scorer asks the table for to score trials `from` to `from + 4`, once it knows the participant. */
async function readsAt(from: number): Promise<number[]> {
  const store = new PagedStore()
  for (let number = 1; number < from - 1; number += 1) {
    submit(store, number)
    score(store, number)
  }
  const world = createWorld(COUNT)
  const scorer = createScorer({ ...world.services, store })
  const reads: number[] = []
  for (let number = from - 1; number < from + 5; number += 1) {
    submit(store, number)
    const before = store.requests
    expect(await work(scorer, trialOf(nameOf(number)), world)).toBe('succeeded')
    expect(historyIn(world.inputs.at(-1))).toHaveLength(number - 1)
    reads.push(store.requests - before)
  }
  return reads.slice(1)
}

describe('what a scorer reads', () => {
  it('is the same at every trial, the 20,000th, too', { timeout: 120_000 }, async () => {
    const atTen = await readsAt(10)
    expect(new Set(atTen).size).toBe(1)
    expect(atTen[0]).toBeLessThanOrEqual(9)
    for (const trial of [100, 1000, 20_000]) expect(await readsAt(trial)).toEqual(atTen)
  })

  it('is two queries when all went well, however many solutions there are', async () => {
    const world = createWorld(COUNT)
    addScored(world, 300)
    const queried: string[] = []
    world.store.before = (call, key) => {
      if (call === 'query') queried.push(key.split('#')[0] ?? '')
    }
    await work(createScorer(world.services), addTrial(world, '00301'), world)
    // Number 0 is the only one that could still be there.
    expect(queried.filter((series) => series === 'Solutions')).toHaveLength(1)
    expect(world.store.itemsRead).toBe(600)
  })

  it('is bounded when every other trial failed', async () => {
    const world = createWorld(COUNT)
    addScored(world, 200)
    for (let number = 2; number <= 200; number += 2) {
      const trial = trialOf(nameOf(number))
      for (const Trial of [`Success#${trial.trialNo}`, trial.trialNo]) {
        for (const series of ['Evaluations', 'Scores'] as const)
          world.store.drop({ ID: `${series}#Match#${trial.matchId}#${trial.participantId}`, Trial })
      }
      addFailure(world, 'Evaluations', trial)
    }
    const scorer = createScorer(world.services)
    await work(scorer, addTrial(world, '00201'), world)
    expect(lastHistory(world)).toHaveLength(100)
    // 8 ranges with 5 queries each, 2 for the successes, 1 each for the rejudging, read twice.
    expect(world.store.queries).toBeLessThanOrEqual(44)
    const before = world.store.queries
    await work(scorer, addTrial(world, '00202'), world)
    expect(world.store.queries - before).toBeLessThanOrEqual(4)
  })

  it('is only what is near the gap when one trial is missing among many', async () => {
    const world = createWorld(COUNT)
    addScored(world, 300)
    const hole = trialOf('00150')
    for (const series of ['Evaluations', 'Scores'] as const) {
      for (const Trial of ['Success#00150', '00150'])
        world.store.drop({ ID: `${series}#Match#${hole.matchId}#${hole.participantId}`, Trial })
    }
    await expect(work(createScorer(world.services), addTrial(world, '00301'), world)).rejects.toThrow('00150')
    expect(world.store.itemsRead).toBe(2 * 299 + 1)
  })
})

describe('what a scorer remembers', () => {
  /** Participants of 100 trials each, read one after the other, again and again. */
  async function readInTurn(maxBytes: number, rounds: number): Promise<{ world: World; perRound: number[] }> {
    const world = createWorld(COUNT)
    const histories = new Histories(world.store, world.clock, maxBytes)
    const teams = ['Team#1', 'Team#2', 'Team#3']
    for (const team of teams) {
      for (let number = 1; number <= 100; number += 1) {
        const trial = trialOf(nameOf(number), team)
        addSolution(world, trial)
        const [evaluation, flag] = [
          evaluationItem(trial, SPAN, { objective: null, constraint: null, info: null, feasible: null }),
          flagItem('Evaluations', trial),
        ]
        for (const item of [
          evaluation,
          flag,
          scoreItem(trial, SPAN, ExactNumber.of(1)),
          flagItem('Scores', trial),
        ])
          world.store.add(item)
      }
    }
    const perRound: number[] = []
    for (let round = 0; round < rounds; round += 1) {
      const before = world.store.itemsRead
      for (const team of teams) await histories.read(trialOf('00101', team), NEVER)
      perRound.push(world.store.itemsRead - before)
    }
    return { world, perRound }
  }

  it('is everything while there is room, and the last history always', async () => {
    expect((await readInTurn(1024 ** 2, 3)).perRound).toEqual([600, 0, 0])
    // No room at all: each round begins with another participant than the last one was.
    expect((await readInTurn(1, 2)).perRound).toEqual([600, 600])
    const { world } = await readInTurn(1, 1)
    const histories = new Histories(world.store, world.clock, 1)
    await histories.read(trialOf('00101'), NEVER)
    const before = world.store.itemsRead
    await histories.read(trialOf('00101'), NEVER)
    expect(world.store.itemsRead).toBe(before)
  })

  it('is nothing that was read before it was found to be wrong', async () => {
    const world = createWorld(COUNT)
    addScored(world, 10)
    const histories = new Histories(world.store, world.clock)
    const trial = trialOf('00011')
    // Forgotten while it was read: by the results of another trial that is judged again.
    let isDone = false
    world.store.before = (call, key) => {
      if (isDone || call !== 'query' || !key.includes('Success#')) return
      isDone = true
      histories.forget(trial)
    }
    await histories.read(trial, NEVER)
    expect(isDone).toBe(true)
    expect(histories.isPast(trialOf('00005'))).toBe(false)
    await histories.read(trial, NEVER)
    expect(histories.isPast(trialOf('00005'))).toBe(true)
  })
})
