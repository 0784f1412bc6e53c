import { RetryableError } from '../../core/errors.ts'
import { formatJson } from '../../core/json.ts'
import type { Logger } from '../../core/log.ts'
import type { Timeline } from '../../core/timeline.ts'
import { ImageError, type Executor, type ImageInfo } from '../../executors/executor.ts'
import { KeptFailure } from '../../executors/kept-pool.ts'
import { assertFits, hasNeeds } from '../../executors/resource-fit.ts'
import type { InferenceOutcome } from '../../records/inference.ts'
import { deadlineBound, deadlineCut } from './bounds.ts'
import { callExisting } from './existing.ts'
import { Cut, failedOutcome, outcomeOf } from './failure.ts'
import { callKept } from './kept.ts'
import { runOneshot } from './oneshot.ts'
import { resolvePayload } from './payload.ts'
import type { ContainerPlan, InferencePlan } from './plan.ts'
import type { InferenceEngine } from './services.ts'

/** What surrounds one call. */
export interface CallOptions {
  /** Aborted when the call must end at once, and nothing of it is kept. */
  signal: AbortSignal
  log: Logger
  timeline: Timeline
  /** Aborted when its owner wants it no more. */
  cancel?: AbortSignal
  /** Just before the model is asked. */
  onStart?: () => void
}

/**
 * Calls a model here and now, without a queue or a table. What is wrong with the request, with the model or with its answer
 * is an outcome. Throws TryAgainError for what may pass by itself, RetryableError('model') for a model that the operator
 * has named, and what the engine throws.
 */
export async function runInference(
  plan: InferencePlan,
  engine: InferenceEngine,
  options: CallOptions,
): Promise<InferenceOutcome> {
  const { request } = plan
  const { clock } = engine
  if (request.deadline !== undefined && request.deadline <= clock.date())
    return outcomeOf(deadlineCut(request.deadline))
  using deadline = deadlineBound(request.deadline, clock)
  const cancel = new AbortController()
  const onCancel = (): void => {
    cancel.abort(new Cut('canceled', 'its owner wanted it no more'))
  }
  options.cancel?.addEventListener('abort', onCancel, { once: true })
  if (options.cancel?.aborted === true) onCancel()
  const signals = [options.signal, cancel.signal, ...(deadline === undefined ? [] : [deadline.signal])]
  const signal = AbortSignal.any(signals)
  try {
    const outcome = await attempt(plan, engine, { ...options, signal })
    return await deliver(outcome, plan, engine, signal)
  } catch (error) {
    options.signal.throwIfAborted()
    // Whatever a cut looks like where it hits.
    return outcomeOf(signal.aborted ? signal.reason : byFault(error, plan))
  } finally {
    options.cancel?.removeEventListener('abort', onCancel)
    options.timeline.leave()
  }
}

async function attempt(
  plan: InferencePlan,
  engine: InferenceEngine,
  options: CallOptions,
): Promise<InferenceOutcome> {
  const { signal } = options
  const { files, settings } = engine
  const payload = await resolvePayload(plan.request, files, { signal, maxBytes: settings.maxFileBytes })
  if (plan.mode === 'existing') return await callExisting(plan, payload, engine, options)
  if (plan.mode === 'oneshot') {
    const image = await fetchImage(plan.container, engine, options)
    return await runOneshot(plan, payload, image, engine, options)
  }
  const image = await fetchKeptImage(plan.kept, engine, options)
  return await callKept(plan, payload, image, engine, options)
}

/** Makes the plan's image present. UnfitError when this machine could never run it. */
export async function fetchImage(
  { image, limits, gpus, gpuMemoryBytes }: ContainerPlan,
  { executor }: InferenceEngine,
  { signal, timeline }: Pick<CallOptions, 'signal'> & { timeline?: Timeline },
): Promise<ImageInfo> {
  // Before the pull, which may be long and for nothing.
  if (hasNeeds({ limits, gpus }))
    assertFits({ limits, gpus, gpuMemoryBytes }, await executor.capacity(signal))
  timeline?.enter('pull')
  try {
    return await executor.pull(image, signal, limits.platform)
  } finally {
    timeline?.leave()
  }
}

/** So long what is known of an image will do for the next call: one that is warm need not ask the engine anything. */
const KNOWN_MS = 1000

/** The images of kept containers, as they were seen last, by plan. */
const seen = new WeakMap<Executor, Map<string, { image: ImageInfo; at: number }>>()

/** As fetchImage, for containers that stay. */
async function fetchKeptImage(
  plan: ContainerPlan,
  engine: InferenceEngine,
  options: CallOptions,
): Promise<ImageInfo> {
  const { executor, clock } = engine
  const images = seen.get(executor) ?? new Map<string, { image: ImageInfo; at: number }>()
  seen.set(executor, images)
  const { image: name, limits, gpus, gpuMemoryBytes } = plan
  const key = JSON.stringify([name, limits, gpus, gpuMemoryBytes ?? null])
  const last = images.get(key)
  if (last !== undefined && clock.now() - last.at < KNOWN_MS) return last.image
  const image = await fetchImage(plan, engine, options)
  const now = clock.now()
  // Messages may name any number of images in the course of time.
  for (const [each, { at }] of images) if (now - at >= KNOWN_MS) images.delete(each)
  images.set(key, { image, at: now })
  return image
}

/** What the operator has named is the operator's to mend: no job fails for it. */
function byFault(error: unknown, plan: InferencePlan): unknown {
  const container =
    plan.mode === 'oneshot' ? plan.container : plan.mode === 'existing' ? undefined : plan.kept
  const isOfModel = error instanceof ImageError || error instanceof KeptFailure
  return container?.isPinned === true && isOfModel ? modelBroken(container.image, error) : error
}

/** The model that the operator has named can't be had; the end of its log is part of the message. */
export function modelBroken(image: string, error: ImageError | KeptFailure): RetryableError {
  const tail = error instanceof KeptFailure && error.logsTail !== '' ? `\n${error.logsTail.trimEnd()}` : ''
  return new RetryableError('model', `The model in ${image} is not ready: ${error.message}${tail}`, {
    cause: error,
  })
}

/** Writes the output where the message wants it. */
async function deliver(
  outcome: InferenceOutcome,
  { request: { outputLocation } }: InferencePlan,
  { files }: InferenceEngine,
  signal: AbortSignal,
): Promise<InferenceOutcome> {
  if (outcome.status !== 'succeeded' || outputLocation === undefined) return outcome
  const bytes = Buffer.from(`${formatJson(outcome.output)}\n`)
  try {
    await files.writeBytes(outputLocation, bytes, { signal, contentType: 'application/json' })
  } catch (error) {
    const { error: failure } = outcomeOf(error)
    return failedOutcome(failure?.type ?? 'internal', failure?.message ?? '', outcome)
  }
  return { ...outcome, outputLocation: withoutQuery(outputLocation) }
}

/** A query may be a signature. */
function withoutQuery(url: string): string {
  return /^https?:/.test(url) ? url.replace(/[?#].*$/s, '') : url
}
