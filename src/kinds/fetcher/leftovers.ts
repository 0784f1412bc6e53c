import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolder } from '../../core/make-folder.ts'
import { currentProcessId, processState } from '../../core/process-id.ts'

/** Says whose a job's folder is; no job has such an id. */
const MARK = /^\.(.+)\.owner$/

/** Notes that a job's folder below `base` is this process's. Resolves with what takes the note away. */
export async function markFolder(base: string, id: string): Promise<() => Promise<void>> {
  await makeFolder(base)
  const mark = join(base, `.${id}.owner`)
  await writeFile(mark, (await currentProcessId()) ?? '', { mode: 0o600 })
  return () => rm(mark, { force: true })
}

/** Removes the folders of jobs whose process is dead, by `remove`; says how many. Never throws. */
export async function removeLeftFolders(
  base: string,
  remove: (folder: string) => Promise<void>,
): Promise<number> {
  let count = 0
  for (const name of await readdir(base).catch(() => [])) {
    const id = MARK.exec(name)?.[1]
    if (id === undefined) continue
    try {
      const owner = await readFile(join(base, name), 'utf8')
      if ((await processState(owner)) !== 'dead') continue
      await remove(join(base, id))
      await rm(join(base, name), { force: true })
      count += 1
    } catch {
      // Another process was quicker, or it is not ours to remove.
    }
  }
  return count
}
