import { ImageError, type Mount, type TaskLimits, type TaskSpec } from '../executor.ts'
import type { OwnerId } from './owner.ts'
import type { Serving } from './network/serving.ts'
import { NO_SETTING, wallConfig, wallMounts, type WallSetting } from './walls/walls.ts'

/** Labels of our containers; nothing without them is ever touched. */
export const LABELS = {
  kind: 'org.opthub.runner.kind',
  process: 'org.opthub.runner.process',
  owner: 'org.opthub.runner.owner',
  keep: 'org.opthub.runner.keep',
  /** Seconds that a container of this runner may live at most. */
  ageLimit: 'org.opthub.runner.age-limit',
  /** UUIDs that it has for itself, with commas between them. */
  gpus: 'org.opthub.runner.gpus',
} as const

export interface Ownership {
  owner: OwnerId
  processName: string
  ageLimitSeconds: number
}

/** What a container gets from its surroundings, not from its spec. */
export interface Setting {
  /** `NetworkMode` of a container whose limits don't forbid a network. */
  networkMode: string
  /** /etc/hosts of a container without network, on the engine's machine; the engine makes none there. */
  hostsFile: string | undefined
  /** For a task with walls. */
  walls?: WallSetting | undefined
}

/** Published for this machine alone, on a port that the engine finds. */
const LOOPBACK = '127.0.0.1'

/** Most of a kept container's log, in two files. */
const KEPT_LOG = { 'max-size': '32m', 'max-file': '2' }

/** A task, as far as only an engine knows what it needs. */
export interface ContainerSpec extends TaskSpec {
  deviceRequests?: readonly object[]
  /** It may look at its working folder, and change nothing there. */
  isWorkdirReadOnly?: boolean
  /** How its server is reached. */
  serving?: Serving
}

/** The body of a create request. ImageError for what no engine could start. */
export function containerBody(spec: ContainerSpec, ownership: Ownership, setting: Setting): object {
  const { limits, keep, gpus, walls } = spec
  const labels = labelsOf(spec.kind, keep, ownership)
  const mounts = mountsOf(spec, setting, labels)
  const published = spec.serving?.published
  assertNoNul(spec)
  const isServer = spec.serving !== undefined
  return {
    Image: setting.walls?.image ?? spec.image,
    ...(spec.entrypoint === undefined ? {} : { Entrypoint: spec.entrypoint }),
    ...(spec.command === undefined ? {} : { Cmd: spec.command }),
    Env: Object.entries(spec.environment).map(([name, value]) => `${name}=${value}`),
    ...(spec.workdir === undefined ? {} : { WorkingDir: spec.workdir }),
    ...(limits.user === undefined ? {} : { User: limits.user }),
    Labels: {
      ...labels,
      ...(typeof gpus === 'object' ? { [LABELS.gpus]: gpus.join(',') } : {}),
    },
    AttachStdin: !isServer,
    AttachStdout: true,
    AttachStderr: true,
    // A server that reads it finds /dev/null, as under `docker run` without -i.
    OpenStdin: !isServer,
    // The container's standard input ends when ours does.
    StdinOnce: !isServer,
    Tty: false,
    // An image's own health check would only cost: nobody asks for it.
    Healthcheck: { Test: ['NONE'] },
    ...(limits.network === 'none' ? { NetworkDisabled: true } : {}),
    ...(published === undefined ? {} : { ExposedPorts: { [published]: {} } }),
    HostConfig: {
      ...hostLimits(limits),
      ...(walls === undefined ? {} : wallConfig(walls, setting.walls ?? NO_SETTING)),
      // Both together: the engine then makes no network at all, which is quicker than an empty one.
      NetworkMode: limits.network === 'none' ? 'none' : (spec.serving?.network ?? setting.networkMode),
      ...(published === undefined
        ? {}
        : { PortBindings: { [published]: [{ HostIp: LOOPBACK, HostPort: '' }] } }),
      ...(spec.deviceRequests === undefined ? {} : { DeviceRequests: spec.deviceRequests }),
      ...(mounts.length === 0 ? {} : { Mounts: mounts }),
      LogConfig: keep ? { Type: 'json-file', Config: KEPT_LOG } : { Type: 'none', Config: {} },
      // It would take the exit state with it.
      AutoRemove: false,
      RestartPolicy: { Name: 'no' },
    },
  }
}

/** Labels by which a container is known as ours. */
export function labelsOf(kind: string, keep: boolean, ownership: Ownership): Record<string, string> {
  return {
    [LABELS.kind]: kind,
    [LABELS.process]: ownership.processName,
    [LABELS.owner]: ownership.owner,
    [LABELS.keep]: String(keep),
    [LABELS.ageLimit]: String(ownership.ageLimitSeconds),
  }
}

const HOSTS = '/etc/hosts'

function mountsOf(spec: ContainerSpec, setting: Setting, labels: Record<string, string>): object[] {
  const { limits, mounts = [], walls, isWorkdirReadOnly: isReadOnly = false } = spec
  const binds = [...mounts, ...ownHosts(spec, setting)]
  if (walls === undefined) return binds.map(bind)
  const taken = [...binds.map(({ target }) => target), ...Object.keys(limits.tmpfs ?? {})]
  const more = wallMounts(walls, setting.walls ?? NO_SETTING, { labels, isReadOnly, taken })
  return [...binds.map(bind), ...more]
}

function ownHosts({ limits, mounts = [] }: TaskSpec, { hostsFile }: Setting): Mount[] {
  if (limits.network !== 'none' || hostsFile === undefined) return []
  if (mounts.some(({ target }) => target === HOSTS)) return []
  return [{ source: hostsFile, target: HOSTS, readOnly: true }]
}

/** In this form the engine refuses a source that is not there, and makes no folder in its place. */
function bind({ source, target, readOnly }: Mount): object {
  return { Type: 'bind', Source: source, Target: target, ReadOnly: readOnly }
}

function hostLimits(limits: TaskLimits): object {
  const { cpus, memoryBytes, pids, shmBytes, readOnly, tmpfs, ulimits, runtime } = limits
  return {
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
