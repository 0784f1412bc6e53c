import type { Clock } from '../../../src/core/clock.ts'

/** A clock whose sleeps end at once, in their order, and move its time. */
export function createVirtualClock(): Clock {
  let nowMs = 0
  const sleepers: { at: number; wake: () => void }[] = []

  /** One for each sleep begun; whoever sleeps shortest wakes first. */
  function wakeNext(): void {
    sleepers.sort((a, b) => a.at - b.at)
    const sleeper = sleepers.shift()
    if (sleeper === undefined) return
    nowMs = Math.max(nowMs, sleeper.at)
    sleeper.wake()
  }

  return {
    now: () => nowMs,
    date: () => new Date(nowMs),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        function wake(): void {
          signal?.removeEventListener('abort', giveUp)
          resolve()
        }
        function giveUp(): void {
          sleepers.splice(sleepers.indexOf(sleeper), 1)
          reject(signal?.reason as Error)
        }
        const sleeper = { at: nowMs + ms, wake }
        sleepers.push(sleeper)
        signal?.addEventListener('abort', giveUp, { once: true })
        setImmediate(wakeNext)
      }),
  }
}
