import { randomBytes } from 'node:crypto'
import { constants, writeFileSync } from 'node:fs'
import { access, readdir, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../../../core/errors.ts'
import type { Logger } from '../../../core/log.ts'
import type { Usage } from '../../executor.ts'
import { isVirtual } from '../host/engine-data.ts'
import type { Engine } from '../api/engine.ts'
import { readNow } from '../host/host-process.ts'
import type { OwnerId, OwnerState } from '../owner.ts'

const ROOT = '/sys/fs/cgroup'
/** Begins the names of our groups, each of which tells whose it is. */
const PREFIX = 'opthub-runner_'
/** Stands where the id of an owner has colons, which part the fields of /proc/PID/cgroup. */
const SEPARATOR = '_'

/** Where this machine's control groups are: one tree, or one for each sort of resource. */
interface Trees {
  /** Folders in each of which a group has a folder of its own. */
  all: readonly string[]
  readUsage(name: string): Usage
  /** The file of a group that bounds its processor time, and what stands in there when nothing does. */
  quota: { path: (group: string) => string; none: string }
}

/** A control group that outlives the container in it, so that it can tell what that has used to its very end. */
export interface ControlGroup {
  /** As a container's create request names it. */
  readonly parent: string
  usage(): Usage
  /** Lets the processes of its container, which have been killed, have all the time that they need to end. */
  hasten(containerId: string): void
  /** To be called when its container is gone. Settles at once; what can't be removed yet is tried again later. */
  close(): void
}

/** Makes control groups above those of containers, where engine and machine let us. */
export class ControlGroups {
  readonly #engine: Engine
  readonly #owner: () => Promise<OwnerId>
  readonly #log: Logger
  #trees: Promise<Trees | undefined> | undefined
  /** Names of those whose container is gone. */
  readonly #left = new Set<string>()
  readonly #busy = new Set<Promise<unknown>>()

  constructor(engine: Engine, owner: () => Promise<OwnerId>, log: Logger) {
    this.#engine = engine
    this.#owner = owner
    this.#log = log
  }

  /** A new one, which the engine will make; undefined where what it counts could not be read or removed from here. */
  async open(): Promise<ControlGroup | undefined> {
    const trees = await this.#find()
    if (trees === undefined) return undefined
    const owner = (await this.#owner()).replaceAll(':', SEPARATOR)
    const name = `${PREFIX}${owner}${SEPARATOR}${randomBytes(6).toString('hex')}`
    let inAll: Usage | undefined
    return {
      parent: `/${name}`,
      usage: () => inAll ?? trees.readUsage(name),
      hasten: (containerId) => {
        // Else they wait for the processor as they did before, some of them for long.
        writeNow(trees.quota.path(`${name}/${containerId}`), trees.quota.none)
      },
      close: () => {
        if (inAll !== undefined) return
        inAll = trees.readUsage(name)
        this.#left.add(name)
        this.#track(this.#remove(trees, name))
      },
    }
  }

  /** Removes those that dead runners have left, and once more those that could not be removed. */
  async reap(stateOf: (owner: OwnerId) => Promise<OwnerState>): Promise<void> {
    const trees = await this.#find()
    if (trees === undefined) return
    for (const name of this.#left) await this.#remove(trees, name)
    const names = await Promise.all(trees.all.map((tree) => readdir(tree).catch(() => [])))
    for (const name of new Set(names.flat().filter((each) => each.startsWith(PREFIX)))) {
      const owner = name.slice(PREFIX.length, name.lastIndexOf(SEPARATOR)).replaceAll(SEPARATOR, ':')
      if ((await stateOf(owner)) === 'dead') await this.#remove(trees, name)
    }
  }

  /** Resolves when all that could be removed is. */
  async settle(): Promise<void> {
    await Promise.all(this.#busy)
    const trees = await this.#trees?.catch(() => undefined)
    if (trees !== undefined) for (const name of this.#left) await this.#remove(trees, name)
  }

  async #find(): Promise<Trees | undefined> {
    this.#trees ??= findTrees(this.#engine)
    try {
      return await this.#trees
    } catch (error) {
      // Asked again: it is the engine that could not answer.
      this.#trees = undefined
      throw error
    }
  }

  #track(work: Promise<unknown>): void {
    const tracked = work.finally(() => {
      this.#busy.delete(tracked)
    })
    this.#busy.add(tracked)
  }

  async #remove(trees: Trees, name: string): Promise<void> {
    try {
      for (const tree of trees.all) await removeGroup(join(tree, name))
      this.#left.delete(name)
    } catch (error) {
      this.#log.debug('A control group could not be removed yet', { group: name, error: messageOf(error) })
    }
  }
}

async function removeGroup(folder: string): Promise<void> {
  try {
    await rmdir(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

interface InfoAnswer {
  CgroupDriver?: string
  CgroupVersion?: string
  OperatingSystem?: string
  Name?: string
}

/** Undefined when the engine's groups are not this machine's, are not ours to remove, or systemd's. */
async function findTrees(engine: Engine): Promise<Trees | undefined> {
  if (!engine.label.startsWith('unix://')) return undefined
  const info = (await engine.json('GET', '/info')) as InfoAnswer
  // systemd removes a group with the last process in it, and what it has counted.
  if (info.CgroupDriver !== 'cgroupfs' || isVirtual(info)) return undefined
  const isUnified = info.CgroupVersion === '2'
  try {
    if (isUnified) {
      await access(ROOT, constants.W_OK)
      await access(join(ROOT, 'cgroup.subtree_control'), constants.W_OK)
      return { all: [ROOT], readUsage: readUnified, quota: UNIFIED_QUOTA }
    }
    await access(join(ROOT, 'memory'), constants.W_OK)
    const names = await readdir(ROOT, { withFileTypes: true })
    const all = names.filter((each) => each.isDirectory()).map(({ name }) => join(ROOT, name))
    return { all, readUsage: readSeparate, quota: SEPARATE_QUOTA }
  } catch {
    return undefined
  }
}

const SEPARATE_QUOTA = { path: (group: string) => `${ROOT}/cpu/${group}/cpu.cfs_quota_us`, none: '-1' }
const UNIFIED_QUOTA = { path: (group: string) => `${ROOT}/${group}/cpu.max`, none: 'max' }

function readSeparate(name: string): Usage {
  return usageOf(
    numberIn(`${ROOT}/cpuacct/${name}/cpuacct.usage`, /^(\d+)$/m, 1e6),
    numberIn(`${ROOT}/memory/${name}/memory.max_usage_in_bytes`, /^(\d+)$/m, 1),
  )
}

function readUnified(name: string): Usage {
  return usageOf(
    numberIn(`${ROOT}/${name}/cpu.stat`, /^usage_usec (\d+)$/m, 1e3),
    numberIn(`${ROOT}/${name}/memory.peak`, /^(\d+)$/m, 1),
  )
}

/** What is 0 has not been counted. */
function usageOf(cpuMs: number | undefined, memoryPeakBytes: number | undefined): Usage {
  return { ...(cpuMs ? { cpuMs } : {}), ...(memoryPeakBytes ? { memoryPeakBytes } : {}) }
}

function numberIn(path: string, pattern: RegExp, unit: number): number | undefined {
  const digits = pattern.exec(readNow(path) ?? '')?.[1]
  return digits === undefined ? undefined : Number(digits) / unit
}

function writeNow(path: string, text: string): void {
  try {
    // Never made where it is not.
    writeFileSync(path, text, { flag: 'r+' })
  } catch {
    // It has ended, or there is nothing to be written.
  }
}
