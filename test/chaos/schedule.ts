import type { AwsFault } from '../support/faults/aws-front.ts'
import type { EngineFault, EngineOperation } from '../support/faults/engine-front.ts'
import { createRandom, type Random } from '../support/faults/random.ts'

/** Something that goes wrong at a time of the round; `runner` counts from 0. */
export type Event = { atMs: number } & (
  | { what: 'kill'; runner: number }
  | { what: 'stop'; runner: number }
  | { what: 'abort'; runner: number }
  | { what: 'freeze'; runner: number; ms: number }
  | { what: 'engine'; how: 'stop' | 'crash'; downMs: number }
  | { what: 'aws-down'; ms: number }
  | { what: 'engine-fault'; operation: EngineOperation; fault: EngineFault }
  | { what: 'aws-fault'; action: string; fault: AwsFault }
  | { what: 'message-twice' }
)

export interface ScheduleOptions {
  seed: string
  durationMs: number
  runners: number
  /** For how long a message is a runner's from one renewal to the next. */
  visibilityMs: number
}

/** Mean pauses between events of a sort, in milliseconds. */
const EVERY = {
  kill: 5_000,
  stop: 20_000,
  freeze: 9_000,
  engine: 22_000,
  awsDown: 20_000,
  engineFault: 900,
  awsFault: 450,
  twice: 4_000,
}

/** All that goes wrong in a round. The same options make the same list. */
export function createSchedule({ seed, durationMs, runners, visibilityMs }: ScheduleOptions): Event[] {
  const events: Event[] = []
  /** Draws from a stream of its own, so that one sort's share does not change the others. */
  function add(name: keyof typeof EVERY, make: (random: Random, atMs: number) => Event): void {
    const random = createRandom(`${seed} ${name}`)
    for (;;) {
      const previous = lastOf(name)
      const atMs = Math.round(previous - Math.log(1 - random.next()) * EVERY[name])
      last.set(name, atMs)
      if (atMs >= durationMs) return
      events.push(make(random, atMs))
    }
  }
  const last = new Map<string, number>()
  const lastOf = (name: string): number => last.get(name) ?? 2000

  const anyRunner = (random: Random): number => random.integer(0, runners - 1)
  add('kill', (random, atMs) => ({ atMs, what: 'kill', runner: anyRunner(random) }))
  add('stop', (random, atMs) => ({
    atMs,
    what: random.chance(0.5) ? 'stop' : 'abort',
    runner: anyRunner(random),
  }))
  add('freeze', (random, atMs) => ({
    atMs,
    what: 'freeze',
    runner: anyRunner(random),
    // Half of them past the lease.
    ms: random.integer(Math.round(visibilityMs * 0.2), Math.round(visibilityMs * 1.8)),
  }))
  add('engine', (random, atMs) => ({
    atMs,
    what: 'engine',
    how: random.pick(['stop', 'crash']),
    downMs: random.integer(0, 4000),
  }))
  add('awsDown', (random, atMs) => ({ atMs, what: 'aws-down', ms: random.integer(200, 4000) }))
  add('twice', (_random, atMs) => ({ atMs, what: 'message-twice' }))
  add('engineFault', (random, atMs) => {
    const operation = random.pick(ENGINE_TARGETS)
    return { atMs, what: 'engine-fault', operation, fault: engineFault(random, operation) }
  })
  add('awsFault', (random, atMs) => {
    const action = random.pick(AWS_TARGETS)
    return { atMs, what: 'aws-fault', action, fault: awsFault(random, action) }
  })
  return events.sort((a, b) => a.atMs - b.atMs)
}

const ENGINE_TARGETS: readonly EngineOperation[] = [
  'create',
  'attach',
  'attach-input',
  'start',
  'wait',
  'kill',
  'remove',
  'inspect',
  'list',
  'rename',
  'events',
  'ping',
]

/**
 * A random fault of the engine's socket. The stream of an input is not cut: to a program its end is that of the input, and
 * to the runner it looks as if nobody read it any more.
 */
export function engineFault(random: Random, operation: string): EngineFault {
  const fault = anyFault(random)
  return fault.kind === 'cut' && operation === 'attach-input' ? { kind: 'reset-before' } : fault
}

function anyFault(random: Random): EngineFault {
  return random.pick<(random: Random) => EngineFault>([
    (r) => ({ kind: 'delay', ms: r.integer(50, 1500) }),
    (r) => ({ kind: 'late', ms: r.integer(50, 1500) }),
    (r) => ({ kind: 'refuse', ms: r.integer(20, 700) }),
    () => ({ kind: 'error' }),
    () => ({ kind: 'error-after' }),
    () => ({ kind: 'reset-before' }),
    () => ({ kind: 'reset-after' }),
    () => ({ kind: 'cut' }),
    (r) => ({ kind: 'hang', ms: r.integer(500, 3000) }),
  ])(random)
}

/** What a runner asks of AWS; often asked actions stand more than once. */
const AWS_TARGETS = [
  'ReceiveMessage',
  'ReceiveMessage',
  'ChangeMessageVisibility',
  'DeleteMessage',
  'DeleteMessage',
  'GetItem',
  'Query',
  'TransactWriteItems',
  'TransactWriteItems',
  'TransactWriteItems',
] as const

/** A random fault of an AWS service. */
export function awsFault(random: Random, action: string): AwsFault {
  const common: ((random: Random) => AwsFault)[] = [
    (r) => ({ kind: 'delay', ms: r.integer(50, 2000) }),
    (r) => ({ kind: 'late', ms: r.integer(50, 2000) }),
    () => ({ kind: 'failure' }),
    () => ({ kind: 'unavailable' }),
    () => ({ kind: 'throttled' }),
    () => ({ kind: 'conflict' }),
    () => ({ kind: 'reset-before' }),
    () => ({ kind: 'reset-middle' }),
    () => ({ kind: 'lost' }),
    (r) => ({ kind: 'hang', ms: r.integer(500, 4000) }),
  ]
  const own: ((random: Random) => AwsFault)[] =
    action === 'ReceiveMessage'
      ? [() => ({ kind: 'again' }), () => ({ kind: 'twin' }), () => ({ kind: 'hold' })]
      : action === 'GetItem' || action === 'Query'
        ? [() => ({ kind: 'stale' })]
        : []
  // What only one action can meet is as frequent there as all the rest together.
  const choices = own.length > 0 && random.chance(0.5) ? own : common
  return random.pick(choices)(random)
}
