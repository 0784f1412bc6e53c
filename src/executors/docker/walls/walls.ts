import { posix } from 'node:path'
import type { TaskLimits, TaskSpec, Walls, Workdir, WorkdirSpec } from '../../executor.ts'

/** What a container within walls gets from its surroundings. */
export interface WallSetting {
  /** Id of its image: just the one whose volumes these are. */
  image: string | undefined
  /** Where its image says that volumes belong. */
  volumes: readonly string[]
  /** The control group above its own, which counts what it uses. */
  cgroupParent: string | undefined
}

/** Of an image without volumes. */
export const NO_SETTING: WallSetting = { image: undefined, volumes: [], cgroupParent: undefined }

/** An empty folder, and nothing can be put in: it is mounted read-only besides. */
const CLOSED = { SizeBytes: 4096, Mode: 0o555 }

/** 0 would be no bound at all. */
const MIN_WORKDIR_BYTES = 4096

/** The spec with what its limits leave out set as walls want it: a wall that nobody names must not be a gap. */
export function withinWalls<T extends TaskSpec>(spec: T): T {
  const { walls, limits } = spec
  if (walls === undefined) return spec
  const { uid, path } = specOf(walls.workdir)
  const { user = String(uid) } = limits
  return {
    ...spec,
    workdir: spec.workdir ?? path,
    limits: {
      readOnly: true,
      ...limits,
      // Else the engine takes the group from the image, or root's.
      user: /^\d+$/.test(user) ? `${user}:${user}` : user,
      ...(walls.internet === undefined ? { network: 'none' } : {}),
    } satisfies TaskLimits,
  }
}

/** The part of a `HostConfig` that stands for walls, mounts aside. */
export function wallConfig(walls: Walls, { cgroupParent }: WallSetting): object {
  return {
    CapDrop: ['ALL'],
    SecurityOpt: ['no-new-privileges', `seccomp=${walls.seccomp}`],
    // It takes in orphans, and lets a signal end the program that would not end the first process of a container.
    Init: true,
    IpcMode: 'private',
    // Nothing of the machine's control groups is to be seen inside, such as whose task this is.
    CgroupnsMode: 'private',
    ...(cgroupParent === undefined ? {} : { CgroupParent: cgroupParent }),
  }
}

/** The mounts that walls need. `taken` are the paths where something is mounted anyway. */
export function wallMounts(
  { workdir }: Walls,
  { volumes }: WallSetting,
  options: { labels: Readonly<Record<string, string>>; isReadOnly: boolean; taken: readonly string[] },
): object[] {
  const { labels, isReadOnly, taken } = options
  const { path } = specOf(workdir)
  const mount = 'id' in workdir ? volumeMount(workdir, isReadOnly) : newVolumeMount(workdir, labels)
  const covered = new Set([path, ...taken].map(clean))
  const open = [...new Set(volumes.map(clean))].filter((volume) => !covered.has(volume))
  // The engine would put volumes there that are on disk, and writable without bound.
  const closed = open.map((Target) => ({ Type: 'tmpfs', Target, ReadOnly: true, TmpfsOptions: CLOSED }))
  return [mount, ...closed]
}

/** A volume in memory, made with its container under the given name, or to go with it when it has none. */
export function newVolumeMount(
  spec: WorkdirSpec,
  labels: Readonly<Record<string, string>>,
  name?: string,
): object {
  const Options = { type: 'tmpfs', device: 'tmpfs', o: memoryOptions(spec) }
  return {
    Type: 'volume',
    Target: spec.path,
    ...(name === undefined ? {} : { Source: name }),
    VolumeOptions: { NoCopy: true, Labels: labels, DriverConfig: { Name: 'local', Options } },
  }
}

function volumeMount({ id, spec }: Workdir, isReadOnly: boolean): object {
  return {
    Type: 'volume',
    Source: id,
    Target: spec.path,
    ReadOnly: isReadOnly,
    VolumeOptions: { NoCopy: true },
  }
}

/** No `noexec`: compiled programs run there. */
function memoryOptions({ bytes, inodes, uid }: WorkdirSpec): string {
  const size = Math.max(MIN_WORKDIR_BYTES, Math.ceil(bytes))
  // The folder itself counts too.
  return `size=${size},nr_inodes=${Math.ceil(inodes) + 1},uid=${uid},gid=${uid},mode=0700,nosuid,nodev`
}

function specOf(workdir: WorkdirSpec | Workdir): WorkdirSpec {
  return 'id' in workdir ? workdir.spec : workdir
}

function clean(path: string): string {
  const normal = posix.normalize(path)
  return normal.length > 1 ? normal.replace(/\/$/, '') : normal
}
