import type { ExactNumber } from '../../core/exact-number.ts'
import { JobError } from '../../core/errors.ts'
import { formatPythonJson } from '../../core/json.ts'
import type { Handler } from '../../core/kind.ts'
import type { ImageRecipe } from '../../matches/matches.ts'
import { evaluationJson, readEvaluation, type Evaluation } from '../../records/evaluation.ts'
import { resultKey, type Trial } from '../../records/keys.ts'
import { scoreItem } from '../../records/score.ts'
import { MatchImages } from '../match-image.ts'
import { identifyTrial } from '../message.ts'
import { GRACE_MS, readPatiently, sideBySide } from '../reads.ts'
import { isSettled, saveFailedResult, saveResult, spanOf } from '../results.ts'
import type { KindServices } from '../services.ts'
import { Histories, type Earlier } from './history.ts'
import { Order } from './order.ts'
import { readScoreOutput } from './output.ts'
import { Premises } from './premises.ts'

/** What a score needs. */
export interface ScorerInput {
  recipe: ImageRecipe
  evaluation: Evaluation
  earlier: Earlier
}

const SERIES = 'Scores'

/** Scores trials: each evaluation goes, with those before it, through the indicator image of its match. */
export function createScorer(services: KindServices): Handler<Trial, ScorerInput, ExactNumber> {
  const { store, clock, settings } = services
  const images = new MatchImages('scorer', 'indicator', services)
  const histories = new Histories(store, clock)
  const timeoutMs = settings.orderTimeoutSeconds * 1000
  const order = settings.ordered ? new Order(store, clock, timeoutMs) : undefined
  const premises = new Premises(store, clock, timeoutMs)

  function finish(trial: Trial): void {
    order?.noteEnd(trial)
    premises.forget(trial)
  }

  return {
    identify: identifyTrial,

    prepare: (trial, job) =>
      sideBySide(job.signal, async (start) => {
        const hasWaited = order?.hasWaited(trial) === true
        if (hasWaited) await order.wait(trial)
        const settled = start((signal) => isSettled(store, SERIES, trial, signal))
        const recipe = start((signal) => images.resolve(trial, signal, job.log))
        const key = resultKey('Evaluations', 'Success', trial)
        const evaluation = start((signal) => readPatiently(() => store.get(key, signal), clock, signal))
        const readEarlier = (): Promise<Earlier> =>
          start(async (signal) => {
            const read = (): Promise<Earlier> => histories.read(trial, signal)
            return order === undefined ? await read() : await order.scout(trial, read, signal, job.log)
          })
        const isPast = histories.isPast(trial)
        const mustWait = !hasWaited && order?.isBehind(trial) === true
        const earlier = isPast || mustWait ? undefined : readEarlier()
        if (await settled) {
          finish(trial)
          return 'settled'
        }
        if (mustWait) await order.wait(trial)
        const ready = await recipe
        // It was final and is not any more: somebody has it judged again.
        if (isPast) histories.forget(trial)
        const before = await (earlier ?? readEarlier())
        const item = await evaluation
        if (item === undefined) {
          await premises.assertNoneToCome(trial, before.rejudging)
          throw missing(trial)
        }
        premises.note(job, item, before.rejudging)
        return { recipe: ready, evaluation: readEvaluation(item), earlier: before }
      }),

    run: (trial, { recipe, evaluation, earlier }, job) => {
      const work = (): Promise<ExactNumber> =>
        images.run({
          trial,
          recipe,
          input: () => inputOf(evaluation, earlier),
          read: readScoreOutput,
          job,
        })
      return order === undefined ? work() : order.whileRunning(trial, work)
    },

    saveSuccess: async (trial, score, job) => {
      await premises.assertStillTrue(trial, job)
      const outcome = await saveResult(store, SERIES, trial, scoreItem(trial, spanOf(job, clock), score), job)
      finish(trial)
      return outcome
    },

    saveFailure: async (trial, failure, job) => {
      await premises.assertStillTrue(trial, job)
      const outcome = await saveFailedResult(store, SERIES, trial, failure, job, clock)
      finish(trial)
      return outcome
    },
  }
}

/** Line 1: the trial to score; line 2: the history. */
function* inputOf(evaluation: Evaluation, earlier: Earlier): Generator<Uint8Array, void, undefined> {
  yield Buffer.from(`${formatPythonJson(evaluationJson(evaluation))}\n`)
  yield* earlier.listBytes()
  yield Buffer.from('\n')
}

function missing(trial: Trial): JobError {
  const { ID, Trial } = resultKey('Evaluations', 'Success', trial)
  const detail = `The evaluation ${ID}, ${Trial} was not found within ${GRACE_MS / 1000} seconds.`
  return new JobError('input_missing', 'Internal Server Error', detail)
}
