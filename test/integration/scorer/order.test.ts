import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import {
  Competition,
  createRandom,
  fateOf,
  scoresInOrder,
  shuffle,
  type ScorerOptions,
} from './competition.ts'

const COUNT = 200
/** What SQS's queues give away before a message goes to the dead-letter queue, here as in AWS's own examples. */
const MOST_RECEIVES = 10

function numbersTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

/** Submits everything, then evaluates it in a random order; some messages are there twice. */
async function evaluateAll(
  competition: Competition,
  random: () => number,
  between: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  for (const number of numbersTo(COUNT)) competition.submit(number)
  for (const number of shuffle(numbersTo(COUNT), random)) {
    await competition.evaluate(number, random() < 0.15 ? 2 : 1)
    await between()
  }
}

/** Keeps so many scorers alive: whenever one is killed another one starts, until `kills` of them were. */
function keepAlive(competition: Competition, random: () => number, kills: number, ordered = true): void {
  let left = kills
  async function relive(options: ScorerOptions): Promise<void> {
    while (left > 0) {
      left -= 1
      const deadly = 20 + Math.floor(random() * 400)
      const when = random() < 0.5 ? 'dies before' : 'dies after'
      await competition.startScorer({ ...options, fate: (call) => (call === deadly ? when : 'lives') })
    }
    void competition.startScorer(options)
  }
  for (const concurrency of [1, 2]) void relive({ concurrency, settings: { ordered } })
}

function expectNoneDead(competition: Competition): void {
  expect(Math.max(...competition.queue.messages.map(({ received }) => received))).toBeLessThan(MOST_RECEIVES)
}

function problems(competition: Competition): string[] {
  return competition.records
    .filter(({ level }) => level === 'ERROR' || level === 'CRITICAL')
    .map(({ msg, fields }) => `${msg} ${JSON.stringify(fields)}`)
}

describe('two scorers that see 200 trials in random order, some failed, some twice', () => {
  test('score them as if one after the other, and ask the table little', async () => {
    const competition = new Competition(50)
    await evaluateAll(competition, createRandom(1))
    for (let n = 0; n < 2; n += 1) void competition.startScorer()
    await competition.finish()
    expect(competition.scores()).toEqual(scoresInOrder(COUNT))
    expect(problems(competition)).toEqual([])
    expectNoneDead(competition)
    const { store } = competition
    // Not as the square of the number of trials, although half of them waits most of the time.
    expect(store.queries + store.gets.length).toBeLessThan(60 * COUNT)
    expect(store.itemsRead).toBeLessThan(100 * COUNT)
  })

  test('and so they do while evaluations still come in, and while they are killed', async () => {
    const competition = new Competition(100)
    const random = createRandom(2)
    keepAlive(competition, random, 8)
    await evaluateAll(competition, random, () => delay(2))
    await competition.finish()
    expect(competition.deaths).toBe(8)
    expect(competition.scores()).toEqual(scoresInOrder(COUNT))
    expect(problems(competition)).toEqual([])
  })

  test('and so they do when few can wait, and no message is received too often', async () => {
    const competition = new Competition(100)
    await evaluateAll(competition, createRandom(3))
    for (let n = 0; n < 2; n += 1) void competition.startScorer({ maxHeld: 60 })
    await competition.finish()
    expect(competition.scores()).toEqual(scoresInOrder(COUNT))
    expectNoneDead(competition)
  })

  test('without the order none fails for its sake, and each has a history that was true', async () => {
    const competition = new Competition(100)
    const random = createRandom(4)
    keepAlive(competition, random, 6, false)
    await evaluateAll(competition, random, () => delay(1))
    await competition.finish()
    const scores = competition.scores()
    for (const number of numbersTo(COUNT)) {
      const score = scores.get(competition.trialOf(number).trialNo)
      if (fateOf(number) === 'scored') expect(score, `trial ${number}`).toBeTypeOf('number')
      else expect(score).toBeUndefined()
    }
    for (const input of competition.inputs) {
      const [line = '', history = ''] = input.split('\n')
      const { objective: number } = JSON.parse(line) as { objective: number }
      const entries = JSON.parse(history) as { trial_no: string; objective: number; score: number }[]
      for (const entry of entries) expect(entry.score).toBe(scores.get(entry.trial_no))
      const numbers = entries.map(({ objective }) => objective)
      expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
      expect(numbers.at(-1) ?? 0).toBeLessThan(number)
    }
    expect(problems(competition)).toEqual([])
  })
})
