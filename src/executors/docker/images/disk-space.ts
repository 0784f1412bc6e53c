import type { Clock } from '../../../core/clock.ts'
import { messageOf, RetryableError } from '../../../core/errors.ts'
import type { Logger } from '../../../core/log.ts'
import type { Engine } from '../api/engine.ts'
import { engineData, freeDiskBytes, freeInodes } from '../host/engine-data.ts'
import type { PulledImages } from './pulled-images.ts'
import { removePulled, usedImageIds } from './remove-image.ts'

export interface DiskSpaceOptions {
  engine: Engine
  /** Free bytes below which images go; 0 = none ever does. */
  minFreeBytes: number
  /** What runners have pulled; rejects when the engine does not answer. Undefined = nobody keeps a record. */
  pulled: (() => Promise<PulledImages>) | undefined
  clock: Clock
  log: Logger
}

/** A container needs a few dozen of its own, an image that is pulled some thousands. */
const FEWEST_INODES = 1000
/** A job gets its container within this time after its image was looked for. */
const JUST_USED_MS = 10_000

/**
 * Keeps room on the disk where an engine keeps its images: images that runners have pulled go when too little is left,
 * the one that was not used for the longest first; never one that a container uses.
 */
export class DiskSpace {
  readonly #o: DiskSpaceOptions
  #clearing: Promise<void> | undefined
  #isUnknown = false

  constructor(options: DiskSpaceOptions) {
    this.#o = options
  }

  /** Makes room where it is needed. RetryableError('disk') when too little is left all the same. */
  async ensure(signal: AbortSignal): Promise<void> {
    await this.#assertInodes(signal)
    if ((await this.#missingBytes(signal)) <= 0) return
    await this.#clear()
    const missing = await this.#missingBytes(signal)
    if (missing <= 0) return
    const { engine, minFreeBytes } = this.#o
    const { root } = await engineData(engine, signal)
    throw new RetryableError(
      'disk',
      `Docker's disk is too full: ${inMib(minFreeBytes - missing)} are free in ${root}, min_free_disk is ${inMib(minFreeBytes)}, and no image is left that could be removed. Free some space (\`docker system df\` shows what there is), or lower min_free_disk`,
    )
  }

  /** Removes the image that was not used for the longest, however much is free; false = there is none. */
  async freeSome(): Promise<boolean> {
    return this.#o.minFreeBytes > 0 && (await this.#removeOldest(() => Promise.resolve(false))) > 0
  }

  async #assertInodes(signal: AbortSignal): Promise<void> {
    const { engine, minFreeBytes } = this.#o
    if (minFreeBytes === 0) return
    const free = await freeInodes(engine, signal)
    if (free === undefined || free >= FEWEST_INODES) return
    const { root } = await engineData(engine, signal)
    throw new RetryableError(
      'disk',
      `Docker's disk is too full: no more than ${free} files can be made in ${root}. Remove some (\`docker system df\` shows what there is, \`df -i\` how many)`,
    )
  }

  /** How much too little is free; 0 when that can't be said. */
  async #missingBytes(signal?: AbortSignal): Promise<number> {
    const { engine, minFreeBytes, log } = this.#o
    if (minFreeBytes === 0) return 0
    const free = await freeDiskBytes(engine, signal)
    if (free !== undefined) return minFreeBytes - free
    if (!this.#isUnknown) {
      this.#isUnknown = true
      log.debug("How full Docker's disk is can't be seen from here: min_free_disk has no effect")
    }
    return 0
  }

  /** Until enough is free; once for all who ask at the same time. */
  async #clear(): Promise<void> {
    this.#clearing ??= this.#removeOldest(async () => (await this.#missingBytes()) > 0)
      .then(() => undefined)
      .finally(() => {
        this.#clearing = undefined
      })
    await this.#clearing
  }

  /** Removes one image after the other as long as there shall be more; says how many. */
  async #removeOldest(goesOn: () => Promise<boolean>): Promise<number> {
    const { engine, pulled, clock, log } = this.#o
    const record = await pulled?.()
    if (record === undefined) return 0
    let removed = 0
    const now = clock.date().getTime()
    for (const image of await record.all()) {
      if (now - image.usedAt < JUST_USED_MS) continue
      try {
        const { outcome, names } = await removePulled(engine, image, await usedImageIds(engine))
        if (outcome !== 'used') await record.forget(image.id)
        if (outcome !== 'removed' && outcome !== 'untagged') continue
        const fields = { image: names.join(', ') || image.id, image_id: image.id }
        if (outcome === 'untagged') {
          log.info("Docker's disk is too full: an image lost the name that we pulled; it has others", fields)
          continue
        }
        removed += 1
        log.info("Docker's disk is too full: removed an image that no job used for the longest time", {
          ...fields,
          used_at: new Date(image.usedAt).toISOString(),
        })
      } catch (error) {
        log.warn('An image could not be removed', { image_id: image.id, error: messageOf(error) })
        continue
      }
      if (!(await goesOn())) break
    }
    return removed
  }
}

function inMib(bytes: number): string {
  return `${Math.floor(bytes / 1024 ** 2)} MiB`
}
