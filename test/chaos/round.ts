import { setTimeout as delay } from 'node:timers/promises'
import { buildShellImage } from '../support/images.ts'
import { World } from '../support/faults/world.ts'
import { Fleet } from './fleet.ts'
import { judgeRequests, writtenFlags, type Violation } from './history.ts'
import {
  evaluates,
  INDICATOR,
  INDICATOR_SCRIPT,
  jobsOf,
  MATCH,
  messageOf,
  PROBLEM,
  PROBLEM_SCRIPT,
  TIMEOUT_SECONDS,
  type Job,
} from './jobs.ts'
import { judgeLeaks } from './leaks.ts'
import { judgeTable } from './results.ts'
import { createSchedule, type Event } from './schedule.ts'
import { Trouble } from './trouble.ts'

export const KINDS = ['evaluator', 'evaluator', 'scorer', 'scorer'] as const
export const VISIBILITY_SECONDS = 8

/** Jobs that are under way at a time. */
const BACKLOG = 24
const MAX_RECEIVES = 100
/** After the last fault all must be done within so long. */
const SETTLE_MS = 150_000
/** Unreadable messages on each queue. */
const POISON = ['not json at all', '{"MatchID": 5}']

const CONFIG = `concurrency: 2
visibility_timeout: ${VISIBILITY_SECONDS}
heartbeat_interval: 2
wait_time: 2
interval: 0.2
stop_grace: 1
max_receive_count: ${String(MAX_RECEIVES)}
shutdown_grace: 20
log_level: DEBUG
matches:
  ${MATCH}:
    problem: {image: ${PROBLEM}, timeout: ${TIMEOUT_SECONDS}}
    indicator: {image: ${INDICATOR}}
`

export interface RoundOptions {
  seed: string
  /** For how long things go wrong. */
  durationMs: number
  /** What goes wrong; left out = what follows from the seed. */
  events?: readonly Event[]
}

/** What came of a round. */
export interface RoundReport {
  seed: string
  violations: Violation[]
  /** Evaluations and scores. */
  jobs: number
  runnerStarts: number
  /** What went wrong how often. */
  faults: Record<string, number>
  liveRestore: boolean
  seconds: number
  /** Everything that was seen, line by line, for whoever looks for the cause. */
  log: () => string[]
}

/** The schedule that a round plays by itself. */
export function scheduleOf({ seed, durationMs }: Pick<RoundOptions, 'seed' | 'durationMs'>): Event[] {
  return createSchedule({ seed, durationMs, runners: KINDS.length, visibilityMs: VISIBILITY_SECONDS * 1000 })
}

/** Lets runner processes work while everything goes wrong, then checks all that they did. */
export async function playRound(options: RoundOptions): Promise<RoundReport> {
  const start = performance.now()
  const { seed, durationMs, events = scheduleOf(options) } = options
  // Half of the seeds; an engine with it lets containers live on while it is away.
  const liveRestore = /[02468ace]$/.test(seed)
  await using world = await World.create({
    config: CONFIG,
    engineArgs: liveRestore ? ['--live-restore'] : [],
    // As many receives as take hours at the true pace.
    maxReceives: MAX_RECEIVES,
    // Released messages come back after seconds instead of minutes or an hour.
    visibility: (seconds) => (seconds > VISIBILITY_SECONDS ? Math.min(Math.ceil(seconds / 30), 2) : seconds),
  })
  await buildShellImage(world.engine, PROBLEM, PROBLEM_SCRIPT)
  await buildShellImage(world.engine, INDICATOR, INDICATOR_SCRIPT)
  for (const kind of ['evaluator', 'scorer'] as const) {
    for (const body of POISON) await world.aws.send(kind, body)
  }
  const fleet = new Fleet(world, KINDS)
  await fleet.ready()
  const feed = new Feed(world, seed)
  const trouble = new Trouble(world, fleet, () => feed.sendAgain())
  const feeding = feed.run()
  await trouble.play(events, durationMs)
  feed.stop()
  await feeding

  const isSettled = await settle(world, feed)
  const orderly = world.runners.filter(({ end }) => end === undefined).map(({ pid }) => pid)
  await fleet.close()
  const violations = [
    ...(isSettled ? [] : await leftOnQueues(world)),
    ...(await judgeTable(world.aws, feed.jobs, true)),
    ...judgeRequests(world.awsFront.requests, VISIBILITY_SECONDS * 1000),
    ...fleet.violations,
    ...(await judgeLeaks(world, orderly)),
  ]
  return {
    seed,
    violations,
    jobs: writtenFlags(world.awsFront.requests).size,
    runnerStarts: fleet.starts,
    faults: { ...trouble.counts(), ...prefixed('engine', world), ...prefixed('aws', world) },
    liveRestore,
    seconds: Math.round((performance.now() - start) / 1000),
    log: () => logOf(world),
  }
}

