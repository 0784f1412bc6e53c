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

/** UnfitError when a task needs more than a machine has in all, used or not. */
export function assertFits({ limits, gpus }: Pick<TaskSpec, 'limits' | 'gpus'>, capacity: Capacity): void {
  const { cpus, memoryBytes } = limits
  const lacks: string[] = []
  if (cpus !== undefined && cpus > capacity.cpus)
    lacks.push(`${cpus} CPU cores (limits.cpus; there are ${capacity.cpus})`)
  if (memoryBytes !== undefined && memoryBytes > capacity.memoryBytes) {
    const [needed, there] = [memoryBytes, capacity.memoryBytes].map(mebibytes)
    lacks.push(`${needed} MiB of memory (limits.memory; there are ${there})`)
  }
  if (wantsGpu(gpus)) lacks.push(...lackingGpus(gpus, capacity))
  if (lacks.length > 0) throw new UnfitError(`the job needs more than this machine has: ${lacks.join(', ')}`)
}

function lackingGpus(request: GpuRequest, { gpus, noGpus }: Capacity): string[] {
  const why = gpus.length === 0 && noGpus !== undefined ? `: ${noGpus}` : ''
  if (typeof request === 'number') {
    if (request <= gpus.length) return []
    return [`${request} ${request === 1 ? 'GPU' : 'GPUs'} (there are ${gpus.length || 'none'}${why})`]
  }
  if (request === 'all') return gpus.length > 0 ? [] : [`its GPUs (there are none${why})`]
  // Where none can be seen the engine must say whether those that are named are there.
  const missing = gpus.length === 0 ? [] : request.filter((uuid) => !gpus.includes(uuid))
  return missing.length === 0 ? [] : [`${missing.join(', ')} (there are ${gpus.join(', ')})`]
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / 1024 ** 2)
}
