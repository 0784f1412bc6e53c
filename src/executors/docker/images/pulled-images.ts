import { createHash } from 'node:crypto'
import { readdir, readFile, rm, rmdir, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolder } from '../../../core/make-folder.ts'
import type { StoredImage } from './stored-image.ts'
import { parseReference } from './reference.ts'

/** An image that a runner of this machine has pulled onto an engine that did not have it. */
export interface PulledImage {
  /** `sha256:…` */
  id: string
  /** Full names by which runners pulled it. */
  names: ReadonlySet<string>
  /** When it was pulled or wanted by a job last, in milliseconds since 1970. */
  usedAt: number
}

const IMAGE = /^[0-9a-f]{64}$/

/**
 * The record of images that runners pulled, shared by all processes that share the folder: one folder for each image,
 * whose time is that of its last use, and in it one file for each name. A file is named by the hash of its text, so that
 * one torn by a crash is known, and two processes never write different things to one file.
 */
export class PulledImages {
  readonly #folder: string

  /** `folder` is of this engine alone. */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** All of them, the one that was not used for the longest first. */
  async all(): Promise<PulledImage[]> {
    const found: PulledImage[] = []
    for (const hex of (await list(this.#folder)).filter((each) => IMAGE.test(each))) {
      const image = await this.#read(hex)
      if (image !== undefined) found.push(image)
    }
    return found.sort((a, b) => a.usedAt - b.usedAt)
  }

  /** Notes that we have pulled an image under this name; names that it does not have any more are dropped. */
  async note(image: StoredImage, name: string): Promise<void> {
    const folder = this.#folderOf(image.id)
    const names = new Set([...image.tags, ...image.digests].map((each) => parseReference(each)?.canonical))
    for (const other of await readNames(folder)) {
      if (!names.has(other)) await rm(join(folder, hashOf(other)), { force: true })
    }
    await makeFolder(folder, 0o700)
    await writeFile(join(folder, hashOf(name)), name, { mode: 0o600 })
  }

  /** Notes that a job wants an image, if it is one of ours. */
  async touch(id: string): Promise<void> {
    const now = new Date()
    await utimes(this.#folderOf(id), now, now).catch(ignoreMissing)
  }

  /** Drops an image that is gone, or somebody else's now. */
  async forget(id: string): Promise<void> {
    const folder = this.#folderOf(id)
    for (const file of await list(folder)) await rm(join(folder, file), { force: true })
    // Not by force: another process may have pulled it again meanwhile.
    await rmdir(folder).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') ignoreMissing(error)
    })
  }

  async #read(hex: string): Promise<PulledImage | undefined> {
    const folder = join(this.#folder, hex)
    const { mtimeMs } = await stat(folder).catch(() => ({ mtimeMs: undefined }))
    const names = await readNames(folder)
    return mtimeMs === undefined || names.size === 0
      ? undefined
      : { id: `sha256:${hex}`, names, usedAt: mtimeMs }
  }

  #folderOf(id: string): string {
    return join(this.#folder, id.replace(/^sha256:/, ''))
  }
}

/** What stands in the files; torn ones are left out. */
async function readNames(folder: string): Promise<Set<string>> {
  const names = new Set<string>()
  for (const file of await list(folder)) {
    const text = await readFile(join(folder, file), 'utf8').catch(() => '')
    if (hashOf(text) === file) names.add(text)
  }
  return names
}

async function list(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: unknown) => {
    ignoreMissing(error)
    return []
  })
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
}
