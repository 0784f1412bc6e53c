import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../../core/errors.ts'
import { makeOwnFolder, removeOrphanFolders } from '../../core/own-folder.ts'
import type { Mount } from '../../executors/executor.ts'
import { taskName } from '../../executors/run-task.ts'
import { tellProgress } from '../../files/progress.ts'
import { ownFolder, removeFolder } from '../left-folder.ts'
import type { CallOptions } from './execute.ts'
import type { InferencePlan } from './plan.ts'
import type { InferenceEngine } from './services.ts'

/** The files of one job. Dispose removes them, and never throws. */
export interface JobFolder extends AsyncDisposable {
  mounts: readonly Mount[]
  /** Sends what the message wants back. FileError when something of it is not there. */
  send(signal: AbortSignal): Promise<void>
}

const PREFIX = 'opthub-runner-files-'
/** Where the container finds them. */
const TARGET = '/files'

/** Looked for once, behind the first job's back. */
let orphans: Promise<void> | undefined

/** Fetches the files of a job; a job without any gets no folder. */
export async function openJobFolder(
  { request: { id, inputs, outputs }, container: { image, limits } }: InferencePlan & { mode: 'oneshot' },
  { executor, files, settings: { maxFileBytes: maxBytes, user } }: InferenceEngine,
  { signal, log, timeline }: Pick<CallOptions, 'signal' | 'log' | 'timeline'>,
): Promise<JobFolder> {
  if (inputs.length + outputs.length === 0) {
    return { mounts: [], send: () => Promise.resolve(), [Symbol.asyncDispose]: () => Promise.resolve() }
  }
  // Before anything is fetched or started.
  await Promise.all([...inputs, ...outputs].map(({ url }) => files.assertUsable(url)))
  const base = await makeOwnFolder(PREFIX)
  orphans ??= removeOrphanFolders(PREFIX)
  const folder = join(base, 'files')
  const name = (): string => taskName('inference', `own-${id.slice(0, 40)}`)
  const remove = async (): Promise<void> => {
    try {
      await removeFolder(base, () =>
        ownFolder({ folder, image, kind: 'inference', name, limits }, user, executor, log),
      )
    } catch (error) {
      // What has come of the job stands all the same.
      log.warn("The job's folder could not be removed", { folder: base, error: messageOf(error) })
    }
  }
  try {
    await mkdir(folder)
    if (inputs.length > 0) timeline.enter('download')
    await files.download(inputs, folder, { signal, maxBytes, onProgress: tellProgress(timeline) })
    timeline.leave()
    // Whoever it runs as in there must be able to read and write it.
    await Promise.all([chmod(base, 0o755), chmod(folder, 0o777)])
    return {
      mounts: [{ source: folder, target: TARGET, readOnly: false }],
      send: async (aborted) => {
        const onProgress = tellProgress(timeline)
        await files.upload(outputs, folder, { signal: aborted, maxBytes, onProgress })
      },
      [Symbol.asyncDispose]: async () => {
        const removing = remove()
        // Who stops does not wait for what another user has left; where it is cut off, a later runner removes it.
        if (!signal.aborted) await removing
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}
