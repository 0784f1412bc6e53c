import { chmod, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, OperatorError, UnfitError } from '../core/errors.ts'
import { makeOwnFolder, removeOrphanFolders } from '../core/own-folder.ts'
import type { Mount } from '../executors/executor.ts'
import type { Files, InputFile, TransferOptions } from '../files/files.ts'

/** Files that were fetched for a program, which may read them and no more. Dispose removes them. */
export interface InputFolder extends AsyncDisposable {
  /** None where there are no inputs. */
  mounts: readonly Mount[]
}

const PREFIX = 'opthub-runner-files-'
/** Where a container finds them. */
const TARGET = '/files'

/** Looked for once, behind the first job's back. */
let orphans: Promise<void> | undefined

/** Fetches inputs into a folder of this machine. What the files throw passes through; nothing is left behind then. */
export async function fetchInputs(
  inputs: readonly InputFile[],
  files: Files,
  options: Pick<TransferOptions, 'signal' | 'maxBytes' | 'onProgress'>,
): Promise<InputFolder> {
  if (inputs.length === 0) return { mounts: [], [Symbol.asyncDispose]: () => Promise.resolve() }
  const base = await makeOwnFolder(PREFIX)
  orphans ??= removeOrphanFolders(PREFIX)
  const remove = (): Promise<void> => rm(base, { recursive: true, force: true })
  try {
    const folder = join(base, 'files')
    await mkdir(folder)
    await files.download(inputs, folder, options)
    // Whoever it runs as in there must be able to read it, whatever this process lets others do.
    const folders = new Set(inputs.flatMap(({ path }) => parentsOf(path)).map((path) => join(folder, path)))
    for (const each of [base, folder, ...folders]) await chmod(each, 0o755)
    for (const { path } of inputs) await chmod(join(folder, path), 0o644)
    return { mounts: [{ source: folder, target: TARGET, readOnly: true }], [Symbol.asyncDispose]: remove }
  } catch (error) {
    await remove()
    throw error
  }
}

/** What an error of a start means where the engine does not see the folder: another runner's engine may. */
export function asUnseen(error: unknown): unknown {
  // An OperatorError: this process is in a container itself, and the folder in no mount of it.
  if (!(error instanceof OperatorError) && !messageOf(error).includes(PREFIX)) return error
  return new UnfitError(
    'Jobs with inputs need an engine that sees the temporary folder of this runner: mount it into its container too, or run both on one machine',
    { cause: error },
  )
}

/** `a` and `a/b` of `a/b/c`. */
function parentsOf(path: string): string[] {
  const parts = path.split('/').slice(0, -1)
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'))
}
