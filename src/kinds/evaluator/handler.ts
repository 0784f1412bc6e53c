import { JobError } from '../../core/errors.ts'
import { formatPythonJson, type Json } from '../../core/json.ts'
import type { Handler, JobContext } from '../../core/kind.ts'
import type { ImageRecipe } from '../../matches/matches.ts'
import { evaluationItem, type Evaluation } from '../../records/evaluation.ts'
import { resultKey, solutionKey, type Trial } from '../../records/keys.ts'
import { readVariable } from '../../records/solution.ts'
import { MatchImages } from '../match-image.ts'
import { formatTrialMessage, identifyTrial } from '../message.ts'
import { GRACE_MS, readPatiently, sideBySide } from '../reads.ts'
import { isSettled, saveFailedResult, saveResult, spanOf } from '../results.ts'
import type { KindServices } from '../services.ts'
import { readEvaluationOutput } from './output.ts'

/** What an evaluation needs. */
export interface EvaluatorInput {
  recipe: ImageRecipe
  variable: Json
}

const SERIES = 'Evaluations'

/** Evaluates solutions: each trial's variable goes through the problem image of its match. */
export function createEvaluator(services: KindServices): Handler<Trial, EvaluatorInput, Evaluation> {
  const { store, clock, forward } = services
  const images = new MatchImages('evaluator', 'problem', services)
  /** Results that this process wrote itself. */
  const wentWell = new WeakMap<JobContext, boolean>()
  return {
    identify: identifyTrial,

    prepare: (trial, job) =>
      sideBySide(job.signal, async (start) => {
        const settled = start((signal) => isSettled(store, SERIES, trial, signal))
        const recipe = start((signal) => images.resolve(trial, signal, job.log))
        const solution = start((signal) =>
          readPatiently(() => store.get(solutionKey(trial), signal), clock, signal),
        )
        if (await settled) return 'settled'
        const ready = await recipe
        const item = await solution
        const variable = item && readVariable(item)
        if (variable === undefined) throw missing(item === undefined, trial)
        return { recipe: ready, variable }
      }),

    run: (trial, { recipe, variable }, job) =>
      images.run({
        trial,
        recipe,
        input: Buffer.from(`${formatPythonJson(variable)}\n`),
        read: readEvaluationOutput,
        job,
      }),

    saveSuccess: async (trial, evaluation, job) => {
      const item = evaluationItem(trial, spanOf(job, clock), evaluation)
      const outcome = await saveResult(store, SERIES, trial, item, job)
      if (outcome === 'written') wentWell.set(job, true)
      return outcome
    },

    saveFailure: async (trial, failure, job) => {
      const outcome = await saveFailedResult(store, SERIES, trial, failure, job, clock)
      if (outcome === 'written') wentWell.set(job, false)
      return outcome
    },

    ...(forward && {
      // Also for a result that was found: whoever wrote it may have died before its message was sent.
      announce: async (trial: Trial, job: JobContext) => {
        const success =
          wentWell.get(job) ?? (await store.get(resultKey(SERIES, 'Success', trial))) !== undefined
        if (success) await forward(formatTrialMessage(trial))
      },
    }),
  }
}

function missing(entirely: boolean, trial: Trial): JobError {
  const { ID, Trial } = solutionKey(trial)
  const what = entirely ? `was not found within ${GRACE_MS / 1000} seconds` : 'has no Variable'
  return new JobError('input_missing', 'Internal Server Error', `The solution ${ID}, ${Trial} ${what}.`)
}
