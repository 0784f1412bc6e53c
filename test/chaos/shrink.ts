/**
 * Looks for a short part of `items` with which `fails` still holds (delta debugging): leaves out halves, then quarters
 * and so on, and goes on from whatever still fails. Tries at most `tries` times, and keeps the order.
 */
export async function shrink<T>(
  items: readonly T[],
  fails: (some: readonly T[]) => Promise<boolean>,
  tries: number,
): Promise<readonly T[]> {
  let current = items
  let parts = 2
  let left = tries
  while (current.length > 1 && left > 0) {
    const size = Math.ceil(current.length / parts)
    let found = false
    for (let from = 0; from < current.length && left > 0; from += size) {
      const rest = [...current.slice(0, from), ...current.slice(from + size)]
      left -= 1
      if (!(await fails(rest))) continue
      current = rest
      found = true
      break
    }
    if (found) parts = Math.max(2, parts - 1)
    else if (size === 1) break
    else parts = Math.min(current.length, parts * 2)
  }
  return current
}
