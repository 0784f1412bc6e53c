import { posix } from 'node:path'
import { FileError, type OutputFile, type Skipped } from '../../files/files.ts'
import { walkFolder } from '../../files/walk.ts'
import type { FetcherJob, OutputType } from './job-specs.ts'
import type { JobSession } from './services.ts'

/** What a job has left in the folders that are to be sent. */
export interface Outputs {
  files: readonly OutputFile[]
  /** What is there too, and is no file to be sent. */
  skipped: readonly Skipped[]
  bytes: number
}

/** Looks through the folders of a job. FileError for one that the job has made unsafe to enter. */
export async function listOutputs(
  { outputs }: Pick<FetcherJob, 'outputs'>,
  folder: string,
  session: Pick<JobSession, 'uploadRequest'>,
  signal: AbortSignal,
): Promise<Outputs> {
  const files: OutputFile[] = []
  const skipped: Skipped[] = []
  let bytes = 0
  for (const { type, folder: path } of outputs) {
    try {
      const walked = await walkFolder(folder, path, { signal })
      files.push(...walked.files.map((file) => outputOf(file.path, type, session)))
      skipped.push(...walked.skipped)
      bytes += walked.files.reduce((sum, file) => sum + file.bytes, 0)
    } catch (error) {
      // It was there before; the job has its reasons.
      if (!(error instanceof FileError) || error.reason !== 'missing_output') throw error
      skipped.push({ path, why: 'it is not there' })
    }
  }
  return { files, skipped, bytes }
}

function outputOf(path: string, type: OutputType, session: Pick<JobSession, 'uploadRequest'>): OutputFile {
  const folder = posix.dirname(path)
  return {
    path,
    url: `job:${path}`,
    renew: (signal) => session.uploadRequest(type, folder === '.' ? '' : folder, signal),
  }
}

const MOST_SHOWN = 5

/** What was left out, for the job's owner; '' for nothing. */
export function skippedText(skipped: readonly Skipped[]): string {
  if (skipped.length === 0) return ''
  const shown = skipped.slice(0, MOST_SHOWN).map(({ path, why }) => `${path} (${why})`)
  const more = skipped.length > MOST_SHOWN ? ` and ${skipped.length - MOST_SHOWN} more` : ''
  return `Not sent: ${shown.join(', ')}${more}`
}
