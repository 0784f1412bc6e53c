import { FileError, type Progress } from './files.ts'
import type { Clock } from '../core/clock.ts'

/** How many bytes some files may have together. */
export interface Budget {
  /** One file of them: FileError('too_large') when `bytes`, which take the place of those it had before, are too many. */
  share(path: string): (bytes: number) => void
}

export function createBudget(maxBytes: number): Budget {
  let sum = 0
  return {
    share(path) {
      let own = 0
      return (bytes) => {
        sum += bytes - own
        own = bytes
        if (sum <= maxBytes) return
        const which = path === '' ? 'it has' : `with ${JSON.stringify(path)} the files have`
        throw new FileError('too_large', path, `${which} more than the ${maxBytes} bytes that are allowed`)
      }
    },
  }
}

const TELL_EVERY_MS = 500

/** Tells of a file's progress, at most twice a second unless it is `whole`. */
export function createMeter(
  path: string,
  clock: Clock,
  onProgress: ((progress: Progress) => void) | undefined,
): (bytes: number, total: number | undefined, isWhole?: boolean) => void {
  let toldAt = -Infinity
  return (bytes, total, isWhole = false) => {
    if (onProgress === undefined || (!isWhole && clock.now() - toldAt < TELL_EVERY_MS)) return
    toldAt = clock.now()
    onProgress({ path, bytes, total })
  }
}
