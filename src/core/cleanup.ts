import { messageOf } from './errors.ts'
import type { Logger } from './log.ts'

/** What was opened, to be closed in reverse order. */
export interface Cleanup {
  /** Adds a releaser; `what` names it in the log. */
  defer(what: string, release: () => void | Promise<void>): void
  /** Runs all releasers, last one first, each once and even when others fail; never throws. */
  run(): Promise<void>
}

export function createCleanup(log: Logger): Cleanup {
  const releasers: { what: string; release: () => void | Promise<void> }[] = []
  return {
    defer(what, release) {
      releasers.push({ what, release })
    },
    async run() {
      for (let next = releasers.pop(); next !== undefined; next = releasers.pop()) {
        try {
          await next.release()
        } catch (error) {
          log.warn('Cleaning up failed', { what: next.what, error: messageOf(error) })
        }
      }
    },
  }
}
