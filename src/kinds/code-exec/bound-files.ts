import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { messageOf, OperatorError, RetryableError } from '../../core/errors.ts'
import { diskError, makeOwnFolder, removeOrphanFolders } from '../../core/own-folder.ts'
import type { Mount } from '../../executors/executor.ts'
import type { File } from './message.ts'

/** Files of this machine that a container sees, one by one and read-only, in its working folder. */
export interface BoundFiles extends AsyncDisposable {
  mounts: readonly Mount[]
}

const PREFIX = 'opthub-runner-code-'

/** Whether a container could not be started because the engine does not see our files. */
export function saysUnseen(error: unknown): boolean {
  // That they could not be written names the folder as well.
  if (error instanceof RetryableError && error.surrounding === 'disk') return false
  // An OperatorError: this process is in a container itself, and the folder in no mount of it.
  return error instanceof OperatorError || messageOf(error).includes(PREFIX)
}

/** Looked for once, behind the first job's back. */
let orphans: Promise<void> | undefined

/** Writes files for a container; dispose removes them. RetryableError('disk') when this machine has no room. */
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
    const writing = files.map(async ({ path, content }, index): Promise<Mount> => {
      // Under numbers, so that no name of theirs is ever one of ours.
      const source = join(place, String(index))
      await writeFile(source, content)
      await chmod(source, 0o644)
      return { source, target: posix.join(folder, path), readOnly: true }
    })
    // What is still being written can't be removed for good.
    await Promise.allSettled(writing)
    const mounts = await Promise.all(writing)
    return { mounts, [Symbol.asyncDispose]: remove }
  } catch (error) {
    // Why it can't be written is what counts.
    await remove().catch(() => undefined)
    throw diskError(error, 'the files of a job')
  }
}
