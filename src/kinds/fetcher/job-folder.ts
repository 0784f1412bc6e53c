import { chmod, lstat, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolder } from '../../core/make-folder.ts'
import { makeParents } from '../../files/paths.ts'

/** Programs in the container may run as anybody. */
const OPEN_TO_ALL = 0o777

/** Makes a job's folder anew: what an earlier run has left there is removed by `remove`. */
export async function makeJobFolder(
  base: string,
  id: string,
  remove: (folder: string) => Promise<void>,
): Promise<string> {
  await makeFolder(base)
  const folder = join(base, id)
  if ((await lstat(folder).catch(() => undefined)) !== undefined) await remove(folder)
  await mkdir(folder)
  await chmod(folder, OPEN_TO_ALL)
  return folder
}

/** Makes the folders that outputs are taken from, for whoever the program runs as. */
export async function makeOutputFolders(folder: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    if (path === '') continue
    await makeParents(folder, `${path}/.`)
    await chmod(join(folder, path), OPEN_TO_ALL)
  }
}
