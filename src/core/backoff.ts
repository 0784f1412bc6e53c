/** A value spread evenly over ± 25 %, so that many runners don't come back at the same instant. */
function jitter(value: number, random: () => number): number {
  return value * (0.75 + 0.5 * random())
}

/**
 * Seconds until a released message is seen again: 30 × 4^(attempt − 1), at most an hour, ± 25 %.
 * `attempt` is the queue's receive count, from 1.
 */
export function releaseDelaySeconds(attempt: number, random: () => number = Math.random): number {
  const base = Math.min(30 * 4 ** Math.max(0, Math.min(attempt, 10) - 1), 3600)
  return Math.round(jitter(base, random))
}

/** Milliseconds before the `n`-th retry (from 0) of something that should work soon: doubling from `firstMs`, at most `maxMs`. */
export function retryPauseMs(
  n: number,
  firstMs: number,
  maxMs: number,
  random: () => number = Math.random,
): number {
  return jitter(Math.min(firstMs * 2 ** Math.min(n, 30), maxMs), random)
}
