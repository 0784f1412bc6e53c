import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf, RetryableError } from './errors.ts'
import { currentProcessId, processState } from './process-id.ts'

/** Stands where the id of a process has colons, which would cut a path in two where folders are bound. */
const SEPARATOR = '_'

/** Codes by which a file system says that it takes nothing more. */
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO'])

/** Makes a temporary folder, whose name begins with `prefix` and tells whose it is. RetryableError('disk') without room. */
export async function makeOwnFolder(prefix: string): Promise<string> {
  const owner = (await currentProcessId())?.replaceAll(':', SEPARATOR) ?? ''
  try {
    return await mkdtemp(join(tmpdir(), `${prefix}${owner}${SEPARATOR}`))
  } catch (error) {
    throw diskError(error, 'a temporary folder')
  }
}

/** What is to be thrown where `what` could not be written: RetryableError('disk') when this machine has no room for it. */
export function diskError(error: unknown, what: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || !FULL.has(String(error.code))) return error
  return new RetryableError('disk', `${what} can't be kept: ${messageOf(error)}`, { cause: error })
}

/** Removes what processes left behind that were killed. Never throws. */
export async function removeOrphanFolders(prefix: string): Promise<void> {
  const names = await readdir(tmpdir()).catch(() => [])
  for (const name of names.filter((each) => each.startsWith(prefix))) {
    const owner = name.slice(prefix.length, name.lastIndexOf(SEPARATOR)).replaceAll(SEPARATOR, ':')
    if ((await processState(owner)) !== 'dead') continue
    // Another user's can't be removed, and are none of our business.
    await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => undefined)
  }
}
