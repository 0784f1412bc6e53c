import { setMaxListeners } from 'node:events'
import type { Clock } from '../core/clock.ts'
import { OperatorError } from '../core/errors.ts'
import type { Optimizer } from './optimizers/optimizer.ts'

/** What became of a trial at the evaluator; a null objective means that its image had none (NaN). */
export type Evaluation =
  { status: 'Success'; objective: number | null } | { status: 'Failed'; message: string }

/** What became of a trial at the scorer. */
export type Score = { status: 'Success'; value: number } | { status: 'Failed'; message: string }

/** One trial as far as it has come. A trial whose evaluation failed gets no score. */
export interface PlayedTrial {
  participantId: string
  trialNo: string
  variable: readonly number[]
  evaluation?: Evaluation
  score?: Score
}

export interface Participant {
  id: string
  optimizer: Optimizer
}

/** The competition's way to the outside. Whatever these throw ends the competition with that error. */
export interface CompetitionPorts {
  /** Hands in a solution; says which trial it became. */
  submit(participantId: string, variable: readonly number[], signal: AbortSignal): Promise<string>
  /** Undefined while there is none yet. */
  evaluationOf(participantId: string, trialNo: string, signal: AbortSignal): Promise<Evaluation | undefined>
  /** Undefined while there is none yet. */
  scoreOf(participantId: string, trialNo: string, signal: AbortSignal): Promise<Score | undefined>
}

export interface CompetitionOptions extends CompetitionPorts {
  participants: readonly Participant[]
  /** Solutions of each participant. */
  trials: number
  clock: Clock
  /** The competition fails when nothing at all has moved for so long; default two minutes. */
  stallTimeoutMs?: number
  /** Called with a copy of a trial whenever it has come one step further. */
  onProgress?: (trial: PlayedTrial) => void
  signal?: AbortSignal
}

const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 200

/**
 * Plays a whole competition and resolves with every trial, by participant in the order given, then by trial. Each
 * participant works one solution after the other, ask, submit, wait for the evaluation, tell; all participants at the
 * same time. Scores are waited for beside that, since no optimiser needs them. Rejects with the signal's reason when
 * aborted, and with an OperatorError when it has stalled.
 */
export async function playCompetition(options: CompetitionOptions): Promise<PlayedTrial[]> {
  checkOptions(options)
  options.signal?.throwIfAborted()
  const { participants, clock, stallTimeoutMs = 120_000 } = options
  const ending = new AbortController()
  const signal =
    options.signal === undefined ? ending.signal : AbortSignal.any([options.signal, ending.signal])
  // Every pause listens to it, of every participant.
  setMaxListeners(0, signal)
  const watch = createStallWatch(clock, stallTimeoutMs)
  try {
    // The races end what a port that never answers would hold up; its promise is then left behind.
    const played = await Promise.race([
      Promise.all(
        participants.map((participant) => playParticipant(participant, options, watch, ending, signal)),
      ),
      watch.stalled(signal),
      rejectionOf(signal),
    ])
    return played.flat()
  } finally {
    ending.abort(new Error('the competition is over'))
  }
}

async function playParticipant(
  { id, optimizer }: Participant,
  options: CompetitionOptions,
  watch: StallWatch,
  ending: AbortController,
  signal: AbortSignal,
): Promise<PlayedTrial[]> {
  const scored: Promise<PlayedTrial>[] = []
  for (let count = 0; count < options.trials; count += 1) {
    signal.throwIfAborted()
    const variable = optimizer.ask()
    const submitting = options.submit(id, variable, signal)
    const trialNo = await watch.during(`${id} hands in solution ${count + 1}`, submitting)
    const submitted: PlayedTrial = { participantId: id, trialNo, variable }
    options.onProgress?.({ ...submitted })

    const evaluating = poll(() => options.evaluationOf(id, trialNo, signal), options.clock, signal)
    const evaluation = await watch.during(`${id} waits for the evaluation of trial ${trialNo}`, evaluating)
    const evaluated = { ...submitted, evaluation }
    optimizer.tell(variable, evaluation.status === 'Success' ? (evaluation.objective ?? NaN) : NaN)
    options.onProgress?.({ ...evaluated })

    // One at a time: the scorer goes by the order of the trials, too.
    const before = scored.at(-1) ?? Promise.resolve()
    const scoring = before.then(() => withScore(evaluated, options, watch, signal))
    // Not awaited before the last solution is in, but its error must end the competition now.
    scoring.catch((error: unknown) => {
      ending.abort(error)
    })
    scored.push(scoring)
  }
  return Promise.all(scored)
}

async function withScore(
  trial: PlayedTrial,
  options: CompetitionOptions,
  watch: StallWatch,
  signal: AbortSignal,
): Promise<PlayedTrial> {
  if (trial.evaluation?.status !== 'Success') return trial
  const { participantId, trialNo } = trial
  const scoring = poll(() => options.scoreOf(participantId, trialNo, signal), options.clock, signal)
  const score = await watch.during(`${participantId} waits for the score of trial ${trialNo}`, scoring)
  const scored = { ...trial, score }
  options.onProgress?.({ ...scored })
  return scored
}

/** Reads again and again, with growing pauses, until there is something. */
async function poll<T>(read: () => Promise<T | undefined>, clock: Clock, signal: AbortSignal): Promise<T> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 1.5)) {
    signal.throwIfAborted()
    const found = await read()
    if (found !== undefined) return found
    await clock.sleep(pauseMs, signal)
  }
}

interface StallWatch {
  /** Passes `work` on and knows, until it settles, that somebody waits for it. */
  during<T>(what: string, work: Promise<T>): Promise<T>
  /** Rejects once nothing has been finished for the whole timeout; ends silently with `signal`. */
  stalled(signal: AbortSignal): Promise<never>
}

function createStallWatch(clock: Clock, timeoutMs: number): StallWatch {
  const waiting = new Set<{ what: string }>()
  let movedAt = clock.now()

  async function during<T>(what: string, work: Promise<T>): Promise<T> {
    const wait = { what }
    waiting.add(wait)
    try {
      const result = await work
      movedAt = clock.now()
      return result
    } finally {
      waiting.delete(wait)
    }
  }

  async function stalled(signal: AbortSignal): Promise<never> {
    for (;;) {
      const leftMs = movedAt + timeoutMs - clock.now()
      if (leftMs <= 0) throw stallError([...waiting], timeoutMs)
      await clock.sleep(leftMs, signal)
    }
  }

  return { during, stalled }
}

function stallError(waiting: readonly { what: string }[], timeoutMs: number): OperatorError {
  const shown = waiting.slice(0, 4).map(({ what }) => what)
  if (waiting.length > shown.length) shown.push(`${waiting.length - shown.length} more waits`)
  return new OperatorError(
    `The competition has stalled: nothing happened for ${timeoutMs / 1000} s`,
    shown.join('; '),
    'Look into the log of the evaluator and the scorer above; `docker ps` shows whether a container hangs.',
  )
}

async function rejectionOf(signal: AbortSignal): Promise<never> {
  signal.throwIfAborted()
  return new Promise((_, reject) => {
    function rejectNow(): void {
      reject(signal.reason as Error)
    }
    signal.addEventListener('abort', rejectNow, { once: true })
  })
}

function checkOptions({ participants, trials }: CompetitionOptions): void {
  if (participants.length === 0) throw new RangeError('a competition needs a participant')
  if (new Set(participants.map(({ id }) => id)).size < participants.length) {
    throw new RangeError('every participant needs an id of its own')
  }
  if (!Number.isInteger(trials) || trials < 1) throw new RangeError('trials must be a whole number from 1')
}
