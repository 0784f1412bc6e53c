import { FileError } from './files.ts'

/** Says of which file of the job an error is, where the far end's side could not know. */
export async function about<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof FileError) || error.path !== '') throw error
    throw new FileError(error.reason, path, `${JSON.stringify(path)}: ${error.message}`, { cause: error })
  }
}
