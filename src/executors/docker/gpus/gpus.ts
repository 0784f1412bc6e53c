import { messageOf, UnfitError } from '../../../core/errors.ts'
import type { Logger } from '../../../core/log.ts'
import type { TaskSpec } from '../../executor.ts'
import { LABELS, type ContainerSpec } from '../container.ts'
import { asRecord } from '../../../core/unknown-json.ts'
import type { Engine } from '../api/engine.ts'
import { engineKind } from '../api/engine-kind.ts'
import { EngineError } from '../api/errors.ts'
import { oncePerEngine } from '../api/once-per-engine.ts'

/** How a container gets its GPUs: by a device request, by the `nvidia` runtime, or as devices of the CDI. */
export type GpuMode = 'device' | 'runtime' | 'cdi'

const RUNTIME = 'nvidia'
const VISIBLE = 'NVIDIA_VISIBLE_DEVICES'
/** NVIDIA's own word for a container that gets none. */
const NO_GPU = 'void'
const CURE =
  'Install the NVIDIA container toolkit on the machine of the engine, run `nvidia-ctk runtime configure --runtime=docker`, and restart Docker.'

/** What runs a container that names no runtime; empty when the engine does not say. */
const defaultRuntime = oncePerEngine(async (engine) => {
  const { DefaultRuntime: name } = asRecord(await engine.json('GET', '/info'))
  return typeof name === 'string' ? name : ''
})

/** Hands over GPUs, in the way that works on this engine. */
export class GpuHandover {
  readonly #engine: Engine
  readonly #wanted: GpuMode | 'auto'
  readonly #log: Logger
  /** The mode that the last container got its GPUs by. */
  #works: GpuMode | undefined

  constructor(engine: Engine, wanted: GpuMode | 'auto', log: Logger) {
    this.#engine = engine
    this.#wanted = wanted
    this.#log = log
  }

  /**
   * Starts a task by `begin`, which is called with what its container needs, once for each mode that is tried.
   * UnfitError when the engine has no way to hand over GPUs, or theirs do not work: no task ever starts without.
   */
  async start<T>(spec: TaskSpec, begin: (spec: ContainerSpec) => Promise<T>): Promise<T> {
    const { gpus } = spec
    if (gpus === undefined || gpus === 0) return await begin(await this.#withoutGpus(spec))
    if (typeof gpus !== 'object') throw new Error('GPUs are handed over by their UUIDs')
    if ((await engineKind(this.#engine)).product === 'Podman') {
      throw new UnfitError('Podman silently ignores requests for GPUs: jobs that need one run on Docker only')
    }
    let refusal: unknown
    for (const mode of await this.#modes(spec)) {
      try {
        const started = await begin(withGpus(spec, gpus, mode))
        if (this.#works !== mode) this.#log.info('GPUs are handed over', { mode })
        this.#works = mode
        return started
      } catch (error) {
        const trouble = troubleOf(error)
        if (trouble === undefined) throw error
        if (trouble === 'broken') {
          const what = `the container can't use ${gpus.join(', ')}`
          throw new UnfitError(`${what}: ${messageOf(error)}. Does nvidia-smi work there? ${CURE}`, {
            cause: error,
          })
        }
        refusal ??= error
      }
    }
    throw new UnfitError(`Docker can't hand over GPUs: ${messageOf(refusal)}. ${CURE}`, { cause: refusal })
  }

  /**
   * NVIDIA's runtime gives each container the GPUs that its environment names. Images of CUDA name all, and thus those
   * that other jobs have for themselves.
   */
  async #withoutGpus(spec: TaskSpec): Promise<ContainerSpec> {
    if (VISIBLE in spec.environment) return spec
    const runtime = spec.limits.runtime ?? (await defaultRuntime(this.#engine))
    if (!runtime.startsWith(RUNTIME)) return spec
    return { ...spec, environment: { ...spec.environment, [VISIBLE]: NO_GPU } }
  }

  async #modes({ limits }: TaskSpec): Promise<readonly GpuMode[]> {
    if (this.#wanted !== 'auto') return [this.#wanted]
    if (this.#works !== undefined && !(this.#works === 'runtime' && limits.runtime !== undefined))
      return [this.#works]
    const info = asRecord(await this.#engine.json('GET', '/info'))
    const modes: GpuMode[] = ['device']
    if (RUNTIME in asRecord(info['Runtimes']) && limits.runtime === undefined) modes.push('runtime')
    // Engines from before it say nothing of it.
    if (Array.isArray(info['CDISpecDirs']) && info['CDISpecDirs'].length > 0) modes.push('cdi')
    return modes
  }
}

function withGpus(spec: TaskSpec, uuids: readonly string[], mode: GpuMode): ContainerSpec {
  // An image or a match that names all of them must not win.
  const environment = Object.fromEntries(
    Object.entries(spec.environment).filter(([name]) => name !== VISIBLE),
  )
  const shown = { ...environment, [VISIBLE]: uuids.join(',') }
  switch (mode) {
    case 'device':
      return {
        ...spec,
        environment: shown,
        deviceRequests: [{ Driver: '', DeviceIDs: uuids, Capabilities: [['gpu']] }],
      }
    case 'runtime':
      return {
        ...spec,
        environment: shown,
        limits: { ...spec.limits, runtime: spec.limits.runtime ?? RUNTIME },
      }
    case 'cdi':
      return {
        ...spec,
        // The devices come by themselves; the runtime is to add none.
        environment: { ...environment, [VISIBLE]: NO_GPU },
        deviceRequests: [{ Driver: 'cdi', DeviceIDs: uuids.map((uuid) => `nvidia.com/gpu=${uuid}`) }],
      }
  }
}

/** What a failed start says of the GPUs: there is no such way to hand them over, or they are broken. */
function troubleOf(error: unknown): 'no_way' | 'broken' | undefined {
  const { cause } = error instanceof Error ? error : {}
  const refused = [error, cause].find((each) => each instanceof EngineError)
  if (refused === undefined) return undefined
  // Names from the image and the configuration stand in quotes.
  const said = refused.message.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
  if (
    /could not select device driver|unresolvable CDI device|CDI device injection failed|CDI .*not (enabled|supported)/i.test(
      said,
    )
  )
    return 'no_way'
  if (/unknown (or invalid )?runtime/i.test(said)) return 'no_way'
  return /nvidia-container|nvidia-ctk|libnvidia|\bnvml\b/i.test(said) ? 'broken' : undefined
}

/** The UUIDs that containers of runners have now, whoever started them. */
export async function gpusInUse(engine: Engine, signal: AbortSignal): Promise<Set<string>> {
  const filters = JSON.stringify({
    label: [LABELS.gpus],
    status: ['created', 'running', 'paused', 'restarting'],
  })
  const listed = await engine.json('GET', '/containers/json', { query: { all: '1', filters }, signal })
  const labels = (listed as { Labels: Record<string, string> }[]).map(
    ({ Labels }) => Labels[LABELS.gpus] ?? '',
  )
  return new Set(labels.flatMap((value) => value.split(',')).filter((uuid) => uuid !== ''))
}
