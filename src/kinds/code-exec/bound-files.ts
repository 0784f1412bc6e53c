import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { messageOf, OperatorError } from '../../core/errors.ts'
import { makeOwnFolder, removeOrphanFolders } from '../../core/own-folder.ts'
import type { Mount } from '../../executors/executor.ts'
import type { File } from './message.ts'

/** Files of this machine that a container sees, one by one and read-only, in its working folder. */
export interface BoundFiles extends AsyncDisposable {
  mounts: readonly Mount[]
}

const PREFIX = 'opthub-runner-code-'

/** Whether a container could not be started because the engine does not see our files. */
export function saysUnseen(error: unknown): boolean {
  // An OperatorError: this process is in a container itself, and the folder in no mount of it.
  return error instanceof OperatorError || messageOf(error).includes(PREFIX)
}

/** Looked for once, behind the first job's back. */
let orphans: Promise<void> | undefined

/** Writes files for a container; dispose removes them. */
export async function bindFiles(files: readonly File[], folder: string): Promise<BoundFiles> {
  if (files.length === 0) return { mounts: [], [Symbol.asyncDispose]: () => Promise.resolve() }
  const base = await makeOwnFolder(PREFIX)
  orphans ??= removeOrphanFolders(PREFIX)
  const remove = (): Promise<void> => rm(base, { recursive: true, force: true })
  try {
    // Whoever it runs as in there must be able to read it, whatever this process lets others do.
    const place = join(base, 'files')
    await mkdir(place)
    await Promise.all([base, place].map((each) => chmod(each, 0o755)))
    const mounts = await Promise.all(
      files.map(async ({ path, content }, index): Promise<Mount> => {
        // Under numbers, so that no name of theirs is ever one of ours.
        const source = join(place, String(index))
        await writeFile(source, content)
        await chmod(source, 0o644)
        return { source, target: posix.join(folder, path), readOnly: true }
      }),
    )
    return { mounts, [Symbol.asyncDispose]: remove }
  } catch (error) {
    await remove()
    throw error
  }
}
