import type { Clock } from './clock.ts'

/** The parts of a job's life that are measured; shown in its closing log line. */
export const PHASES = [
  'queued',
  'download',
  'pull',
  'create',
  'start',
  'run',
  'parse',
  'upload',
  'write',
] as const
export type Phase = (typeof PHASES)[number]

/** When a job was where: phase lengths for the log, StartedAt and FinishedAt for the record. */
export class Timeline {
  /** Wall clock just before the container got its input; unset while it has not. */
  startedAt: Date | undefined
  /** Wall clock just after the output was parsed (or the job failed). */
  finishedAt: Date | undefined
  /** The phase the job is in now, for the live view. */
  current: Phase | undefined
  /** What the current phase has moved so far, and of how much, where that is known: for the live view. */
  moved: { bytes: number; total: number | undefined } | undefined
  readonly #ms = new Map<Phase, number>()
  readonly #clock: Clock
  #since: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#since = clock.now()
  }

  /** Ends the current phase and begins `phase`. */
  enter(phase: Phase): void {
    this.leave()
    this.current = phase
  }

  /** Ends the current phase without beginning another. */
  leave(): void {
    const now = this.#clock.now()
    if (this.current !== undefined) this.add(this.current, now - this.#since)
    this.current = undefined
    this.moved = undefined
    this.#since = now
  }

  /** Adds `ms` to a phase that was measured elsewhere. */
  add(phase: Phase, ms: number): void {
    this.#ms.set(phase, (this.#ms.get(phase) ?? 0) + ms)
  }

  /** The job's input is on its way: the time from which it is charged. */
  markStarted(): void {
    this.startedAt = this.#clock.date()
  }

  /** The job's output is parsed, or it failed. */
  markFinished(): void {
    this.finishedAt = this.#clock.date()
  }

  /** Whole milliseconds per phase, in the order of PHASES, only those that happened. */
  phases(): Partial<Record<Phase, number>> {
    const result: Partial<Record<Phase, number>> = {}
    for (const phase of PHASES) {
      const ms = this.#ms.get(phase)
      if (ms !== undefined) result[phase] = Math.round(ms)
    }
    return result
  }
}
