import { openModels } from '../app/inference.ts'
import { systemClock } from '../core/clock.ts'
import { EXIT, messageOf, OperatorError, RetryableError, UnfitError } from '../core/errors.ts'
import { formatJson } from '../core/json.ts'
import { Timeline } from '../core/timeline.ts'
import { runInference } from '../kinds/inference/execute.ts'
import { outcomeAtTerminal } from '../kinds/inference/failure.ts'
import { RequestError } from '../kinds/fields.ts'
import type { InferenceRequest } from '../kinds/inference/message.ts'
import { planInference } from '../kinds/inference/plan.ts'
import { finishedInference, type InferenceOutcome } from '../records/inference.ts'
import { formatTime } from '../records/result.ts'
import type { Item } from '../stores/store.ts'
import { serverSettings, type CallFlags, type ServerFlags } from './inference-flags.ts'
import { inferenceMessage, readCall } from './inference-message.ts'
import { printAnswer } from './inference-result.ts'
import type { Session } from './io.ts'
import { createPlainLog, quietLevel } from './logging.ts'
import { loadSettings, warningFields, type SettingFlags } from './settings.ts'
import { watchCall } from './signals.ts'

export interface RunCallFlags extends CallFlags, ServerFlags, SettingFlags {
  json?: true
}

/** Calls a model here and now, without queue or table; prints its answer, and says the exit code. */
export async function runCall(
  flags: RunCallFlags,
  args: readonly string[],
  session: Session,
): Promise<number> {
  const { io } = session
  const request = readCall(await inferenceMessage(flags, args, session))
  const settings = serverSettings(flags)
  const { config, warnings, dataDir, keys } = await loadSettings(session, { ...flags, settings }, () => [])
  const log = createPlainLog(session, quietLevel(config.log_level))
  for (const warning of warnings) log.warn('Doubtful setting', warningFields(warning))
  if (flags.image !== undefined) {
    // Whoever sits here is the operator: the flag is the permission, and says who answers.
    config.inference.allow_images = true
    if (flags.url === undefined && flags.tritonHost === undefined) {
      delete config.inference.url
      delete config.inference.triton.host
    }
  }
  const watch = watchCall(io)
  const timeline = new Timeline(systemClock)
  const createdAt = new Date()
  try {
    const models = await openModels({ config, keys, environment: io.environment, dataDir, log })
    try {
      await models.probe(watch.signal)
      const outcome = await (async () => {
        const plan = planInference(request, models.engine.settings, models.engine.isImageAllowed)
        return await runInference(plan, models.engine, { signal: watch.signal, log, timeline })
      })().catch(atTerminal)
      const item = resultItem(request, outcome, timeline, createdAt)
      if (flags.json !== true) return printAnswer(item, io)
      io.stdout.write(`${formatJson(new Map(Object.entries(item)))}\n`)
      return outcome.status === 'succeeded' ? EXIT.drained : EXIT.failedStart
    } finally {
      await models.close()
    }
  } catch (error) {
    const endedBy = watch.exitCode()
    if (endedBy === undefined) throw explain(error)
    return endedBy
  } finally {
    watch.dispose()
  }
}

/** What is wrong with the call before anything is started is a mistake of its caller. */
function atTerminal(error: unknown): InferenceOutcome {
  if (!(error instanceof RequestError)) return outcomeAtTerminal(error)
  throw new OperatorError(
    'The call makes no sense',
    error.message,
    'Mend that; nothing was started.',
    EXIT.usage,
  )
}

/** The whole result: what a queue's runner would store, without what only that needs. */
function resultItem(
  { id, metadata }: InferenceRequest,
  outcome: InferenceOutcome,
  timeline: Timeline,
  createdAt: Date,
): Item {
  const finishedAt = new Date()
  const item = finishedInference(
    {
      ...{ id, metadata, finishedAt, attempt: 1, token: '', worker: 'inference' },
      queueMs: null,
      pullMs: timeline.phases().pull ?? null,
      totalMs: finishedAt.getTime() - createdAt.getTime(),
      createdAt: formatTime(createdAt),
      startedAt: timeline.startedAt,
    },
    outcome,
  )
  return Object.fromEntries(Object.entries(item).filter(([key]) => key !== 'Token'))
}

function explain(error: unknown): unknown {
  if (error instanceof UnfitError) {
    const hint = 'Ask for less, or run it on another machine.'
    return new OperatorError("This machine can't run it", error.message, hint, EXIT.unavailable, {
      cause: error,
    })
  }
  if (error instanceof RetryableError && error.surrounding === 'engine') {
    const hint = 'Is Docker running? `opthub-runner doctor` tells more.'
    return new OperatorError('The model could not be called', messageOf(error), hint, EXIT.unavailable, {
      cause: error,
    })
  }
  return error
}
