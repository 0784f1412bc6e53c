import { UnfitError } from '../core/errors.ts'
import type { Capacity, GpuRequest, TaskSpec } from './executor.ts'

/** Whether a task asks for anything that a machine may not have. */
export function hasNeeds({ limits, gpus }: Pick<TaskSpec, 'limits' | 'gpus'>): boolean {
  return limits.cpus !== undefined || limits.memoryBytes !== undefined || wantsGpu(gpus)
}

/** Whether a request asks for any GPU at all. */
export function wantsGpu(gpus: GpuRequest | undefined): gpus is GpuRequest {
  return gpus !== undefined && gpus !== 0 && !(Array.isArray(gpus) && gpus.length === 0)
}

type Needs = Pick<TaskSpec, 'limits' | 'gpus'> & { gpuMemoryBytes?: number | undefined }

/** UnfitError when a task needs more than a machine has in all, used or not. */
export function assertFits({ limits, gpus, gpuMemoryBytes }: Needs, capacity: Capacity): void {
  const { cpus, memoryBytes } = limits
  const lacks: string[] = []
  if (cpus !== undefined && cpus > capacity.cpus)
    lacks.push(`${cpus} CPU cores (limits.cpus; there are ${capacity.cpus})`)
  if (memoryBytes !== undefined && memoryBytes > capacity.memoryBytes) {
    const [needed, there] = [memoryBytes, capacity.memoryBytes].map(mebibytes)
    lacks.push(`${needed} MiB of memory (limits.memory; there are ${there})`)
  }
  if (wantsGpu(gpus)) lacks.push(...lackingGpus(gpus, gpuMemoryBytes, capacity))
  if (lacks.length > 0) throw new UnfitError(`the job needs more than this machine has: ${lacks.join(', ')}`)
}

/** The GPUs with so much memory; one of which nobody knows it counts, since its job will say so. */
export function gpusWith(
  least: number | undefined,
  { gpus, gpuMemoryBytes = {} }: Capacity,
): readonly string[] {
  return least === undefined ? gpus : gpus.filter((uuid) => (gpuMemoryBytes[uuid] ?? Infinity) >= least)
}

function lackingGpus(request: GpuRequest, least: number | undefined, capacity: Capacity): string[] {
  const { gpus, noGpus } = capacity
  const why = gpus.length === 0 && noGpus !== undefined ? `: ${noGpus}` : ''
  if (typeof request === 'number') {
    const fit = gpusWith(least, capacity).length
    if (request <= fit) return []
    if (least !== undefined && request <= gpus.length) {
      const sizes = gpus.map((uuid) => mebibytes(capacity.gpuMemoryBytes?.[uuid] ?? 0)).join(', ')
      return [`${shown(request)} with ${mebibytes(least)} MiB of memory (there are GPUs with ${sizes} MiB)`]
    }
    return [`${shown(request)} (there are ${gpus.length || 'none'}${why})`]
  }
  if (request === 'all') return gpus.length > 0 ? [] : [`its GPUs (there are none${why})`]
  // Where none can be seen the engine must say whether those that are named are there.
  const missing = gpus.length === 0 ? [] : request.filter((uuid) => !gpus.includes(uuid))
  return missing.length === 0 ? [] : [`${missing.join(', ')} (there are ${gpus.join(', ')})`]
}

function shown(count: number): string {
  return `${count} ${count === 1 ? 'GPU' : 'GPUs'}`
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / 1024 ** 2)
}
