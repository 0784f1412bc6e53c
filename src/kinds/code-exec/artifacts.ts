import { createHash } from 'node:crypto'
import { JobError, messageOf } from '../../core/errors.ts'
import { escapeControls } from '../../core/text.ts'
import type { Workdir } from '../../executors/executor.ts'
import type { Artifact, SkippedArtifact } from '../../records/code-exec.ts'
import type { OutputFolder } from './output-folder.ts'
import { fits, isLiteral } from './patterns.ts'
import { readTar, TarError, type TarMember } from './read-tar.ts'

/** What a job has left in its working folder, as far as it is wanted. */
export interface Collected {
  artifacts: readonly Artifact[]
  skipped: readonly SkippedArtifact[]
  /** A file that is named without wildcards is not there, or can't be had. */
  isLacking: boolean
}

export interface Wanted {
  patterns: readonly string[]
  /** Files that the job was given in a way in which it can't have changed them. */
  given: readonly string[]
  /** Bytes of all of them together. */
  room: number
  /** Takes in what is sent elsewhere in place of the item. */
  outputs?: OutputFolder | undefined
}

/** An item holds no more names. */
const MOST_FILES = 64
const LONGEST_PATH_BYTES = 255
/** A header, and what a long name takes. */
const MEMBER_BYTES = 4 * 512 + 255

const KINDS = { folder: 'folder', link: 'link', device: 'device or pipe', other: 'thing of another sort' }

/** Takes the wanted files out of a working folder whose program has ended. Only regular files; no link is followed. */
export async function collectArtifacts(
  workdir: Workdir,
  image: string,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<Collected> {
  const collection = new Collection(wanted)
  const { bytes, inodes } = workdir.spec
  // Names of one file more than once take no room in the folder.
  const most = 2 * bytes + 2 * inodes * MEMBER_BYTES + 1024 ** 2
  try {
    for await (const member of readTar(workdir.archive(image, signal), most)) await collection.offer(member)
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof TarError) && !(error instanceof JobError)) throw error
    collection.breakOff(messageOf(error))
  }
  return collection.finish()
}

class Collection {
  readonly #wanted: Wanted
  readonly #artifacts = new Map<string, Artifact>()
  readonly #skipped = new Map<string, string>()
  #left: number

  constructor(wanted: Wanted) {
    this.#wanted = wanted
    this.#left = wanted.room
  }

  async offer({ path: written, type, size, body }: TarMember): Promise<void> {
    const path = written.replace(/^(?:\.\/)+/, '').replace(/\/+$/, '')
    const { patterns, given, outputs } = this.#wanted
    if (given.includes(path)) return
    if (outputs?.wants(path) === true) {
      const refusal = kindRefusal(type, true) ?? (await outputs.take(path, { type, size, body }))
      if (refusal !== undefined) this.#skip(path, refusal)
      return
    }
    if (!patterns.some((pattern) => fits(path, pattern))) return
    // A folder is no file, which matters only to who has named it as one.
    if (type === 'folder' && !patterns.includes(path)) return
    const reason = this.#refusal(path, type, size)
    if (reason !== undefined) {
      this.#skip(path, reason)
      return
    }
    const parts: Uint8Array[] = []
    const hash = createHash('sha256')
    for await (const part of body) {
      // The stream's own buffer is used again, or is much larger.
      parts.push(Uint8Array.from(part))
      hash.update(part)
    }
    this.#left -= size
    this.#artifacts.set(path, { path, content: Buffer.concat(parts), sha256: hash.digest('hex') })
  }

  breakOff(why: string): void {
    const reason = `the working folder could not be read to its end: ${why}`
    this.#wanted.outputs?.breakOff(reason)
    const open = this.#wanted.patterns.filter((pattern) => !this.#has(pattern))
    for (const pattern of open) this.#skip(pattern, reason)
  }

  finish(): Collected {
    const required = this.#wanted.patterns.filter(isLiteral)
    for (const path of required) {
      if (!this.#has(path) && !this.#skipped.has(path)) this.#skip(path, 'it is not there')
    }
    return {
      artifacts: [...this.#artifacts.values()],
      skipped: Array.from(this.#skipped, ([path, reason]) => ({ path: escapeControls(path), reason })),
      isLacking: required.some((path) => !this.#has(path)),
    }
  }

  #has(path: string): boolean {
    return this.#artifacts.has(path) || this.#wanted.outputs?.has(path) === true
  }

  #refusal(path: string, type: TarMember['type'], size: number): string | undefined {
    const problem = kindRefusal(type)
    if (problem !== undefined) return problem
    const parts = path.split('/')
    if (path.includes('\0') || parts.some((part) => part === '' || part === '.' || part === '..'))
      return 'its path leads out of the folder'
    if (Buffer.byteLength(path) > LONGEST_PATH_BYTES)
      return `its path is longer than ${LONGEST_PATH_BYTES} bytes`
    if (this.#artifacts.has(path)) return 'its name is there twice'
    if (this.#wanted.patterns.includes(path)) this.#makeRoom(size)
    if (this.#artifacts.size >= MOST_FILES) return `there are more than ${MOST_FILES} files`
    if (size > this.#left) return `it has ${size} bytes, and there is room for ${this.#left}`
    return undefined
  }

  /** Those that are named go before those that only fit a pattern. */
  #makeRoom(size: number): void {
    const others = [...this.#artifacts.values()].filter((each) => !this.#wanted.patterns.includes(each.path))
    while (size > this.#left || this.#artifacts.size >= MOST_FILES) {
      const last = others.pop()
      if (last === undefined) return
      this.#artifacts.delete(last.path)
      this.#left += last.content.length
      this.#skip(last.path, 'it gave way to a file that must be there')
    }
  }

  #skip(path: string, reason: string): void {
    const short = Buffer.byteLength(path) <= LONGEST_PATH_BYTES ? path : `${path.slice(0, 60)}…`
    // Those that are named must be told of.
    const { patterns, outputs } = this.#wanted
    if (this.#skipped.size < MOST_FILES || patterns.includes(path) || outputs?.isNamed(path) === true) {
      if (!this.#skipped.has(short)) this.#skipped.set(short, reason.slice(0, 200))
    }
  }
}

function kindRefusal(type: TarMember['type'], mayBeFolder = false): string | undefined {
  if (type === 'file' || (mayBeFolder && type === 'folder')) return undefined
  return `it is no regular file but a ${KINDS[type]}`
}
