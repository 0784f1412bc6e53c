import type { Dirent } from 'node:fs'
import { lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { FileError, type Skipped } from './files.ts'
import { codeOf, lookUp, pathProblem, whyNotRegular } from './paths.ts'

/** What a folder holds: more would be a mistake, and must not fill the memory. */
const MOST_ENTRIES = 100_000

/** The regular files of a folder, and what else there is in it. */
export interface Walked {
  /** Paths relative to `root`, with slashes, in the order of their code points. */
  files: { path: string; bytes: number }[]
  skipped: Skipped[]
}

/**
 * All below `root`/`path` ('' = `root` itself), links never followed. FileError('too_many') above 100,000 entries,
 * 'missing_output' when there is nothing, 'not_regular' when it is no folder.
 */
export async function walkFolder(
  root: string,
  path: string,
  options: { signal?: AbortSignal; maxEntries?: number } = {},
): Promise<Walked> {
  const { signal, maxEntries = MOST_ENTRIES } = options
  const [realRoot, found] = await lookUp(root, path)
  if (!found.isDirectory()) {
    const why = whyNotRegular(found) ?? 'a file'
    throw new FileError('not_regular', path, `${JSON.stringify(path)} is ${why}, where a folder is expected`)
  }
  const walked: Walked = { files: [], skipped: [] }
  const folders = [path]
  let entries = 0
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    await readFolder(folder)
  }
  walked.files.sort((a, b) => compare(a.path, b.path))
  walked.skipped.sort((a, b) => compare(a.path, b.path))
  return walked

  async function readFolder(folder: string): Promise<void> {
    try {
      // Names are bytes: what is no UTF-8 would be read as another file's name.
      const opened = await opendir(join(realRoot, folder), { encoding: 'buffer' as 'utf8', bufferSize: 256 })
      for await (const entry of opened as AsyncIterable<Dirent<Buffer>>) {
        signal?.throwIfAborted()
        entries += 1
        if (entries > maxEntries) {
          const where = folder === '' ? 'the folder' : JSON.stringify(path)
          throw new FileError('too_many', path, `${where} holds more than ${maxEntries} files and folders`)
        }
        await sortIn(folder, entry)
      }
    } catch (error) {
      const why = unreadable(error)
      if (why === undefined) throw error
      walked.skipped.push({ path: folder, why })
    }
  }

  async function sortIn(folder: string, entry: Dirent<Buffer>): Promise<void> {
    const name = entry.name.toString()
    const each = folder === '' ? name : `${folder}/${name}`
    const problem = Buffer.from(name).equals(entry.name) ? pathProblem(each) : 'its name is no UTF-8'
    if (problem !== undefined) {
      walked.skipped.push({ path: each, why: problem })
      return
    }
    try {
      const stats = await lstat(join(realRoot, each))
      const why = whyNotRegular(stats)
      if (stats.isDirectory()) folders.push(each)
      else if (why === undefined) walked.files.push({ path: each, bytes: stats.size })
      else walked.skipped.push({ path: each, why })
    } catch (error) {
      const why = unreadable(error)
      if (why === undefined) throw error
      walked.skipped.push({ path: each, why })
    }
  }
}

function unreadable(error: unknown): string | undefined {
  switch (codeOf(error)) {
    case 'EACCES':
    case 'EPERM':
      return 'it may not be read'
    case 'ENAMETOOLONG':
      return 'its path is too long'
    case 'ENOENT':
      return 'it is gone'
    default:
      return undefined
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
