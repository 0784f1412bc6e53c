import { execFile } from 'node:child_process'
import type { Environment } from '../api/docker-config.ts'

/** What a GPU is. */
export interface GpuModel {
  uuid: string
  /** E.g. `NVIDIA A100-SXM4-40GB`. */
  model: string
  memoryMib: number
  /** E.g. `ampere`; left out where the driver tells nothing of it. */
  architecture?: string
}

const PATIENCE_MS = 30_000

/** From which compute capability on; the highest first. */
const ARCHITECTURES: readonly (readonly [from: number, name: string])[] = [
  [10, 'blackwell'],
  [9, 'hopper'],
  [8.9, 'ada'],
  [8, 'ampere'],
  [7.5, 'turing'],
  [7, 'volta'],
  [6, 'pascal'],
  [5, 'maxwell'],
  [3, 'kepler'],
]

/** The GPUs that the driver of this machine tells of; none where it tells nothing. */
export async function describeGpus(environment: Environment): Promise<GpuModel[]> {
  // Older drivers know nothing of compute capabilities.
  for (const more of [',compute_cap', '']) {
    const found = parseModels(await ask(`--query-gpu=uuid,name,memory.total${more}`, environment))
    if (found.length > 0) return found
  }
  return []
}

/** The CSV of `nvidia-smi --query-gpu=uuid,name,memory.total[,compute_cap]`; lines of another form are passed over. */
export function parseModels(text: string): GpuModel[] {
  return text.split('\n').flatMap((line) => {
    const [uuid = '', model = '', memory = '', capability = ''] = line.split(',').map((part) => part.trim())
    const memoryMib = Number(/^(\d+)(?: MiB)?$/.exec(memory)?.[1])
    if (!/^(?:GPU|MIG)-[\w/-]+$/.test(uuid) || model === '' || !Number.isInteger(memoryMib)) return []
    const architecture = architectureOf(Number(capability))
    return [{ uuid, model, memoryMib, ...(architecture && { architecture }) }]
  })
}

function architectureOf(capability: number): string | undefined {
  if (Number.isNaN(capability)) return undefined
  return ARCHITECTURES.find(([from]) => capability >= from)?.[1]
}

async function ask(query: string, environment: Environment): Promise<string> {
  const options = { env: environment, timeout: PATIENCE_MS, maxBuffer: 4 * 1024 ** 2 }
  return await new Promise((resolve) => {
    execFile('nvidia-smi', [query, '--format=csv,noheader'], options, (error, stdout) => {
      resolve(error === null ? stdout : '')
    })
  })
}
