import type { Engine } from '../api/engine.ts'
import { EngineError } from '../api/errors.ts'
import type { PulledImage } from './pulled-images.ts'
import { parseReference } from './reference.ts'
import { findImage } from './stored-image.ts'

/**
 * What became of it: `removed`; `untagged` = only our names went, since somebody else has named it, too; `used` by a
 * container; `gone` = it was not there any more.
 */
export type Removal = 'removed' | 'untagged' | 'used' | 'gone'

/** What removing a pulled image would do now. */
export interface RemovalPlan {
  outcome: Removal
  /** Names that go. */
  names: readonly string[]
  sizeBytes: number
}

/** Looks what may go of an image that we have pulled. `usedIds` are those of images that containers use. */
export async function planRemoval(
  engine: Engine,
  pulled: PulledImage,
  usedIds: ReadonlySet<string>,
): Promise<RemovalPlan> {
  const image = await findImage(engine, pulled.id)
  if (image === undefined) return { outcome: 'gone', names: [], sizeBytes: 0 }
  const { sizeBytes } = image
  const ownRepositories = new Set([...pulled.names].map((name) => parseReference(name)?.name))
  const isOwn = (name: string): boolean => pulled.names.has(parseReference(name)?.canonical ?? '')
  const tags = image.tags.filter(isOwn)
  const digests = image.digests.filter((digest) => ownRepositories.has(parseReference(digest)?.name))
  if (tags.length < image.tags.length || digests.length < image.digests.length) {
    const names = tags.length > 0 ? tags : image.digests.filter(isOwn)
    return { outcome: 'untagged', names, sizeBytes: 0 }
  }
  if (usedIds.has(pulled.id)) return { outcome: 'used', names: [], sizeBytes: 0 }
  return { outcome: 'removed', names: [...tags, ...digests], sizeBytes }
}

/** Removes what may go of an image that we have pulled; never by force, so that the engine has the last word. */
export async function removePulled(
  engine: Engine,
  pulled: PulledImage,
  usedIds: ReadonlySet<string>,
): Promise<RemovalPlan> {
  const plan = await planRemoval(engine, pulled, usedIds)
  if (plan.outcome !== 'removed' && plan.outcome !== 'untagged') return plan
  for (const name of plan.names) {
    if (!(await removeName(engine, name))) return { outcome: 'used', names: [], sizeBytes: 0 }
  }
  if (plan.outcome === 'untagged') return plan
  const left = await findImage(engine, pulled.id)
  if (left === undefined) return plan
  // By its id only when it has no name at all, which somebody could have given it just now.
  const isNameless = left.tags.length === 0 && left.digests.length === 0
  return isNameless && (await removeName(engine, pulled.id))
    ? plan
    : { ...plan, outcome: 'untagged', sizeBytes: 0 }
}

/** Ids of the images of all containers there are, running or not; of some containers where that is asked for. */
export async function usedImageIds(
  engine: Engine,
  signal?: AbortSignal,
  counts: (containerId: string) => boolean = () => true,
): Promise<Set<string>> {
  const listed = await engine.json('GET', '/containers/json', { query: { all: '1' }, signal })
  const containers = listed as { Id: string; ImageID?: string }[]
  return new Set(containers.flatMap(({ Id, ImageID }) => (counts(Id) && ImageID ? [ImageID] : [])))
}

/** False = the engine refuses, because something needs it. */
export async function removeName(engine: Engine, name: string): Promise<boolean> {
  try {
    await engine.json('DELETE', `/images/${encodeURIComponent(name)}`)
    return true
  } catch (error) {
    if (!(error instanceof EngineError) || error.status >= 500) throw error
    // With the last tag the digests go, too.
    return error.status === 404
  }
}
