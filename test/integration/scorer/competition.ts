import { createHash } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../../../src/core/clock.ts'
import { ExactNumber } from '../../../src/core/exact-number.ts'
import { fromPlain } from '../../../src/core/json.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { runWorker } from '../../../src/core/worker.ts'
import { TRIAL_KINDS } from '../../../src/kinds/index.ts'
import { formatTrialMessage } from '../../../src/kinds/message.ts'
import type { KindSettings } from '../../../src/kinds/services.ts'
import { createLocalMatchSource } from '../../../src/matches/local/local-matches.ts'
import { evaluationItem } from '../../../src/records/evaluation.ts'
import { flagKey, partitionOf, type Trial } from '../../../src/records/keys.ts'
import { failedItem, flagItem } from '../../../src/records/result.ts'
import { solutionItem } from '../../../src/records/solution.ts'
import type { Queue } from '../../../src/queues/queue.ts'
import type { Store } from '../../../src/stores/store.ts'
import { MemoryQueue } from '../../support/memory-queue.ts'
import { MemoryStore } from '../../support/memory-store.ts'
import { ScriptedExecutor } from '../../support/scripted-executor.ts'
import { Mortal } from './mortal.ts'

const MATCH = '0b0f7f0c-58b1-4ce5-a5d4-6e5f1f3f6f11'

/** A clock that runs `speed` times as fast as the real one. */
export function createFastClock(speed: number): Clock {
  const startMs = performance.now()
  const passedMs = (): number => (performance.now() - startMs) * speed
  return {
    now: passedMs,
    date: () => new Date(Date.UTC(2026, 10, 20) + passedMs()),
    sleep: async (ms, signal) => {
      try {
        await delay(ms / speed, undefined, signal === undefined ? {} : { signal })
      } catch (error) {
        throw signal?.reason ?? error
      }
    },
  }
}

