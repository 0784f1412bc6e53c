import { createHash, randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { mkdir, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { s3Errors } from './errors.ts'

/** Bytes that can be read until they are closed, even when their file has gone. */
export interface OpenFile {
  /** From `start` to `end`, both included. At most once; closes at its end. */
  read(start: number, end: number): AsyncGenerator<Buffer>
  close(): Promise<void>
}

/** A file that was written to its end. */
export interface WrittenFile {
  file: string
  bytes: number
  /** MD5 of all bytes, lower case hex. */
  etag: string
}

/** A folder of files that are written once, under names of their own. */
export class ByteFiles {
  readonly #folder: string
  readonly #closing = new AbortController()
  readonly #writing = new Set<Promise<unknown>>()

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** Files that are not `known` are removed: what a process left that was killed. */
  static async open(folder: string, known: ReadonlySet<string>): Promise<ByteFiles> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const files = new ByteFiles(folder)
    // Each write listens.
    setMaxListeners(0, files.#closing.signal)
    await files.drop((await readdir(folder)).filter((name) => !known.has(name)))
    return files
  }

  /** Cuts what is being written, and waits until nothing is left of it. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the store closes'))
    await Promise.allSettled(this.#writing)
  }

  /** No file is left when `content` throws. */
  async write(content: AsyncIterable<Buffer>): Promise<WrittenFile> {
    const file = randomUUID()
    const written = this.#write(file, content)
    this.#writing.add(written)
    try {
      return await written
    } finally {
      this.#writing.delete(written)
    }
  }

  /** Writes the bytes of several files as one. */
  async join(files: readonly string[]): Promise<WrittenFile> {
    return await this.write(this.#joined(files))
  }

  /** Undefined when there is no such file. */
  async read(file: string): Promise<OpenFile | undefined> {
    try {
      return openFile(await open(join(this.#folder, file)))
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
      throw error
    }
  }

  async drop(files: readonly string[]): Promise<void> {
    for (const file of files) await rm(join(this.#folder, file), { force: true })
  }

  async #write(file: string, content: AsyncIterable<Buffer>): Promise<WrittenFile> {
    const path = join(this.#folder, file)
    const md5 = createHash('md5')
    let bytes = 0
    async function* counted(): AsyncGenerator<Buffer> {
      for await (const chunk of content) {
        md5.update(chunk)
        bytes += chunk.length
        yield chunk
      }
    }
    const { signal } = this.#closing
    // There before the content is read, so that the removal below never comes before the making.
    const part = await open(`${path}.part`, 'wx', 0o600)
    try {
      await pipeline(counted, part.createWriteStream(), { signal })
      await rename(`${path}.part`, path)
    } catch (error) {
      await this.drop([`${file}.part`])
      throw error
    }
    return { file, bytes, etag: md5.digest('hex') }
  }

  async *#joined(files: readonly string[]): AsyncGenerator<Buffer> {
    for (const file of files) {
      const content = await this.read(file)
      // Aborted, completed or replaced meanwhile.
      if (content === undefined) throw s3Errors.invalidPart()
      yield* content.read(0, Infinity)
    }
  }
}

function openFile(handle: FileHandle): OpenFile {
  return {
    async *read(start, end) {
      if (end < start) await handle.close()
      else yield* handle.createReadStream({ start, end }) as AsyncIterable<Buffer>
    },
    close: () => handle.close(),
  }
}
