import { watch, type FSWatcher } from 'node:fs'
import { chmod, mkdir, readdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'

/** One change; a list of them is applied whole or not at all. */
export type Write = { type: 'put'; key: string; value: unknown } | { type: 'del'; key: string }

/** Bounds of keys; `limit` counts entries, -1 = all. */
export interface KeyRange {
  gt?: string
  gte?: string
  lt?: string
  lte?: string
  reverse?: boolean
  limit?: number
}

/** Another process (or another opener in this one) has the database. */
export class DatabaseLockedError extends Error {
  override readonly name = 'DatabaseLockedError'
}

/**
 * Databases that this process has open. LevelDB's own lock can't be asked for these: on POSIX a second attempt in
 * the same process closes a file descriptor of the lock file, which gives up the lock that the first one holds.
 */
const openHere = new Set<string>()

/** The one LevelDB that holds all that the embedded services know. What was written survives `kill -9`. */
export class Database {
  /** Told once when a write failed; nothing more can be relied on then but to close and open it again. */
  onFailure: (error: Error) => void = () => undefined
  readonly #level: ClassicLevel<string, unknown>
  readonly #path: string
  readonly #watcher: FSWatcher | undefined
  #waiting: { writes: readonly Write[]; resolve: () => void; reject: (error: Error) => void }[] = []
  #flushing: Promise<void> | undefined
  #failure: Error | undefined

  private constructor(level: ClassicLevel<string, unknown>, path: string) {
    this.#level = level
    this.#path = path
    this.#watcher = keepFilesPrivate(path)
  }

  /** Opens (or creates) the database in the folder `folder`; throws DatabaseLockedError when somebody has it. */
  static async open(folder: string): Promise<Database> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await chmod(folder, 0o700)
    const path = await realpath(folder)
    if (openHere.has(path)) throw new DatabaseLockedError('open in this process already')
    openHere.add(path)
    const level = new ClassicLevel<string, unknown>(path, { valueEncoding: 'json' })
    try {
      await level.open()
      const database = new Database(level, path)
      await Promise.all((await readdir(path)).map((name) => makePrivate(join(path, name))))
      return database
    } catch (error) {
      await level.close().catch(() => undefined)
      openHere.delete(path)
      const cause = error instanceof Error ? error.cause : undefined
      if (cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED') {
        throw new DatabaseLockedError(cause.message, { cause })
      }
      throw cause instanceof Error ? cause : error
    }
  }

  async get(key: string): Promise<unknown> {
    return await this.#level.get(key)
  }

  async getMany(keys: string[]): Promise<unknown[]> {
    return await this.#level.getMany(keys)
  }

  /** Keys and values in key order, as they are at the time of the call. */
  entries(range: KeyRange): AsyncIterable<[string, unknown]> {
    return this.#level.iterator(range)
  }

  /** Values in key order, as they are at the time of the call. */
  values(range: KeyRange): AsyncIterable<unknown> {
    return this.#level.values(range)
  }

  /** Keys in order, as they are at the time of the call. */
  keys(range: KeyRange): AsyncIterable<string> {
    return this.#level.keys(range)
  }

  /**
   * Applies `writes` atomically and after all earlier calls; those that come while one is under way go together.
   * Rejects when the disk refuses, and from then on always.
   */
  write(writes: readonly Write[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ writes, resolve, reject })
      this.#flushing ??= this.#flush()
    })
  }

  /** Resolves when all earlier writes are done. */
  flushed(): Promise<void> {
    return this.write([])
  }

  async close(): Promise<void> {
    await this.#flushing
    this.#failure ??= new Error('Database is closed')
    this.#watcher?.close()
    await this.#level.close()
    openHere.delete(this.#path)
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting
      this.#waiting = []
      try {
        if (this.#failure !== undefined) throw this.#failure
        await this.#level.batch(group.flatMap(({ writes }) => writes))
        for (const { resolve } of group) resolve()
      } catch (thrown) {
        const error = thrown instanceof Error ? thrown : new Error(String(thrown))
        // A torn record may now end the log: whatever was appended behind it could be dropped by a recovery.
        const first = this.#failure === undefined
        this.#failure = error
        for (const { reject } of group) reject(error)
        if (first) this.onFailure(error)
      }
    }
    this.#flushing = undefined
  }
}

/** Keys that begin with `prefix`, which must end with '~'. */
export function withPrefix(prefix: string): KeyRange {
  return { gte: prefix, lt: `${prefix}\u{10ffff}` }
}

/** LevelDB creates its files with the process's umask, at any time; the folder is closed to others anyway. */
function keepFilesPrivate(path: string): FSWatcher | undefined {
  try {
    const watcher = watch(path, { persistent: false }, (event, name) => {
      if (event === 'rename' && name !== null) void makePrivate(join(path, name))
    })
    watcher.on('error', () => {
      watcher.close()
    })
    return watcher
  } catch {
    return undefined
  }
}

async function makePrivate(file: string): Promise<void> {
  await chmod(file, 0o600).catch(() => undefined)
}
