import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open, realpath, rename, rm } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { messageOf, RetryableError } from '../../core/errors.ts'
import { makeFolder } from '../../core/make-folder.ts'
import { FileError, TransientError, type Carrier } from '../files.ts'

/** Files of this machine below `root`; with none every address is refused. */
export function createFileCarrier(root: string | undefined): Carrier {
  return {
    assertUsable: (url) => {
      pathOf(url, root)
    },

    async read({ url }, _from, signal) {
      try {
        const file = await placeOf(url, (path) => realpath(path))
        const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
        const found = await handle.stat()
        if (!found.isFile()) {
          await handle.close()
          throw new FileError('not_regular', '', `${url} is no regular file`)
        }
        const stream = handle.createReadStream({ highWaterMark: 1024 ** 2, signal })
        return { offset: 0, total: found.size, version: '', body: stream as AsyncIterable<Uint8Array> }
      } catch (error) {
        throw toFileFault(error, url)
      }
    },

    async write({ url }, content, signal) {
      try {
        const file = await placeOf(url, makePlace)
        const part = join(dirname(file), `.part-${randomBytes(8).toString('hex')}`)
        try {
          const handle = await open(part, 'wx', 0o644)
          try {
            for await (const chunk of content.open()) {
              signal.throwIfAborted()
              await handle.writeFile(chunk)
            }
          } finally {
            await handle.close()
          }
          await rename(part, file)
        } catch (error) {
          await rm(part, { force: true })
          throw error
        }
      } catch (error) {
        signal.throwIfAborted()
        throw toFileFault(error, url)
      }
    },

    below({ url, ...rest }, path) {
      return { ...rest, url: pathToFileURL(join(pathOf(url, root).path, path)).href }
    },

    close: () => undefined,
  }

  /** Where the address really leads; FileError when that is not below the root. */
  async function placeOf(url: string, find: (path: string, realRoot: string) => Promise<string>) {
    const { path, root: given } = pathOf(url, root)
    const realRoot = await realpath(given).catch((error: unknown) => {
      throw new RetryableError('files', `files_root can't be used: ${messageOf(error)}`, { cause: error })
    })
    const file = await find(path, realRoot)
    if (!isBelow(realRoot, file)) throw outside(url)
    return file
  }
}

/** Makes the folders above, none of them through a link that leads out. The file's own link would be replaced. */
async function makePlace(path: string, realRoot: string): Promise<string> {
  const missing: string[] = []
  let folder = dirname(path)
  for (;;) {
    try {
      folder = await realpath(folder)
      break
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
      missing.unshift(basename(folder))
      folder = dirname(folder)
    }
  }
  const file = join(folder, ...missing, basename(path))
  if (isBelow(realRoot, file)) await makeFolder(dirname(file))
  return file
}

function pathOf(url: string, root: string | undefined): { path: string; root: string } {
  if (root === undefined) {
    throw new FileError('bad_url', '', 'file:// can be used only where files_root is set in the config')
  }
  if (!/^file:\/\/(?:localhost)?\//i.test(url) || /[?#]/.test(url)) {
    throw new FileError('bad_url', '', `${url} is no address of a file: write file:///folder/name`)
  }
  try {
    return { path: fileURLToPath(url.replace(/^file:\/\/localhost/i, 'file://')), root }
  } catch (error) {
    throw new FileError('bad_url', '', `${url} is no address of a file`, { cause: error })
  }
}

function isBelow(root: string, path: string): boolean {
  const way = relative(root, path)
  return way !== '' && way !== '..' && !way.startsWith('../') && !isAbsolute(way)
}

function outside(url: string): FileError {
  return new FileError('denied', '', `${url} is not below files_root`)
}

function toFileFault(error: unknown, url: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const options = { cause: error }
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new FileError('not_found', '', `there is no ${url}`, options)
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new FileError('denied', '', `${url} may not be used by this user`, options)
    case 'EISDIR':
    case 'ELOOP':
    case 'ENXIO':
      return new FileError('not_regular', '', `${url} is no regular file`, options)
    case 'ENAMETOOLONG':
      return new FileError('bad_url', '', `${url} is too long`, options)
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EIO':
      return new TransientError(`${url}: ${messageOf(error)}`, options)
    default:
      return error
  }
}
