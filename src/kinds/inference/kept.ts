import { childSignal } from '../../core/child-signal.ts'
import { ImageError, isSocketPath, type ImageInfo, type TaskSpec } from '../../executors/executor.ts'
import type { CallEnd, KeptCall, KeptSpec } from '../../executors/kept-pool.ts'
import { taskName } from '../../executors/run-task.ts'
import { ModelError, type Payload } from '../../models/protocol.ts'
import type { InferenceOutcome } from '../../records/inference.ts'
import { shown } from '../fields.ts'
import { timeBound } from './bounds.ts'
import type { CallOptions } from './execute.ts'
import { cutBy, timeoutCut } from './existing.ts'
import { outcomeOf } from './failure.ts'
import { JsonlSession } from './jsonl-session.ts'
import { modelCall } from './model-call.ts'
import { requestObject } from './payload.ts'
import type { InferencePlan, KeptPlan } from './plan.ts'
import type { InferenceEngine } from './services.ts'
import { ServerSession, type ModelSession } from './session.ts'

/** The server may just have died: so long its end is waited for, which says why. */
const DEATH_MS = 2000
/** Where the server of an image listens. */
const SOCKET_LABEL = 'opthub-runner.socket'
/** `line`: a model that reads lines prints `{"ready": true}` when it has loaded. */
const READY_LABEL = 'opthub-runner.ready'

/** Asks the model in a container that stays, which is started and loaded when it isn't there. */
export async function callKept(
  { request, timeoutMs, mode, kept }: InferencePlan & { mode: 'jsonl' | 'server' },
  payload: Payload,
  image: ImageInfo,
  engine: InferenceEngine,
  { signal, log, timeline, onStart }: CallOptions,
): Promise<InferenceOutcome> {
  const { clock, pool } = engine
  // Before anything is started.
  if (mode === 'jsonl') requestObject(payload)
  await using call = await pool.acquire(keptSpec(kept, mode, image, engine), signal, (phase) => {
    timeline.enter(phase === 'load' ? 'start' : phase)
  })
  log.debug('A container takes the call', { container: call.task.name, warm: call.isWarm })
  timeline.enter('run')
  timeline.markStarted()
  onStart?.()
  const since = clock.now()
  using time = timeBound(timeoutMs, timeoutCut(timeoutMs), clock)
  // `died` lives as long as the container.
  const { signal: bounded, free } = childSignal(signal, time.signal, call.died)
  const more = () => ({
    logsTail: call.logsTail(),
    coldStartMs: call.coldStartMs,
    predictMs: clock.now() - since,
    runtime: { imageDigest: image.digest ?? image.id, gpuIds: call.gpuIds, isWarm: call.isWarm },
  })
  try {
    const { output, usage, response } = await call.session.call(modelCall(request, payload), bounded)
    const told = mode === 'jsonl' ? {} : { response }
    const outcome = { ...more(), ...told, status: 'succeeded' as const, output, usage }
    call.release('ok')
    return outcome
  } catch (thrown) {
    const error = byGpus(thrown, kept)
    // The call has ended here: what may be over while its container dies is not its time.
    const cut = cutBy(signal, time.signal)
    const known = more()
    if (error instanceof ModelError && error.isCut) await untilDead(call, engine)
    call.release(endOf(error, call, bounded))
    const told = { ...known, logsTail: call.logsTail() }
    if (call.died.aborted) return outcomeOf(call.died.reason, told)
    return outcomeOf(cut ?? error, told)
  } finally {
    free()
  }
}

/** A container without GPUs has none to lose, whatever it says: that must not buy the call another try. */
function byGpus(error: unknown, { gpus }: KeptPlan): unknown {
  if (gpus > 0 || !(error instanceof ModelError) || error.type !== 'gpu_unavailable') return error
  return new ModelError('generation', error.message, { cause: error, response: error.response })
}

/** How the container is to be treated after a call that failed so. */
function endOf(error: unknown, { session, died }: KeptCall<ModelSession>, bounded: AbortSignal): CallEnd {
  if (died.aborted || session.isBroken) return 'broken'
  if (error instanceof ModelError) {
    if (error.shouldReplace) return 'broken'
    // It has answered, and all is well with it.
    if (error.type === 'validation' || error.type === 'overloaded') return 'ok'
    if (error.type === 'output_too_large') return 'abandoned'
    return 'failed'
  }
  return bounded.aborted ? 'abandoned' : 'failed'
}

async function untilDead({ died }: KeptCall<ModelSession>, { clock }: InferenceEngine): Promise<void> {
  if (died.aborted) return
  await clock.sleep(DEATH_MS, died).catch(() => undefined)
}

/** A container for a plan, and how it is to be kept. */
export function keptSpec(
  kept: KeptPlan,
  mode: 'jsonl' | 'server',
  image: ImageInfo,
  { protocol, settings }: InferenceEngine,
): KeptSpec<ModelSession> {
  const { args, env, gpus, gpuMemoryBytes } = kept
  const { limits, server } = servingOf(kept, image, settings.network)
  const task: Omit<TaskSpec, 'name'> = {
    kind: 'inference',
    image: kept.image,
    ...(args === undefined ? {} : { command: args }),
    environment: env,
    ...(gpus === 0 ? {} : { gpus }),
    ...(gpuMemoryBytes === undefined ? {} : { gpuMemoryBytes }),
    limits,
    ...(server === undefined ? {} : { server }),
    isUnique: true,
    keep: settings.keep,
  }
  const key = [
    image.id,
    kept.image,
    args ?? null,
    Object.entries(env).sort(),
    gpus,
    gpuMemoryBytes ?? null,
    limits,
    mode,
    server ?? null,
  ]
  return {
    key: JSON.stringify([...key, kept.protocol, kept.healthPath ?? null, kept.maxConcurrency]),
    task,
    name: () => taskName('inference', shortName(kept.image)),
    maxConcurrency: kept.maxConcurrency,
    keepAliveMs: kept.keepAliveMs,
    startupTimeoutMs: kept.startupTimeoutMs,
    open: (started) =>
      mode === 'jsonl'
        ? new JsonlSession(started, {
            maxLineBytes: settings.maxOutputBytes,
            saysReady: image.labels?.[READY_LABEL] === 'line',
          })
        : new ServerSession(started, {
            protocol: () => protocol(kept.protocol),
            healthPath: kept.healthPath,
            model: settings.model,
            maxBytes: settings.maxOutputBytes,
          }),
    isReady: (_task, signal, session) => session.readiness(signal),
    isIdle: (_task, signal, session) => session.isIdle(signal),
  }
}

/** An image that serves a unix socket says so by a label: then it needs no network. ImageError when that names none. */
function servingOf(
  { image, server, limits, mayNameSocket }: KeptPlan,
  { labels }: ImageInfo,
  network: 'default' | 'none' = 'none',
): Pick<KeptPlan, 'server' | 'limits'> {
  const socketPath = labels?.[SOCKET_LABEL]
  if (!mayNameSocket || socketPath === undefined) return { server, limits }
  if (!isSocketPath(socketPath)) {
    throw new ImageError(
      'not_startable',
      `Image ${image} can't be started: its label ${SOCKET_LABEL} must be an absolute path in a folder of its own, not ${shown(socketPath)}`,
    )
  }
  return { server: { socketPath }, limits: { ...limits, network } }
}

/** The last part of an image's name, for people who look at their containers. */
function shortName(image: string): string {
  return (image.split('@', 1)[0] ?? image).split('/').at(-1)?.replace(/:.*$/s, '').slice(0, 40) ?? ''
}
