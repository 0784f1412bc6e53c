import { ModelError, type Payload } from '../../models/protocol.ts'
import type { InferenceOutcome } from '../../records/inference.ts'
import { timeBound } from './bounds.ts'
import type { CallOptions } from './execute.ts'
import { Cut, outcomeOf, TryAgainError } from './failure.ts'
import { modelCall } from './model-call.ts'
import type { InferencePlan } from './plan.ts'
import type { InferenceEngine } from './services.ts'

/** Has a server answer that nobody here has started. */
export async function callExisting(
  { request, timeoutMs, existing }: InferencePlan & { mode: 'existing' },
  payload: Payload,
  engine: InferenceEngine,
  { signal, timeline, onStart }: CallOptions,
): Promise<InferenceOutcome> {
  const { clock } = engine
  const server = await engine.existing(existing.protocol)
  timeline.enter('run')
  timeline.markStarted()
  onStart?.()
  const since = clock.now()
  using time = timeBound(timeoutMs, timeoutCut(timeoutMs), clock)
  const bounded = AbortSignal.any([signal, time.signal])
  const more = () => ({
    coldStartMs: 0,
    predictMs: clock.now() - since,
    runtime: { imageDigest: null, gpuIds: [], isWarm: true },
  })
  try {
    const { output, usage, response } = await server.call(modelCall(request, payload), bounded)
    return { ...more(), status: 'succeeded', output, usage, response, logsTail: '' }
  } catch (error) {
    const cut = cutBy(signal, time.signal)
    if (cut !== undefined) return outcomeOf(cut, more())
    // No container tells why it ended: the server may have been started anew.
    if (error instanceof ModelError && error.isCut)
      throw new TryAgainError('model_unavailable', error.message, { cause: error })
    return outcomeOf(error, more())
  }
}

/** Why a call was ended, by the first of these signals that was aborted; undefined when it ended by itself. */
export function cutBy(...signals: readonly AbortSignal[]): unknown {
  return signals.find((signal) => signal.aborted)?.reason
}

/** Why a call is ended whose time is over. */
export function timeoutCut(timeoutMs: number): Cut {
  return new Cut('timeout', `The model did not answer within ${timeoutMs / 1000} s.`)
}
