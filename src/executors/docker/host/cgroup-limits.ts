import { readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'

/** What the kernel lets this process use; what has no limit is left out. */
export interface CgroupLimits {
  cpus?: number
  memoryBytes?: number
}

const ROOT = '/sys/fs/cgroup'
/** What cgroup v1 says for no limit is near 2^63. */
const NO_LIMIT = 2 ** 60

/**
 * The limits of this process's own control group and of those above it, as far as they can be seen from here: both
 * versions, in a container and outside. `root` is for tests. Never throws.
 */
export async function cgroupLimits(root = ROOT, ownFile = '/proc/self/cgroup'): Promise<CgroupLimits> {
  const own = await readText(ownFile)
  const found: CgroupLimits[] = []
  for (const line of own.split('\n')) {
    const [, controllers = '', path = ''] = line.split(':')
    if (!path.startsWith('/')) continue
    for (const folder of upwards(path)) {
      if (controllers === '') found.push(await readV2(join(root, folder)))
      else found.push(await readV1(root, controllers, folder))
    }
  }
  const cpus = Math.min(...found.map((each) => each.cpus ?? Infinity))
  const memoryBytes = Math.min(...found.map((each) => each.memoryBytes ?? Infinity))
  return { ...(cpus < Infinity && { cpus }), ...(memoryBytes < Infinity && { memoryBytes }) }
}

/** `/a/b`, `/a`, `/`. */
function upwards(path: string): string[] {
  const all = [path]
  for (let at = path; at !== '/';) all.push((at = posix.dirname(at)))
  return all
}

async function readV2(folder: string): Promise<CgroupLimits> {
  const [memory, cpu] = await Promise.all([
    readText(join(folder, 'memory.max')),
    readText(join(folder, 'cpu.max')),
  ])
  const [quota = '', period = ''] = cpu.trim().split(' ')
  return limits(memory, quota, period)
}

async function readV1(root: string, controllers: string, folder: string): Promise<CgroupLimits> {
  const names = controllers.split(',')
  const at = (controller: string, file: string): Promise<string> =>
    names.includes(controller) ? readText(join(root, controller, folder, file)) : Promise.resolve('')
  const [memory, quota, period] = await Promise.all([
    at('memory', 'memory.limit_in_bytes'),
    at('cpu', 'cpu.cfs_quota_us'),
    at('cpu', 'cpu.cfs_period_us'),
  ])
  return limits(memory, quota, period)
}

function limits(memory: string, quota: string, period: string): CgroupLimits {
  const memoryBytes = positive(memory)
  const cpus = (positive(quota) ?? NaN) / (positive(period) ?? NaN)
  return {
    ...(memoryBytes !== undefined && memoryBytes < NO_LIMIT && { memoryBytes }),
    ...(!Number.isNaN(cpus) && { cpus }),
  }
}

function positive(text: string): number | undefined {
  return /^\d+$/.test(text.trim()) && Number(text) > 0 ? Number(text) : undefined
}

async function readText(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch(() => '')
}
