import { JobError } from '../../core/errors.ts'
import { formatJson } from '../../core/json.ts'
import { tailLines } from '../../core/text.ts'
import type { ImageInfo, Mount, TaskSpec } from '../../executors/executor.ts'
import { parseResult } from '../../executors/run-json.ts'
import { runTask, taskName } from '../../executors/run-task.ts'
import type { Payload } from '../../models/protocol.ts'
import { LOGS_TAIL_BYTES, type InferenceOutcome } from '../../records/inference.ts'
import { answerOf } from './answer.ts'
import type { CallOptions } from './execute.ts'
import { jobErrorOutcome } from './failure.ts'
import { openJobFolder } from './job-folder.ts'
import { requestJson } from './payload.ts'
import type { InferencePlan } from './plan.ts'
import type { InferenceEngine } from './services.ts'

const MOST_LINES = 10_000

/** One container for one call: a line of JSON goes in, the last line that comes out is the answer. */
export async function runOneshot(
  plan: InferencePlan & { mode: 'oneshot' },
  payload: Payload,
  image: ImageInfo,
  engine: InferenceEngine,
  options: CallOptions,
): Promise<InferenceOutcome> {
  const { clock, executor, settings } = engine
  const { request, timeoutMs } = plan
  const { signal, log, timeline } = options
  await using folder = await openJobFolder(plan, engine, options)
  const bounds = {
    timeoutMs,
    maxLineBytes: settings.maxOutputBytes,
    maxTotalBytes: settings.maxTotalOutputBytes,
  }
  const since = clock.now()
  let askedAt: number | undefined
  let gpuIds: readonly string[] = []
  const result = await runTask(
    {
      start: async (spec, aborted, onPhase) => {
        const task = await executor.start(spec, aborted, onPhase)
        gpuIds = task.gpuIds ?? []
        return task
      },
    },
    {
      ...bounds,
      spec: specOf(plan, engine, folder.mounts),
      input: () => {
        askedAt = clock.now()
        options.onStart?.()
        return Buffer.from(`${formatJson(requestJson(payload))}\n`)
      },
      stopGraceSeconds: settings.stopGraceSeconds,
      stderrTailBytes: LOGS_TAIL_BYTES,
    },
    { signal, log, timeline },
  )
  const endedAt = clock.now()
  const more = {
    logsTail: tailLines(result.stderrTail, MOST_LINES),
    coldStartMs: askedAt === undefined ? null : askedAt - since,
    predictMs: askedAt === undefined ? null : endedAt - askedAt,
    runtime: { imageDigest: image.digest ?? image.id, gpuIds, isWarm: false },
  }
  timeline.enter('parse')
  try {
    const { strictExit } = settings
    const answer = parseResult(result, { ...bounds, strictExit, schema: answerOf, log })
    if (request.outputs.length > 0) timeline.enter('upload')
    await folder.send(signal)
    return { ...more, ...answer, status: 'succeeded' }
  } catch (error) {
    if (!(error instanceof JobError)) throw error
    return jobErrorOutcome(error, more)
  }
}

function specOf(
  { container, request }: InferencePlan & { mode: 'oneshot' },
  { settings }: InferenceEngine,
  mounts: readonly Mount[],
): TaskSpec {
  const { image, args, env, limits, gpus, gpuMemoryBytes } = container
  return {
    name: taskName('inference', request.id.slice(0, 40)),
    kind: 'inference',
    image,
    ...(args === undefined ? {} : { command: args }),
    environment: env,
    ...(mounts.length === 0 ? {} : { mounts }),
    ...(gpus === 0 ? {} : { gpus }),
    ...(gpuMemoryBytes === undefined ? {} : { gpuMemoryBytes }),
    limits,
    isUnique: true,
    keep: settings.keep,
  }
}
