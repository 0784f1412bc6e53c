import { chmod, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeOwnFolder, removeOrphanFolders } from '../../core/own-folder.ts'
import type { Mount } from '../../executors/executor.ts'
import { tellProgress } from '../../files/progress.ts'
import type { CallOptions } from './execute.ts'
import type { InferenceRequest } from './message.ts'
import type { InferenceEngine } from './services.ts'

/** The files of one job. Dispose removes them. */
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
  { inputs, outputs }: InferenceRequest,
  { files, settings: { maxFileBytes: maxBytes } }: InferenceEngine,
  { signal, timeline }: Pick<CallOptions, 'signal' | 'timeline'>,
): Promise<JobFolder> {
  if (inputs.length + outputs.length === 0) {
    return { mounts: [], send: () => Promise.resolve(), [Symbol.asyncDispose]: () => Promise.resolve() }
  }
  // Before anything is fetched or started.
  await Promise.all([...inputs, ...outputs].map(({ url }) => files.assertUsable(url)))
  const base = await makeOwnFolder(PREFIX)
  orphans ??= removeOrphanFolders(PREFIX)
  const remove = (): Promise<void> => rm(base, { recursive: true, force: true })
  try {
    const folder = join(base, 'files')
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
      [Symbol.asyncDispose]: remove,
    }
  } catch (error) {
    await remove()
    throw error
  }
}
