import { messageOf, RetryableError } from '../../core/errors.ts'
import { ImageError } from '../../executors/executor.ts'
import { KeptFailure } from '../../executors/kept-pool.ts'
import { ModelError } from '../../models/protocol.ts'
import { fetchImage, modelBroken } from './execute.ts'
import { keptSpec } from './kept.ts'
import { pinnedPlan } from './plan.ts'
import type { InferenceEngine } from './services.ts'

/**
 * Resolves when the model that the operator has named is ready now: a container is started and loaded for it where there
 * is none. RetryableError('model') while it is not; settles at once where no model is named.
 */
export async function assertModelReady(engine: InferenceEngine, signal: AbortSignal): Promise<void> {
  const { existing, image } = engine.settings
  if (existing !== undefined) {
    await assertServerReady(engine, existing.protocol, existing.name, signal)
    return
  }
  if (image === undefined) return
  try {
    const plan = pinnedPlan(engine.settings)
    if (plan === undefined) {
      await engine.executor.pull(image, signal)
      return
    }
    const info = await fetchImage(plan.kept, engine, { signal })
    await engine.pool.ensureReady(keptSpec(plan.kept, plan.mode, info, engine), signal)
  } catch (error) {
    throw error instanceof ImageError || error instanceof KeptFailure ? modelBroken(image, error) : error
  }
}

async function assertServerReady(
  engine: InferenceEngine,
  protocol: Parameters<InferenceEngine['existing']>[0],
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const server = await engine.existing(protocol)
  try {
    if ((await server.readiness(signal)) !== 'loading') return
  } catch (error) {
    if (!(error instanceof ModelError)) throw error
    throw new RetryableError('model', `${name} is not ready: ${messageOf(error)}`, { cause: error })
  }
  throw new RetryableError('model', `${name} does not answer that it is ready`)
}
