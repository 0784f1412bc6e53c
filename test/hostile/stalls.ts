import { readFileSync } from 'node:fs'

const TICK_MS = 10
const WORTH_NOTING_MS = 20
/** The main thread: what it has computed, and how long it has waited for a processor, in nanoseconds. */
const SCHEDSTAT = `/proc/self/task/${String(process.pid)}/schedstat`

/** Measures for how long this process's event loop was kept from going round by what is done in it. */
export interface StallMeter {
  /** Longest stall since then (performance.now()), in milliseconds. */
  longestSince(time: number): number
  stop(): void
}

/**
 * A tick that comes late was held up, unless the thread was waiting for a processor all the while: a machine that is full of
 * hostile programs lets nobody run on time, and this is about our own code.
 */
export function startStallMeter(): StallMeter {
  const stalls: { at: number; ms: number }[] = []
  let last = { at: performance.now(), waitedMs: waited() }
  const timer = setInterval(() => {
    const now = { at: performance.now(), waitedMs: waited() }
    const ms = now.at - last.at - TICK_MS - (now.waitedMs - last.waitedMs)
    if (ms > WORTH_NOTING_MS) stalls.push({ at: now.at, ms })
    last = now
  }, TICK_MS)
  timer.unref()
  return {
    longestSince: (time) => Math.max(0, ...stalls.filter(({ at }) => at >= time).map(({ ms }) => ms)),
    stop: () => {
      clearInterval(timer)
    },
  }
}

function waited(): number {
  try {
    return Number(readFileSync(SCHEDSTAT, 'utf8').split(' ')[1]) / 1e6
  } catch {
    return 0
  }
}
