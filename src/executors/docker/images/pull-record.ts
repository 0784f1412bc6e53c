import { messageOf } from '../../../core/errors.ts'
import type { Logger } from '../../../core/log.ts'
import type { Engine } from '../api/engine.ts'
import type { PulledImages } from './pulled-images.ts'
import { imageIds, type StoredImage } from './stored-image.ts'

/** What an engine had before a pull. */
interface Before {
  ids: ReadonlySet<string>
  /** What runners have pulled. */
  ours: ReadonlySet<string>
}

/** Keeps the record of what runners have pulled. Never throws: a job is not the worse for it. */
export class PullRecord {
  readonly #engine: Engine
  readonly #open: () => Promise<PulledImages>
  readonly #log: Logger
  #hasFailed = false

  constructor(engine: Engine, open: () => Promise<PulledImages>, log: Logger) {
    this.#engine = engine
    this.#open = open
    this.#log = log
  }

  /** Looks what is there before a pull. */
  async before(): Promise<Before | undefined> {
    return await this.#guard(async () => {
      const [ids, pulled] = await Promise.all([imageIds(this.#engine), (await this.#open()).all()])
      return { ids, ours: new Set(pulled.map(({ id }) => id)) }
    })
  }

  /** Notes what a pull has brought; `earlierId` is what had the name before. */
  async after(
    before: Before | undefined,
    image: StoredImage,
    name: string,
    earlierId: string | undefined,
  ): Promise<void> {
    if (before === undefined || image.id === earlierId) return
    // An image that was there under another name is whose it was.
    if (before.ids.has(image.id) && !before.ours.has(image.id)) return
    await this.#guard(async () => {
      await (await this.#open()).note(image, name)
    })
  }

  /** Notes that a job wants an image. */
  async touch(id: string): Promise<void> {
    await this.#guard(async () => {
      await (await this.#open()).touch(id)
    })
  }

  /** Forgets images that are gone: what comes back after that is whose hand brought it. */
  async tidy(): Promise<void> {
    await this.#guard(async () => {
      const pulled = await this.#open()
      const before = await pulled.all()
      if (before.length === 0) return
      const ids = await imageIds(this.#engine)
      for (const { id } of before) if (!ids.has(id)) await pulled.forget(id)
    })
  }

  async #guard<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      const text = 'What was pulled can not be noted: these images will not be removed when the disk is full'
      if (this.#hasFailed) this.#log.debug(text, { error: messageOf(error) })
      else this.#log.warn(text, { error: messageOf(error) })
      this.#hasFailed = true
      return undefined
    }
  }
}