/** A list in an order that depends on a seed only (Mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** The list in a random order. */
export function shuffle<T>(list: readonly T[], random: () => number): T[] {
  return list
    .map((value) => ({ value, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value)
}

/** What becomes of a trial, by its number: some fail in their evaluation, some in their score. */
export function fateOf(number: number): 'scored' | 'evaluation fails' | 'score fails' {
  if (number % 13 === 5) return 'evaluation fails'
  return number % 17 === 3 ? 'score fails' : 'scored'
}

/** An indicator whose score depends on every bit of its input. */
export function indicate(stdin: string): { score: number } | { error: string } {
  const [line = '', history = ''] = stdin.trimEnd().split('\n')
  const trial = JSON.parse(line) as { objective: number }
  if (fateOf(trial.objective) === 'score fails') return { error: 'this one fails' }
  const digest = createHash('sha256')
    .update(JSON.stringify([trial, JSON.parse(history)]))
    .digest()
  return { score: digest.readUIntBE(0, 6) }
}

/**
 * What a sequential run gives: TrialNo → score, or undefined for a score that failed. `objectiveOf` says what each
 * trial was evaluated as.
 */
export function scoresInOrder(
  count: number,
  objectiveOf: (number: number) => number = (number) => number,
): Map<string, number | undefined> {
  const history: unknown[] = []
  const scores = new Map<string, number | undefined>()
  for (let number = 1; number <= count; number += 1) {
    if (fateOf(number) === 'evaluation fails') continue
    const trialNo = trialNoOf(number)
    const trial = { objective: objectiveOf(number), constraint: null, info: {}, feasible: null }
    const found = indicate(`${JSON.stringify(trial)}\n${JSON.stringify(history)}\n`)
    const score = 'score' in found ? found.score : undefined
    if (score !== undefined) history.push({ trial_no: trialNo, ...trial, score })
    scores.set(trialNo, score)
  }
  return scores
}

export function trialNoOf(number: number): string {
  return String(number).padStart(5, '0')
}

/** What a scorer process is made of besides the queue and the table that all share. */
export interface ScorerOptions {
  settings?: Partial<KindSettings>
  concurrency?: number
  maxHeld?: number
  /** When this process is killed, counted in its calls to table and queue; default never. */
  fate?: (call: number) => 'lives' | 'dies before' | 'dies after'
}

/** One participant's trials in one match, with a queue and a table of its own. */
export class Competition {
  readonly clock: Clock
  readonly store = new MemoryStore()
  readonly queue: MemoryQueue
  readonly records: LogRecord[] = []
  /** What indicators got on their standard input. */
  readonly inputs: string[] = []
  /** Scorers that were killed. */
  deaths = 0
  /** How long an indicator works, in ms of the clock. */
  indicatorMs = 200
  readonly #drain = new AbortController()
  readonly #running: Promise<void>[] = []

  constructor(speed: number) {
    this.clock = createFastClock(speed)
    this.queue = new MemoryQueue(this.clock, 60_000, 500)
  }

  trialOf(number: number): Trial {
    return { matchId: MATCH, participantId: 'Team#1', trialNo: trialNoOf(number) }
  }

  submit(number: number): void {
    const variable = fromPlain(number)
    this.store.add(
      solutionItem(this.trialOf(number), { userId: 'User#1', variable, createdAt: this.clock.date() }),
    )
  }

  /** What the evaluator does: stores the evaluation, and has a message sent for it, now and then twice. */
  async evaluate(number: number, messages = 1, objective = number): Promise<void> {
    const trial = this.trialOf(number)
    const now = this.clock.date()
    const span = { startedAt: now, finishedAt: now, createdAt: now }
    const failed = fateOf(number) === 'evaluation fails'
    const evaluation = {
      objective: ExactNumber.of(objective),
      constraint: null,
      info: fromPlain({}),
      feasible: null,
    }
    const item = failed
      ? failedItem('Evaluations', trial, span, { errorMessage: 'no', adminErrorMessage: 'no' })
      : evaluationItem(trial, span, evaluation)
    await this.store.put([item, flagItem('Evaluations', trial)], flagKey('Evaluations', trial))
    if (failed) return
    for (let n = 0; n < messages; n += 1) await this.queue.send(formatTrialMessage(trial))
  }

  /** Starts a scorer process; the returned promise resolves when it is killed. */
  startScorer({ settings, concurrency = 1, maxHeld = 100, fate }: ScorerOptions = {}): Promise<void> {
    return new Promise((resolve) => {
      const life = new Mortal(fate ?? (() => 'lives'), () => {
        this.deaths += 1
        resolve()
      })
      const worker = this.#work(life.store(this.store), life.queue(this.queue), {
        settings: settings ?? {},
        concurrency,
        maxHeld,
        life,
      })
      if (fate === undefined) this.#running.push(worker)
    })
  }

  /** Resolves when the queue is empty, and ends the scorers that live. */
  async finish(): Promise<void> {
    while (this.queue.left().length > 0) await delay(20)
    this.#drain.abort()
    await Promise.all(this.#running)
  }

  /** TrialNo → score, or undefined for a score that failed. Throws when a trial has more than one result. */
  scores(): Map<string, number | undefined> {
    const scores = new Map<string, number | undefined>()
    for (const item of this.store.partition(partitionOf('Scores', this.trialOf(1)))) {
      const [status, trialNo] = (item['Trial'] as string).split('#')
      if (trialNo === undefined) continue
      if (scores.has(trialNo)) throw new Error(`two results for ${trialNo}`)
      const value = item['Value']
      if (status === 'Success' && !(value instanceof ExactNumber)) throw new Error(`no value for ${trialNo}`)
      scores.set(trialNo, value instanceof ExactNumber ? value.toNumber() : undefined)
    }
    return scores
  }

  async #work(
    store: Store,
    queue: Queue,
    options: Required<Omit<ScorerOptions, 'fate'>> & { life: Mortal },
  ): Promise<void> {
    const { clock } = this
    const abort = new AbortController()
    setMaxListeners(0, this.#drain.signal, abort.signal)
    const executor = new ScriptedExecutor({
      indicator: async (stdin) => {
        await clock.sleep(this.indicatorMs)
        if (options.life.isDead) return await new Promise(() => undefined)
        this.inputs.push(stdin)
        return { stdout: JSON.stringify(indicate(stdin)) }
      },
    })
    const handler = TRIAL_KINDS.scorer.create({
      store,
      executor,
      matches: createLocalMatchSource({ '*': { indicator: { image: 'indicator' } } }),
      clock,
      settings: {
        timeoutSeconds: 600,
        stopGraceSeconds: 1,
        maxOutputBytes: 1024 ** 2,
        maxTotalOutputBytes: 1024 ** 2,
        strictExit: false,
        keep: false,
        limits: {},
        matchTtlSeconds: 60,
        ordered: true,
        orderTimeoutSeconds: 3600,
        ...options.settings,
      },
    })
    await runWorker({
      kind: { name: 'scorer', parseMessage: TRIAL_KINDS.scorer.parseMessage, handler },
      queue,
      probes: {},
      concurrency: options.concurrency,
      num: 0,
      drainQueue: false,
      intervalMs: 100,
      visibilitySeconds: 60,
      heartbeatMs: 20_000,
      maxReceiveCount: 10,
      maxHeld: options.maxHeld,
      drain: this.#drain.signal,
      abort: abort.signal,
      clock,
      log: createLogger((record) => this.records.push(record), 'DEBUG'),
      observer: { jobStarted: () => undefined, jobEnded: () => undefined, stateChanged: () => undefined },
    })
  }
}
