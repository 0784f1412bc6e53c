import { closeSync, constants, openSync, readSync } from 'node:fs'

const LOG = '/dev/kmsg'
/** No record is longer. */
const RECORD_BYTES = 8192
const MOST_RECORDS = 100_000

/**
 * Whether the kernel of this machine says that it has killed a process of a container for want of memory. An engine that
 * hears of the container's end first never hears of that. False where the log can't be read.
 */
export function ranOutOfMemory(containerId: string): boolean {
  let fd: number
  try {
    fd = openSync(LOG, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch {
    return false
  }
  try {
    const buffer = Buffer.alloc(RECORD_BYTES)
    for (let n = 0; n < MOST_RECORDS; n += 1) {
      const record = readRecord(fd, buffer)
      if (record === undefined) return false
      // Written by the kernel alone: a program's own words never stand in this form behind the kernel's facility.
      if (/^[0-7],/.test(record) && /;oom-kill:/.test(record) && record.includes(containerId)) return true
    }
    return false
  } finally {
    closeSync(fd)
  }
}

/** The next record; undefined at the end. One that was overwritten meanwhile is passed over. */
function readRecord(fd: number, buffer: Buffer): string | undefined {
  try {
    return buffer.toString('latin1', 0, readSync(fd, buffer))
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPIPE' ? '' : undefined
  }
}
