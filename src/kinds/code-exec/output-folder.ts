import { mkdir, open, rm, writeFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { diskError, makeOwnFolder, removeOrphanFolders } from '../../core/own-folder.ts'
import { FileError, type Files, type OutputFile, type SentFile } from '../../files/files.ts'
import { codeOf, pathProblem } from '../../files/paths.ts'
import type { PrintedOutput, SkippedArtifact } from '../../records/code-exec.ts'
import { PRINTED } from './message.ts'
import type { TarMember } from './read-tar.ts'

/** What became of the outputs of a job. */
export interface Sent {
  files: readonly SentFile[]
  skipped: readonly SkippedArtifact[]
  /** One of them is not there, or was not taken at the far end. */
  isLacking: boolean
}

type Member = Pick<TarMember, 'type' | 'size' | 'body'>

const PRINTS = Object.entries(PRINTED) as [keyof typeof PRINTED, 'stdout' | 'stderr'][]
const PREFIX = 'opthub-runner-outputs-'
const MOST_ENTRIES = 10_000
const UNNAMABLE = new Set(['ENAMETOOLONG', 'EILSEQ', 'EINVAL'])
const WHAT = 'the outputs of a job'

/** Looked for once, behind the first job's back. */
let orphans: Promise<void> | undefined

/**
 * A folder of this machine for what a job wants to be sent. What comes in is a hostile program's: there are never links in
 * it, nor more bytes than the job's own folder may hold. Dispose removes it.
 */
export class OutputFolder implements AsyncDisposable {
  readonly #outputs: readonly OutputFile[]
  readonly #base: string
  /** What is the job's own. */
  readonly #root: string
  readonly #files = new Set<string>()
  readonly #folders = new Set<string>()
  #left: number
  #broken: string | undefined
  /** Something that is no link nor the like was left out. */
  #isIncomplete = false

  private constructor(outputs: readonly OutputFile[], base: string, mostBytes: number) {
    this.#outputs = outputs
    this.#base = base
    this.#root = join(base, 'job')
    this.#left = mostBytes
  }

  static async open(outputs: readonly OutputFile[], mostBytes: number): Promise<OutputFolder> {
    orphans ??= removeOrphanFolders(PREFIX)
    const made = new OutputFolder(outputs, await makeOwnFolder(PREFIX), mostBytes)
    await mkdir(made.#root)
    return made
  }

  /** Whether a path is an output, or below one. */
  wants(path: string): boolean {
    return this.#outputs.some((output) => path === output.path || path.startsWith(`${output.path}/`))
  }

  /** Whether an output has this very name. */
  isNamed(path: string): boolean {
    return this.#outputs.some((output) => path === output.path)
  }

  /** Whether this file was taken in. */
  has(path: string): boolean {
    return this.#files.has(path)
  }

  /** Takes in a file or a folder; says why not. RetryableError('disk') when this machine has no room. */
  async take(path: string, member: Member): Promise<string | undefined> {
    const refusal = await this.#take(path, member)
    if (refusal !== undefined) this.#isIncomplete = true
    return refusal
  }

  async #take(path: string, { type, size, body }: Member): Promise<string | undefined> {
    const problem = pathProblem(path)
    if (problem !== undefined) return problem
    if (this.#files.has(path) || (type === 'file' && this.#folders.has(path)))
      return 'its name is there twice'
    if (this.#files.size + this.#folders.size >= MOST_ENTRIES)
      return `there are more than ${MOST_ENTRIES} files and folders`
    if (size > this.#left) return `it has ${size} bytes, and there is room for ${this.#left}`
    const target = join(this.#root, path)
    try {
      await this.#makeFolder(type === 'folder' ? path : posix.dirname(path))
      if (type === 'folder') return undefined
      await write(target, body)
    } catch (error) {
      if (codeOf(error) === 'EEXIST' || codeOf(error) === 'ENOTDIR') return 'its name is there twice'
      if (UNNAMABLE.has(codeOf(error))) return 'this machine has no such names'
      await rm(target, { force: true })
      throw diskError(error, WHAT)
    }
    this.#left -= size
    this.#files.add(path)
    return undefined
  }

  /** Takes in what the program has printed, where that is an output. RetryableError('disk') as for `take`. */
  async takePrinted(printed: { stdout: PrintedOutput; stderr: PrintedOutput }): Promise<void> {
    for (const [path, name] of PRINTS) {
      if (!this.isNamed(path)) continue
      await writeFile(join(this.#base, name), printed[name].bytes).catch((error: unknown) => {
        throw diskError(error, WHAT)
      })
    }
  }

  /** More may have been there. */
  breakOff(why: string): void {
    this.#broken = why
  }

  /** Sends what was taken in, each output for itself. What is not the job's fault is thrown. */
  async send(files: Files, { signal, maxBytes }: { signal: AbortSignal; maxBytes: number }): Promise<Sent> {
    const sent: SentFile[] = []
    const skipped: SkippedArtifact[] = []
    for (const output of this.#outputs) {
      const { path } = output
      const printed = PRINTS.find(([each]) => each === path)?.[1]
      const isFolder = this.#folders.has(path)
      if (printed === undefined && !isFolder && !this.#files.has(path)) {
        skipped.push({ path, reason: this.#broken ?? 'it is not there' })
      } else if (isFolder && this.#broken !== undefined) {
        skipped.push({ path, reason: this.#broken })
      } else {
        try {
          const options = { signal, maxBytes: printed === undefined ? maxBytes : Number.MAX_SAFE_INTEGER }
          const place = printed === undefined ? this.#root : this.#base
          const done = await files.upload([{ ...output, path: printed ?? path }], place, options)
          sent.push(...done.map((each) => (printed === undefined ? each : { ...each, path })))
        } catch (error) {
          if (!(error instanceof FileError)) throw error
          skipped.push({ path, reason: error.message })
        }
      }
    }
    return { files: sent, skipped, isLacking: skipped.length > 0 || this.#isIncomplete }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#base, { recursive: true, force: true })
  }

  /** Each folder is made once: a deep one must not cost anew for each file in it. */
  async #makeFolder(path: string): Promise<void> {
    if (path === '.' || this.#folders.has(path)) return
    await this.#makeFolder(posix.dirname(path))
    await mkdir(join(this.#root, path), { mode: 0o700 })
    this.#folders.add(path)
  }
}

/** Part by part: the stream's own buffer may be used again. */
async function write(target: string, body: AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await open(target, 'wx', 0o600)
  try {
    for await (const part of body) {
      for (let done = 0; done < part.length;) done += (await handle.write(part, done)).bytesWritten
    }
  } finally {
    await handle.close()
  }
}
