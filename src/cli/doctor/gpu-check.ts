import type { Environment } from '../../config/problem.ts'
import type { Config } from '../../config/schema.ts'
import type { GpuReport } from '../../executors/docker/gpus/gpu-discovery.ts'
import type { GpuRequest } from '../../executors/executor.ts'
import { wantsGpu } from '../../executors/resource-fit.ts'
import type { FoundEngine } from './docker-checks.ts'
import { failed, ok, unchecked, type Finding } from './finding.ts'

export interface GpuContext {
  found: Promise<FoundEngine>
  /** Undefined when it can't be used at all. */
  config: Config | undefined
  environment: Environment
  signal: AbortSignal
}

const INSTALL =
  'Install the NVIDIA container toolkit on the machine of the engine (https://docs.nvidia.com/datacenter/cloud-native/container-toolkit), run `nvidia-ctk runtime configure --runtime=docker`, and restart Docker.'

/** Whether the machine has the GPUs that jobs will ask for, and a way to hand them over. Starts no container. */
export async function checkGpus({ found, config, environment, signal }: GpuContext): Promise<Finding> {
  if (config === undefined) return unchecked('the config has mistakes')
  const requests = requestsOf(config)
  if (requests.length === 0) return unchecked('no setting asks for a GPU')
  const there = await found.catch(() => undefined)
  if (there === undefined) return unchecked("Docker can't be used")
  const { inspectGpus } = await import('../../executors/docker/gpus/gpu-discovery.ts')
  return judge(await inspectGpus(there.engine, environment, signal), requests, config)
}

/** What jobs will ask for, each once. */
function requestsOf({ gpus, matches }: Config): GpuRequest[] {
  const own = Object.values(matches).flatMap(({ problem, indicator }) => [problem?.gpus, indicator?.gpus])
  const all: (GpuRequest | undefined)[] = [gpus, ...own]
  return all.filter(wantsGpu)
}

function judge({ gpus, noGpus, way }: GpuReport, requests: readonly GpuRequest[], config: Config): Finding {
  const allowed = config.docker.gpus
  const share =
    allowed === undefined || gpus.length === 0 ? gpus : gpus.filter((uuid) => allowed.includes(uuid))
  if (gpus.length === 0 && way === 'unknown' && (allowed !== undefined || requests.every(Array.isArray)))
    return unchecked('the GPUs of an engine on another machine can not be seen from here')
  if (gpus.length === 0) {
    const fix = `Install the NVIDIA driver, so that \`nvidia-smi\` lists the GPUs for this user; or set gpus: 0.`
    return failed(`jobs ask for GPUs, and there are none: ${noGpus ?? 'nobody lists any'}`, fix)
  }
  if (way === 'none') return failed('Docker has no way to hand over GPUs', INSTALL)
  const named = [
    ...(allowed ?? []),
    ...requests.flatMap((request) => (typeof request === 'object' ? request : [])),
  ]
  const missing = [...new Set(named)].filter((uuid) => !gpus.includes(uuid))
  if (missing.length > 0) {
    const fix = 'Take the UUIDs from `nvidia-smi -L`.'
    return failed(`the settings name ${missing.join(', ')}, and there are ${gpus.join(', ')}`, fix)
  }
  const most = Math.max(0, ...requests.map((request) => (typeof request === 'number' ? request : 0)))
  if (most > share.length) {
    const fix = 'Such jobs go back to the queue for a machine with more: lower gpus, or raise docker.gpus.'
    return failed(`jobs ask for ${most} at a time, and runners may give them ${share.length}`, fix)
  }
  return ok(`${share.length} for jobs, handed over by ${WAYS[way]}`)
}

const WAYS = {
  toolkit: 'the NVIDIA container toolkit',
  runtime: 'the NVIDIA container toolkit',
  cdi: 'CDI',
  unknown: 'an engine on another machine',
}
