import { constants, type Stats } from 'node:fs'
import { lstat, mkdir, open, readlink, realpath, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { FileError } from './files.ts'

/** As S3 has it for keys. */
const LONGEST_PATH_BYTES = 1024
const LONGEST_NAME_BYTES = 255

/** What is wrong with the path of a job's file, in a few words; undefined when it is safe below any folder. */
export function pathProblem(path: string): string | undefined {
  if (path === '') return 'it is empty'
  if (path.startsWith('/')) return 'it is absolute'
  if (/[\p{Cc}\p{Surrogate}]/u.test(path)) return 'it holds control characters or broken Unicode'
  if (Buffer.byteLength(path) > LONGEST_PATH_BYTES) return `it is longer than ${LONGEST_PATH_BYTES} bytes`
  for (const part of path.split('/')) {
    if (part === '' || part === '.' || part === '..') return 'it has empty parts, . or ..'
    if (Buffer.byteLength(part) > LONGEST_NAME_BYTES)
      return `a name in it is longer than ${LONGEST_NAME_BYTES} bytes`
  }
  return undefined
}

/** FileError('unsafe_path') for what must not be joined to a folder. */
export function assertSafePath(path: string): void {
  const problem = pathProblem(path)
  if (problem === undefined) return
  const shown = JSON.stringify(path.length > 100 ? `${path.slice(0, 100)}…` : path)
  throw new FileError('unsafe_path', path, `the path ${shown} can't be used: ${problem}`)
}

/** Refuses two files at one place, and files below files. */
export function assertApart(paths: readonly string[]): void {
  const all = new Set<string>()
  for (const path of paths) {
    if (all.has(path))
      throw new FileError('unsafe_path', path, `two files go to the same path ${JSON.stringify(path)}`)
    all.add(path)
  }
  for (const path of paths) {
    for (const parent of parentsOf(path)) {
      if (!all.has(parent)) continue
      const both = `${JSON.stringify(parent)} can't be a file and the folder of ${JSON.stringify(path)}`
      throw new FileError('unsafe_path', path, both)
    }
  }
}

/** Makes the folders above `root`/`path`; FileError('unsafe_path') where one of them is a link or a file. */
export async function makeParents(root: string, path: string): Promise<void> {
  for (const parent of parentsOf(path)) {
    const folder = join(root, parent)
    await mkdir(folder).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error
    })
    if (!(await lstat(folder)).isDirectory()) {
      throw new FileError('unsafe_path', path, `${JSON.stringify(parent)} is no folder`)
    }
  }
}

/**
 * Opens a regular file for reading; neither it nor a folder above it (below `root`) may be a link, a second name of
 * another file, or a pipe that would make us wait. FileError tells which.
 */
export async function openRegular(
  root: string,
  path: string,
): Promise<{ handle: FileHandle; bytes: number }> {
  assertSafePath(path)
  const [realRoot, found] = await lookUp(root, path)
  const why = whyNotRegular(found)
  if (why !== undefined) throw notRegular(path, why)
  const file = join(realRoot, path)
  // Pipes must not block, and whoever replaced the file by a link since must not be followed.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const handle = await open(file, flags).catch((error: unknown) => {
    throw openError(error, path)
  })
  try {
    const opened = await handle.stat()
    const changed = whyNotRegular(opened)
    if (changed !== undefined) throw notRegular(path, changed)
    if ((await placeOf(handle, file)) !== file) throw notRegular(path, 'below a symbolic link')
    return { handle, bytes: opened.size }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** What stands at `root`/`path` and the root's own real path; FileError when there is nothing, or a link is on the way. */
export async function lookUp(root: string, path: string): Promise<[realRoot: string, found: Stats]> {
  const realRoot = await realpath(root)
  try {
    for (const parent of parentsOf(path)) {
      const found = await lstat(join(realRoot, parent))
      if (found.isSymbolicLink()) throw notRegular(path, 'below a symbolic link')
    }
    return [realRoot, await lstat(join(realRoot, path))]
  } catch (error) {
    throw openError(error, path)
  }
}

/** Why something is not to be sent, e.g. `a symbolic link`; undefined when it is a file with one name. */
export function whyNotRegular(found: Stats): string | undefined {
  if (found.isSymbolicLink()) return 'a symbolic link'
  if (found.isDirectory()) return 'a folder'
  if (found.isFIFO()) return 'a named pipe'
  if (found.isSocket()) return 'a socket'
  if (!found.isFile()) return 'a device'
  return found.nlink > 1 ? 'a hard link' : undefined
}

/** The code of an error of the file system; '' for other errors. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) return ''
  return typeof error.code === 'string' ? error.code : ''
}

/** `a` and `a/b` of `a/b/c`. */
function parentsOf(path: string): string[] {
  const parts = path.split('/').slice(0, -1)
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'))
}

/** Where an open file really is, links on the way seen through. */
async function placeOf(handle: FileHandle, file: string): Promise<string> {
  try {
    return await readlink(`/proc/self/fd/${handle.fd}`)
  } catch {
    return join(await realpath(dirname(file)), file.slice(file.lastIndexOf('/') + 1))
  }
}

function notRegular(path: string, why: string): FileError {
  return new FileError('not_regular', path, `${JSON.stringify(path)} is ${why}, which is never sent`)
}

function openError(error: unknown, path: string): unknown {
  const shown = JSON.stringify(path)
  switch (codeOf(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new FileError('missing_output', path, `there is no ${shown}`, { cause: error })
    case 'ELOOP':
      return notRegular(path, 'a symbolic link')
    case 'ENXIO':
      return notRegular(path, 'a socket')
    case 'EACCES':
    case 'EPERM':
      return new FileError('denied', path, `${shown} may not be read`, { cause: error })
    default:
      return error
  }
}
