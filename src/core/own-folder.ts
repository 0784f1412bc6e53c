import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { currentProcessId, processState } from './process-id.ts'

/** Stands where the id of a process has colons, which would cut a path in two where folders are bound. */
const SEPARATOR = '_'

/** Makes a temporary folder, whose name begins with `prefix` and tells whose it is. */
export async function makeOwnFolder(prefix: string): Promise<string> {
  const owner = (await currentProcessId())?.replaceAll(':', SEPARATOR) ?? ''
  return await mkdtemp(join(tmpdir(), `${prefix}${owner}${SEPARATOR}`))
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
