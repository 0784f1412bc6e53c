import { realpath } from 'node:fs/promises'
import { posix } from 'node:path'
import { EXIT, messageOf, OperatorError } from '../../../core/errors.ts'
import type { TaskSpec } from '../../executor.ts'
import { asRecord } from '../../../core/unknown-json.ts'
import type { Engine } from '../api/engine.ts'
import { oncePerEngine } from '../api/once-per-engine.ts'
import { ownContainer } from './own-container.ts'

/** A folder as this process sees it (`path_base`), and as the engine's machine does (`path_host_base`). */
export interface PathRule {
  base: string
  hostBase: string
}

/** A place in the container of this process, and the path of the engine's machine that is mounted there. */
interface OwnMount {
  at: string
  /** Undefined = in memory, so that no other container can have it. */
  from: string | undefined
}

/**
 * The spec with the sources of its mounts as the engine's machine sees them: by the rules, else by the mounts of the
 * container that this process is in, else as they are. OperatorError for a path that the engine's machine can't see.
 */
export async function withHostPaths(
  engine: Engine,
  spec: TaskSpec,
  rules: readonly PathRule[] = [],
): Promise<TaskSpec> {
  if (spec.mounts === undefined || spec.mounts.length === 0) return spec
  const mounts = await Promise.all(
    spec.mounts.map(async (mount) => ({ ...mount, source: await hostPath(engine, mount.source, rules) })),
  )
  return { ...spec, mounts }
}

async function hostPath(engine: Engine, path: string, rules: readonly PathRule[]): Promise<string> {
  const ruled = closest(
    path,
    rules.map(({ base, hostBase }) => ({ at: base, from: hostBase })),
  )
  if (ruled?.from !== undefined) return posix.join(ruled.from, ruled.rest)
  const own = await ownMounts(engine)
  if (own === undefined) return path
  // Links lead elsewhere on the engine's machine than in here.
  const real = await realpath(path).catch((error: unknown) => {
    const hint = 'Name a file or folder that is there.'
    throw new OperatorError(`${path} can't be mounted`, messageOf(error), hint, EXIT.config, { cause: error })
  })
  const mount = closest(real, own)
  if (mount?.from !== undefined) return posix.join(mount.from, mount.rest)
  throw new OperatorError(
    `${path} can't be mounted into another container`,
    `this program is in a container itself, and ${real} is ${mount === undefined ? 'in none of the folders that are mounted there' : 'in memory (tmpfs)'}; the engine sees only ${seen(own)}`,
    `Mount the folder into this program's container too (docker run -v /a/folder:${posix.dirname(real)} …), or use one of those that are.`,
    EXIT.config,
  )
}

/** The innermost of the places that hold the path, and what is left of the path. */
function closest(path: string, places: readonly OwnMount[]): (OwnMount & { rest: string }) | undefined {
  const [best] = places
    .flatMap((place) => {
      const rest = posix.relative(place.at, path)
      return rest === '..' || rest.startsWith('../') ? [] : [{ ...place, rest }]
    })
    .sort((a, b) => b.at.length - a.at.length)
  return best
}

function seen(own: readonly OwnMount[]): string {
  const places = own.flatMap(({ at, from }) => (from === undefined ? [] : [at]))
  return places.length === 0 ? 'what is mounted, which is nothing' : places.join(', ')
}

/** The mounts of the container that this process is in; undefined when it is in none of this engine's. */
const ownMounts = oncePerEngine(async (engine): Promise<readonly OwnMount[] | undefined> => {
  const own = await ownContainer(engine)
  if (own === undefined) return undefined
  const inMemory = Object.keys(asRecord(asRecord(own.HostConfig)['Tmpfs']))
  return [
    ...(own.Mounts ?? []).map(({ Type, Source = '', Destination }) => ({
      at: Destination,
      from: Type === 'tmpfs' || Source === '' ? undefined : Source,
    })),
    ...inMemory.map((at) => ({ at, from: undefined })),
  ]
})
