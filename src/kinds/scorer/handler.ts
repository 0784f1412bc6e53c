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
  const order = new Order(store, clock, settings.orderTimeoutSeconds * 1000)
  return {
    identify: identifyTrial,

    prepare: (trial, job) =>
      sideBySide(job.signal, async (start) => {
        await order.lookAgain(trial)
        const settled = start((signal) => isSettled(store, SERIES, trial, signal))
        const recipe = start((signal) => images.resolve(trial, signal, job.log))
        const key = resultKey('Evaluations', 'Success', trial)
        const evaluation = start((signal) => readPatiently(() => store.get(key, signal), clock, signal))
        const readEarlier = (): Promise<Earlier> => start((signal) => histories.read(trial, signal))
        const earlier = histories.isPast(trial) ? undefined : readEarlier()
        if (await settled) {
          order.forget(trial)
          return 'settled'
        }
        const ready = await recipe
        // It was final and is not any more: somebody has it judged again.
        if (earlier === undefined) histories.forget(trial)
        const before = await (earlier ?? readEarlier())
        if (settings.ordered) order.assertInTurn(trial, before.blocker, job.log)
        const item = await evaluation
        if (item === undefined) throw missing(trial)
        return { recipe: ready, evaluation: readEvaluation(item), earlier: before }
      }),

    run: (trial, { recipe, evaluation, earlier }, job) =>
      order.whileRunning(trial, () =>
        images.run({
          trial,
          recipe,
          input: inputOf(evaluation, earlier),
          read: readScoreOutput,
          job,
        }),
      ),

    saveSuccess: (trial, score, job) =>
      saveResult(store, SERIES, trial, scoreItem(trial, spanOf(job, clock), score), job),

    saveFailure: (trial, failure, job) => saveFailedResult(store, SERIES, trial, failure, job, clock),
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
