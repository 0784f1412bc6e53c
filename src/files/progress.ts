import type { Timeline } from '../core/timeline.ts'
import type { Progress } from './files.ts'

/** Shows how far the files of a job's phase are; for one transfer, of any number of files. */
export function tellProgress(timeline: Timeline): (progress: Progress) => void {
  const seen = new Map<string, Progress>()
  let bytes = 0
  let total: number | undefined = 0
  return (progress) => {
    const before = seen.get(progress.path)
    seen.set(progress.path, progress)
    bytes += progress.bytes - (before?.bytes ?? 0)
    // Of what has not begun yet nobody knows.
    total =
      total === undefined || progress.total === undefined
        ? undefined
        : total + progress.total - (before?.total ?? 0)
    timeline.moved = { bytes, total }
  }
}
