import { setTimeout as delay } from 'node:timers/promises'

/** Waits until something holds; says how long that took in milliseconds, and throws what `tell` says when it never does. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  withinMs = 60_000,
  tell: () => string = () => '',
): Promise<number> {
  const start = performance.now()
  while (!(await holds())) {
    if (performance.now() - start > withinMs)
      throw new Error(`not within ${String(withinMs)} ms: ${what}\n${tell()}`)
    await delay(50)
  }
  return performance.now() - start
}
