import { FileError, type Files } from '../../files/files.ts'
import { RequestError } from '../fields.ts'
import type { CodeExecRequest } from './message.ts'

/** RequestError for an address that could never be used here. Asks nobody. */
export async function assertAddresses({ inputs, outputs }: CodeExecRequest, files: Files): Promise<void> {
  for (const [name, list] of Object.entries({ inputs, outputs })) {
    for (const { url, path } of list) {
      await asRequest(`${name}, ${JSON.stringify(path)}`, () => files.assertUsable(url))
    }
  }
}

/** What is wrong with a job's files is wrong with its request. */
export async function asRequest<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof FileError)) throw error
    throw new RequestError(`${name}: ${error.message}`)
  }
}

/** `work`, which ends early when the job's owner wants it no more. */
export async function whileWanted<T>(
  { signal, cancel }: { signal: AbortSignal; cancel?: AbortSignal },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | 'canceled'> {
  try {
    return await work(cancel === undefined ? signal : AbortSignal.any([signal, cancel]))
  } catch (error) {
    if (cancel?.aborted === true && !signal.aborted) return 'canceled'
    throw error
  }
}
