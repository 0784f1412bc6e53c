import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { messageOf, RetryableError } from '../core/errors.ts'
import { createMeter, type Budget } from './budget.ts'
import { FileError, type Carrier, type InputFile, type Progress } from './files.ts'
import { codeOf, makeParents } from './paths.ts'
import { pull } from './pull.ts'
import type { Patience } from './retry.ts'

export interface Download {
  input: InputFile
  folder: string
  budget: Budget
  carrierOf: (url: string) => Promise<Carrier>
  patience: Patience
  onProgress: ((progress: Progress) => void) | undefined
  signal: AbortSignal
}

/** Fetches one file. What is not whole and right stands beside its name, and is removed. */
export async function downloadFile(options: Download): Promise<void> {
  const { input, folder, budget, patience, signal } = options
  const { path, renew, sha256 } = input
  const target = join(folder, path)
  const part = join(dirname(target), `.part-${randomBytes(8).toString('hex')}`)
  const tell = createMeter(path, patience.clock, options.onProgress)
  try {
    await makeParents(folder, path)
    const handle = await open(part, 'wx', 0o644)
    try {
      let position = 0
      const sink = {
        async write(chunk: Uint8Array) {
          for (let done = 0; done < chunk.length;) {
            const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, position)
            done += bytesWritten
            position += bytesWritten
          }
        },
        async restart() {
          position = 0
          await handle.truncate(0)
        },
      }
      const bytes = await pull(
        {
          ...{ path, request: input, patience, signal, carrierOf: options.carrierOf },
          ...(renew === undefined ? {} : { renew }),
          ...(sha256 === undefined ? {} : { sha256 }),
          count: budget.share(path),
          onMoved: tell,
        },
        sink,
      )
      tell(bytes, bytes, true)
    } finally {
      await handle.close()
    }
    await rename(part, target)
  } catch (error) {
    await rm(part, { force: true }).catch(() => undefined)
    throw writeError(error, path)
  }
}

function writeError(error: unknown, path: string): unknown {
  const shown = JSON.stringify(path)
  switch (codeOf(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EROFS':
    case 'EIO':
      return new RetryableError('disk', `${shown} can't be written: ${messageOf(error)}`, { cause: error })
    case 'EISDIR':
    case 'ENOTDIR':
    case 'ENAMETOOLONG':
    case 'ENOTEMPTY':
      return new FileError('unsafe_path', path, `${shown} can't be made there`, { cause: error })
    default:
      return error
  }
}
