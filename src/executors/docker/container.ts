import { ImageError, type TaskLimits, type TaskSpec } from '../executor.ts'
import type { OwnerId } from './owner.ts'

/** Labels of our containers; nothing without them is ever touched. */
export const LABELS = {
  kind: 'org.opthub.runner.kind',
  process: 'org.opthub.runner.process',
  owner: 'org.opthub.runner.owner',
  keep: 'org.opthub.runner.keep',
  /** Seconds that a container of this runner may live at most. */
  ageLimit: 'org.opthub.runner.age-limit',
} as const

export interface Ownership {
  owner: OwnerId
  processName: string
  ageLimitSeconds: number
}

/** Most of a kept container's log, in two files. */
const KEPT_LOG = { 'max-size': '32m', 'max-file': '2' }

/** The body of a create request. ImageError for what no engine could start. */
export function containerBody(spec: TaskSpec, ownership: Ownership): object {
  const { limits, keep } = spec
  assertNoNul(spec)
  return {
    Image: spec.image,
    ...(spec.command === undefined ? {} : { Cmd: spec.command }),
    Env: Object.entries(spec.environment).map(([name, value]) => `${name}=${value}`),
    ...(limits.user === undefined ? {} : { User: limits.user }),
    Labels: {
      [LABELS.kind]: spec.kind,
      [LABELS.process]: ownership.processName,
      [LABELS.owner]: ownership.owner,
      [LABELS.keep]: String(keep),
      [LABELS.ageLimit]: String(ownership.ageLimitSeconds),
    },
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: true,
    // The container's standard input ends when ours does.
    StdinOnce: true,
    Tty: false,
    // An image's own health check would only cost: nobody asks for it.
    Healthcheck: { Test: ['NONE'] },
    ...(limits.network === 'none' ? { NetworkDisabled: true } : {}),
    HostConfig: {
      ...hostLimits(limits),
      LogConfig: keep ? { Type: 'json-file', Config: KEPT_LOG } : { Type: 'none', Config: {} },
      // It would take the exit state with it.
      AutoRemove: false,
      RestartPolicy: { Name: 'no' },
    },
  }
}

function hostLimits(limits: TaskLimits): object {
  const { cpus, memoryBytes, pids, shmBytes, network, readOnly, tmpfs, ulimits, runtime } = limits
  return {
    NetworkMode: network === 'none' ? 'none' : 'default',
    ...(cpus === undefined ? {} : { NanoCpus: Math.round(cpus * 1e9) }),
    // The same for both: no swap beyond the memory.
    ...(memoryBytes === undefined ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }),
    ...(pids === undefined ? {} : { PidsLimit: pids }),
    ...(shmBytes === undefined ? {} : { ShmSize: shmBytes }),
    ...(readOnly === undefined ? {} : { ReadonlyRootfs: readOnly }),
    ...(tmpfs === undefined ? {} : { Tmpfs: tmpfs }),
    ...(ulimits === undefined
      ? {}
      : { Ulimits: Object.entries(ulimits).map(([Name, limit]) => ({ Name, Soft: limit, Hard: limit })) }),
    ...(runtime === undefined ? {} : { Runtime: runtime }),
  }
}

/** Checked here since the engine's own complaint would show the value, which may be private. */
function assertNoNul({ image, environment, command = [] }: TaskSpec): void {
  const bad = Object.entries(environment).find(
    ([name, value]) => name === '' || /[=\0]/.test(name) || value.includes('\0'),
  )
  if (bad !== undefined) {
    const name = JSON.stringify(bad[0])
    throw new ImageError(
      'not_startable',
      `Image ${image} can't be started: environment variable ${name} is not valid`,
    )
  }
  if (command.some((word) => word.includes('\0'))) {
    throw new ImageError(
      'not_startable',
      `Image ${image} can't be started: its command holds a NUL character`,
    )
  }
}
