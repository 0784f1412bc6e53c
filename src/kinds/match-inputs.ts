import { unlessAborted } from '../core/unless-aborted.ts'
import type { Files, InputFile } from '../files/files.ts'
import { fetchInputs, type InputFolder } from './input-folder.ts'

interface Kept {
  folder: Promise<InputFolder>
  users: number
}

/** Folders that no job uses now, and that stay for the next one. */
const MOST_IDLE = 4

/** The files of matches: fetched once for all of their jobs, and kept while the matches are used. */
export class MatchInputs {
  readonly #files: Files
  /** By what they were made of, the one that was used last at the end. */
  readonly #kept = new Map<string, Kept>()
  readonly #closed = new AbortController()

  constructor(files: Files) {
    this.#files = files
  }

  /** The folder of these inputs, until it is disposed. What the files throw passes through. */
  async open(inputs: readonly InputFile[], signal: AbortSignal): Promise<InputFolder> {
    const key = JSON.stringify(inputs)
    const kept = this.#kept.get(key) ?? { folder: this.#fetch(inputs), users: 0 }
    this.#kept.delete(key)
    this.#kept.set(key, kept)
    kept.users += 1
    const release = (): Promise<void> => {
      kept.users -= 1
      return this.#sweep()
    }
    try {
      const { mounts } = await unlessAborted(kept.folder, signal)
      return { mounts, [Symbol.asyncDispose]: release }
    } catch (error) {
      // What failed is tried anew by the next job; what goes on is for those who still wait.
      if (!signal.aborted && this.#kept.get(key) === kept) this.#kept.delete(key)
      await release()
      throw error
    }
  }

  /** Removes them all. */
  async close(): Promise<void> {
    this.#closed.abort()
    const all = [...this.#kept.values()]
    this.#kept.clear()
    await Promise.all(all.map(remove))
  }

  /** Not bound to a job: others wait for it too. */
  #fetch(inputs: readonly InputFile[]): Promise<InputFolder> {
    const signal = this.#closed.signal
    // They are the administrator's, whose disk it is.
    const folder = fetchInputs(inputs, this.#files, { signal, maxBytes: Number.MAX_SAFE_INTEGER })
    folder.catch(() => undefined)
    return folder
  }

  async #sweep(): Promise<void> {
    const idle = [...this.#kept].filter(([, { users }]) => users === 0)
    const old = idle.slice(0, Math.max(0, idle.length - MOST_IDLE))
    for (const [key] of old) this.#kept.delete(key)
    await Promise.all(old.map(([, kept]) => remove(kept)))
  }
}

async function remove({ folder }: Kept): Promise<void> {
  const made = await folder.catch(() => undefined)
  await made?.[Symbol.asyncDispose]()
}
