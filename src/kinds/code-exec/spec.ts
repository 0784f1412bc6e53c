import type { Mount, TaskLimits, TaskSpec, Walls, Workdir, WorkdirSpec } from '../../executors/executor.ts'
import { taskName } from '../../executors/run-task.ts'
import type { Plan, Step } from './plan.ts'
import type { CodeExecEngine } from './services.ts'
import type { Limits } from './settings.ts'

/** Where the program works, and finds its files. */
export const WORK_FOLDER = '/work'
/** Nobody's. */
const UID = 65534
const SHM_BYTES = 16 * 1024 ** 2
/** Files may be empty; these many would fill a folder of theirs with blocks. */
const BLOCK_BYTES = 4096
const MOST_INODES = 65_536
const FEWEST_INODES = 1024

/** The working folder of a job with these limits. */
export function workdirSpec({ diskBytes }: Limits): WorkdirSpec {
  return { path: WORK_FOLDER, bytes: diskBytes, inodes: inodesOf(diskBytes), uid: UID }
}

/** The container of a step. Its walls are all that it has to do with its job, unless it is the only one of its kind. */
export function taskSpec(
  { seccomp, settings }: CodeExecEngine,
  plan: Plan,
  step: Step,
  more: { workdir?: Workdir | undefined; mounts: readonly Mount[] },
): TaskSpec {
  const { workdir, mounts } = more
  const walls: Walls = {
    seccomp,
    workdir: workdir ?? workdirSpec(step.limits),
    ...(plan.internet === undefined ? {} : { internet: plan.internet }),
  }
  return {
    name: taskName('code-exec', plan.request.id.slice(0, 40)),
    kind: 'code-exec',
    image: plan.image,
    command: step.command,
    environment: { HOME: WORK_FOLDER, ...step.env },
    workdir: WORK_FOLDER,
    ...(mounts.length === 0 ? {} : { mounts }),
    ...(plan.gpus === 0 ? {} : { gpus: plan.gpus }),
    limits: taskLimits(step.limits, plan.internet === undefined, settings.runtime),
    walls,
    keep: settings.keep,
    ...(step.isCommon && workdir === undefined ? {} : { isUnique: true }),
  }
}

function taskLimits(limits: Limits, isOffline: boolean, runtime: string | undefined): TaskLimits {
  const { cpus, memoryBytes, pids, openFiles, fileSizeBytes, cpuTimeMs, diskBytes } = limits
  return {
    cpus,
    memoryBytes,
    pids,
    shmBytes: Math.min(SHM_BYTES, memoryBytes),
    ...(isOffline ? { network: 'none' as const } : {}),
    readOnly: true,
    user: `${UID}:${UID}`,
    tmpfs: { '/tmp': `size=${diskBytes},nr_inodes=${inodesOf(diskBytes)},mode=1777,nosuid,nodev` },
    // The kernel counts whole seconds, and each process for itself: a second wall behind that of all together.
    ulimits: { nofile: openFiles, fsize: fileSizeBytes, core: 0, cpu: Math.ceil(cpuTimeMs / 1000) + 1 },
    ...(runtime === undefined ? {} : { runtime }),
  }
}

function inodesOf(bytes: number): number {
  return Math.max(FEWEST_INODES, Math.min(MOST_INODES, Math.ceil(bytes / BLOCK_BYTES)))
}
