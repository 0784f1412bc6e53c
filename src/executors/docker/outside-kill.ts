import type { Engine } from './api/engine.ts'
import { EngineError } from './api/errors.ts'
import { jsonLines } from './api/json-lines.ts'

/** What is read of a container's state. */
export interface ContainerState {
  Running?: boolean
  ExitCode?: number
  OOMKilled: boolean
  /** RFC 3339 with nanoseconds, by the engine's clock. */
  StartedAt: string
  FinishedAt: string
}

/** Nanoseconds by the engine's clock. */
export interface Span {
  since: bigint
  until: bigint
}

/** The engine notes a kill just after it: the note may be later than the end, but not by more. */
const NOTE_DELAY_NS = 100_000_000n
/** So long before a container was made nothing was noted of it, even if a clock was put right meanwhile. */
const BEFORE_NS = 60_000_000_000n

/** The span in which a container that has ended can have been killed, as its engine tells. */
export function spanOf(state: ContainerState, now: Date): Span {
  const finished = nanoseconds(state.FinishedAt)
  return {
    since: nanoseconds(state.StartedAt),
    // Up to now, so that nothing is waited for; bounded, since our clock may be another than the engine's.
    until: clamp(nanoseconds(now.toISOString()), finished, finished + NOTE_DELAY_NS),
  }
}

/** The same where the engine's clock is ours, so that it need not be asked. */
export function spanByOurClock(created: Date, now: Date): Span {
  return { since: nanoseconds(created.toISOString()) - BEFORE_NS, until: nanoseconds(now.toISOString()) }
}

/** What the engine has noted of a container in a span. */
export interface Notes {
  /** It was signalled through the engine. */
  kill: boolean
  /** Memory ran out in it. The engine forgets that in the container's state when it hears of the end first. */
  oom: boolean
}

/**
 * What the engine has noted of a container that has ended. A kill is one through the engine: by somebody's `docker
 * stop` or by the stop of the engine itself. No exit code shows it, since a program may choose any, and nothing inside
 * a container can forge it. A kill is noted before the engine tells of the end that it brings. RetryableError('engine') when the engine takes
 * no new connections: then it is stopping right now.
 */
export async function notesOf(engine: Engine, id: string, span: Span): Promise<Notes> {
  const query = {
    since: timestamp(span.since),
    until: timestamp(span.until),
    filters: JSON.stringify({ type: ['container'], container: [id], event: ['kill', 'oom'] }),
  }
  const notes = { kill: false, oom: false }
  try {
    const response = await engine.open('GET', '/events', { query, fresh: true, silenceMs: 30_000 })
    for await (const event of jsonLines(response, engine.label)) {
      const { Action: action } = event as { Action?: string }
      if (action === 'kill' || action === 'oom') notes[action] = true
    }
    return notes
  } catch (error) {
    // An engine without a record of events can't tell.
    if (error instanceof EngineError) return notes
    throw error
  }
}

function nanoseconds(time: string): bigint {
  const fraction = /\.(\d{1,9})/.exec(time)?.[1] ?? ''
  const seconds = Math.floor(Date.parse(time) / 1000)
  return BigInt(Number.isNaN(seconds) ? 0 : seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'))
}

function clamp(value: bigint, from: bigint, to: bigint): bigint {
  return value < from ? from : value > to ? to : value
}

function timestamp(ns: bigint): string {
  return `${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n).padStart(9, '0')}`
}
