import type { Clock } from '../../../src/core/clock.ts'
import { fromPlain, parseJson, type Json } from '../../../src/core/json.ts'
import type { Handler, JobContext } from '../../../src/core/kind.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { processJob, type Processed } from '../../../src/core/processor.ts'
import { Timeline } from '../../../src/core/timeline.ts'
import type { TaskSpec } from '../../../src/executors/executor.ts'
import type { KindServices, KindSettings } from '../../../src/kinds/services.ts'
import { createLocalMatchSource, type LocalMatch } from '../../../src/matches/local/local-matches.ts'
import type { Trial } from '../../../src/records/keys.ts'
import { solutionItem } from '../../../src/records/solution.ts'
import { MemoryStore } from '../../support/memory-store.ts'
import { ScriptedExecutor, type ScriptedRun } from '../../support/scripted-executor.ts'

export const MATCH = '0b0f7f0c-58b1-4ce5-a5d4-6e5f1f3f6f11'
export const TEAM = 'Team#1'

export function trialOf(trialNo: string, participantId = TEAM): Trial {
  return { matchId: MATCH, participantId, trialNo }
}

/** A clock on which every sleep is over at once, and the time with it. */
export class JumpClock implements Clock {
  #ms = 0
  now(): number {
    return this.#ms
  }
  date(): Date {
    return new Date(Date.UTC(2026, 10, 20, 9, 30, 0, 123) + this.#ms)
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    this.#ms += ms
    await new Promise<void>((resolve) => setImmediate(resolve))
    signal?.throwIfAborted()
  }
  jump(ms: number): void {
    this.#ms += ms
  }
}

/** What an image does with its standard input. */
export type Image = (stdin: string, spec: TaskSpec) => ScriptedRun | Promise<ScriptedRun>

export interface World {
  store: MemoryStore
  executor: ScriptedExecutor
  clock: JumpClock
  services: KindServices
  log: LogRecord[]
  forwarded: string[]
  /** What all images do; may be changed between jobs. */
  image: Image
  /** What each task got on its standard input. */
  inputs: string[]
  /** Matches that were asked for. */
  resolved: string[]
}

const SETTINGS: KindSettings = {
  timeoutSeconds: 60,
  stopGraceSeconds: 1,
  maxOutputBytes: 1024 ** 2,
  maxTotalOutputBytes: 4 * 1024 ** 2,
  strictExit: false,
  keep: false,
  limits: {},
  matchTtlSeconds: 60,
  ordered: true,
  orderTimeoutSeconds: 3600,
}

/** Everything that a kind works with, made of fakes. */
export function createWorld(
  image: Image,
  settings: Partial<KindSettings> = {},
  matches: Record<string, LocalMatch> = { '*': { problem: { image: 'p' }, indicator: { image: 'i' } } },
): World {
  const store = new MemoryStore()
  const clock = new JumpClock()
  const source = createLocalMatchSource(matches)
  const script = async (stdin: string, _: unknown, spec: TaskSpec): Promise<ScriptedRun> => {
    world.inputs.push(stdin)
    return await world.image(stdin, spec)
  }
  const executor = new ScriptedExecutor({ p: script, i: script })
  const services: KindServices = {
    store,
    executor,
    clock,
    matches: {
      resolve: (id, signal) => {
        world.resolved.push(id)
        return source.resolve(id, signal)
      },
    },
    settings: { ...SETTINGS, ...settings },
    forward: async (body) => {
      world.forwarded.push(body)
      return Promise.resolve()
    },
  }
  const world: World = {
    store,
    executor,
    clock,
    services,
    image,
    log: [],
    forwarded: [],
    inputs: [],
    resolved: [],
  }
  return world
}

export function createJob(world: World, overrides: Partial<JobContext> = {}): JobContext {
  return {
    attempt: 1,
    signal: new AbortController().signal,
    assertHeld: () => undefined,
    log: createLogger((record) => world.log.push(record), 'DEBUG'),
    timeline: new Timeline(world.clock),
    ...overrides,
  }
}

/** Takes a trial through a kind as the worker does. */
export async function work<I, R>(
  handler: Handler<Trial, I, R>,
  trial: Trial,
  world: World,
  overrides: Partial<JobContext> = {},
): Promise<Processed> {
  return await processJob(handler, trial, createJob(world, overrides))
}

export function addSolution(world: World, trial: Trial, variable: Json | number | number[] = [1]): void {
  const createdAt = world.clock.date()
  world.store.add(solutionItem(trial, { userId: 'User#1', variable: fromPlain(variable), createdAt }))
}

/** An item as another writer left it, from JSON text, so that numbers stand as they are written. */
export function addItem(world: World, json: string): void {
  const value = parseJson(json)
  if (!(value instanceof Map)) throw new TypeError('an item is an object')
  world.store.add(Object.fromEntries(value as Map<string, Json>))
}

/** The texts of warnings and worse. */
export function warnings(world: World): string[] {
  return world.log
    .filter((record) => record.level !== 'DEBUG' && record.level !== 'INFO')
    .map((record) => `${record.msg} ${JSON.stringify(record.fields)}`)
}
