import type { Clock } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import { LABELS } from './container.ts'
import type { Engine } from './api/engine.ts'
import { pulledImages } from './images/engine-images.ts'
import { surroundingError } from './api/errors.ts'
import { CONTENT_LABEL } from './images/import-image.ts'
import type { PulledImage } from './images/pulled-images.ts'
import { ownedContainers, ownedVolumes, removeVolume } from './reap.ts'
import { planRemoval, removeName, removePulled, usedImageIds } from './images/remove-image.ts'
import { Removals } from './removals.ts'

/** Something of ours that can go. */
export interface Leftover {
  what: 'container' | 'volume' | 'pulled image' | 'made image'
  /** `sha256:…` for an image, the name of a volume. */
  id: string
  /** For people. */
  name: string
  /** More for people, such as whose it was. */
  detail: string
  sizeBytes: number
  /** Tries to remove it; false = something needs it after all. Throws what the engine throws. */
  remove(): Promise<boolean>
}

export interface LeftoverOptions {
  /** Where runners note what they have pulled. */
  dataDir: string
  /** Also containers of runners that live, or may. */
  all: boolean
  clock: Clock
  log: Logger
  signal: AbortSignal
}

/** Images that runners make without a registry are called so. */
const MADE = /^opthub-runner(-demo)?\//

/**
 * What runners have left behind on an engine: containers and volumes whose runner is dead, images that they pulled, images
 * that they made. Of the images those that no container uses, save such as are to go. RetryableError when the engine fails.
 */
export async function findLeftovers(engine: Engine, options: LeftoverOptions): Promise<Leftover[]> {
  try {
    const containers = await leftContainers(engine, options)
    const going = new Set(containers.map(({ id }) => id))
    const usedIds = await usedImageIds(engine, options.signal, (id) => !going.has(id))
    return [
      ...containers,
      // After the containers that use them.
      ...(await leftVolumes(engine, options)),
      ...(await leftPulled(engine, usedIds, options)),
      ...(await leftMade(engine, usedIds, options)),
    ]
  } catch (error) {
    options.signal.throwIfAborted()
    throw surroundingError(error)
  }
}

/** Removes one of them; why not, when it can't. */
export async function removeLeftover(leftover: Leftover): Promise<true | string> {
  try {
    return (await leftover.remove()) || 'something needs it by now'
  } catch (error) {
    return messageOf(error)
  }
}

async function leftContainers(
  engine: Engine,
  { all, clock, log, signal }: LeftoverOptions,
): Promise<Leftover[]> {
  const removals = new Removals(engine, clock, log)
  const owned = await ownedContainers(engine, clock, signal)
  return owned
    .filter(({ isLeft }) => all || isLeft)
    .map(({ container: { Id: id, Names: names, Labels: labels, State: state }, isLeft }) => {
      const runner = runnerOf(labels, isLeft)
      return {
        what: 'container',
        id,
        name: names[0]?.replace(/^\//, '') ?? id,
        detail: `${state}, of ${runner}${labels[LABELS.keep] === 'true' ? ', kept by rm: false' : ''}`,
        sizeBytes: 0,
        remove: async () => {
          await removals.removeNow(id)
          return true
        },
      }
    })
}

async function leftVolumes(
  engine: Engine,
  { all, clock, log, signal }: LeftoverOptions,
): Promise<Leftover[]> {
  const removals = new Removals(engine, clock, log)
  const owned = await ownedVolumes(engine, clock, signal)
  return owned
    .filter(({ isLeft }) => all || isLeft)
    .map(({ name, labels, isLeft }) => ({
      what: 'volume',
      id: name,
      name,
      detail: `of ${runnerOf(labels, isLeft)}`,
      sizeBytes: 0,
      remove: () => removeVolume(removals, name),
    }))
}

function runnerOf(labels: Readonly<Record<string, string>>, isDead: boolean): string {
  return `${labels[LABELS.process] ?? 'a runner'}${isDead ? ', which is dead' : ', which may live'}`
}

async function leftPulled(
  engine: Engine,
  usedIds: ReadonlySet<string>,
  { dataDir }: LeftoverOptions,
): Promise<Leftover[]> {
  const record = await pulledImages(engine, dataDir)
  const left: Leftover[] = []
  for (const pulled of await record.all()) {
    const { outcome, names, sizeBytes } = await planRemoval(engine, pulled, usedIds)
    if (outcome !== 'removed' && outcome !== 'untagged') continue
    left.push({
      what: 'pulled image',
      id: pulled.id,
      name: nameOf(pulled, names),
      detail: outcome === 'untagged' ? 'only this name: it has others' : lastUse(pulled),
      sizeBytes,
      remove: async () => {
        const { outcome } = await removePulled(engine, pulled, await usedImageIds(engine))
        if (outcome !== 'used') await record.forget(pulled.id)
        return outcome !== 'used'
      },
    })
  }
  return left
}

async function leftMade(
  engine: Engine,
  usedIds: ReadonlySet<string>,
  { signal }: LeftoverOptions,
): Promise<Leftover[]> {
  const query = { filters: JSON.stringify({ label: [CONTENT_LABEL] }) }
  const listed = (await engine.json('GET', '/images/json', { query, signal })) as {
    Id: string
    RepoTags: string[] | null
    Size: number
  }[]
  return listed.flatMap(({ Id: id, RepoTags, Size: sizeBytes }): Leftover[] => {
    const tags = RepoTags ?? []
    // What somebody builds on top of one of them inherits the label, and bears another name.
    if (usedIds.has(id) || tags.length === 0 || !tags.every((tag) => MADE.test(tag))) return []
    const remove = async (): Promise<boolean> => {
      for (const tag of tags) if (!(await removeName(engine, tag))) return false
      return true
    }
    const detail = 'made again when it is needed'
    return [{ what: 'made image', id, name: tags.join(', '), detail, sizeBytes, remove }]
  })
}

function nameOf({ names, id }: PulledImage, going: readonly string[]): string {
  return [...(going.length > 0 ? going.filter((name) => !name.includes('@')) : []), ...names, id][0] ?? id
}

function lastUse({ usedAt }: PulledImage): string {
  return `last used ${new Date(usedAt).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}