/** Submits jobs, so many at a time as keep the runners busy. */
class Feed {
  readonly jobs: Job[] = []
  readonly #world: World
  readonly #source: Generator<Job, never>
  readonly #stop = new AbortController()
  #repeats = 0

  constructor(world: World, seed: string) {
    this.#world = world
    this.#source = jobsOf(seed)
  }

  get wanted(): number {
    return this.jobs.length + this.jobs.filter(evaluates).length
  }

  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const done = writtenFlags(this.#world.awsFront.requests).size
      for (let n = this.wanted - done; n < BACKLOG; n += 1) await this.#submit()
      await delay(250, undefined, { signal: this.#stop.signal }).catch(() => undefined)
    }
  }

  stop(): void {
    this.#stop.abort()
  }

  /** A message once more, as a queue or its sender may do: that of one of the last ten jobs, or an old one. */
  async sendAgain(): Promise<void> {
    this.#repeats += 1
    const place = this.#repeats % 4 === 0 ? this.#repeats : this.jobs.length - 1 - (this.#repeats % 10)
    const job = this.jobs[place]
    if (job !== undefined) await this.#world.aws.send('evaluator', messageOf(job))
  }

  async #submit(): Promise<void> {
    const job = this.#source.next().value
    const { number, conduct, participantId, trialNo } = job
    const variable = { L: [{ S: `n${String(number)}` }, { S: conduct }] }
    this.jobs.push(job)
    await this.#world.aws.putSolution(MATCH, participantId, trialNo, variable)
  }
}

/** Waits until every job has its result and only what nobody can read is on the queues. */
async function settle(world: World, feed: Feed): Promise<boolean> {
  const until = performance.now() + SETTLE_MS
  while (performance.now() < until) {
    const done = writtenFlags(world.awsFront.requests).size
    if (done >= feed.wanted && (await leftOnQueues(world)).length === 0) return true
    await delay(500)
  }
  return false
}

async function leftOnQueues(world: World): Promise<Violation[]> {
  const { queues, deadLetterQueues } = world.aws.info
  const violations: Violation[] = []
  for (const kind of ['evaluator', 'scorer'] as const) {
    const own = await world.aws.depth(queues[kind])
    const dead = await world.aws.depth(deadLetterQueues[kind])
    const count = own.waiting + own.inFlight + dead.waiting
    if (count > POISON.length) {
      violations.push({ rule: 'lost', what: `${String(count - POISON.length)} messages left on ${kind}` })
    }
  }
  return violations
}

function prefixed(name: 'engine' | 'aws', world: World): Record<string, number> {
  const { injected } = name === 'engine' ? world.engineFront : world.awsFront
  return Object.fromEntries(Object.entries(injected.counts()).map(([what, n]) => [`${name}: ${what}`, n]))
}

function logOf(world: World): string[] {
  const origin = Date.now() - performance.now()
  const lines = world.runners.flatMap(({ name, pid, lines: own, noise }) => [
    ...own.map(
      (line) => `${String(line['ts'])} ${name}/${String(pid)} ${JSON.stringify({ ...line, ts: undefined })}`,
    ),
    ...noise.map((line) => `${name}/${String(pid)} ${line}`),
  ])
  const requests = world.awsFront.requests.map(({ at, client, action, body, status, fault }) => {
    const time = new Date(origin + at).toISOString()
    return `${time} front ${client} ${action} ${String(status)} ${fault ?? ''} ${JSON.stringify(body).slice(0, 600)}`
  })
  return [...lines, ...requests].sort()
}
