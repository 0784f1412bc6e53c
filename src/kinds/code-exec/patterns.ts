/** Whether a path fits a pattern: `*` and `?` stay within a folder, `**` stands for any folders, or for all below one. */
export function fits(path: string, pattern: string): boolean {
  return matches(path.split('/'), pattern.split('/'), '**', (part, wanted) =>
    matches(Array.from(part), Array.from(wanted), '*', (unit, other) => other === '?' || unit === other),
  )
}

/** Whether a pattern names just one file, which must then be there. */
export function isLiteral(pattern: string): boolean {
  return !/[*?]/.test(pattern)
}

/**
 * Whether a row fits a pattern in which `star` stands for any number of members. Of several stars only the last one is
 * ever tried anew, so that no pattern takes long.
 */
function matches(
  row: readonly string[],
  pattern: readonly string[],
  star: string,
  isOne: (member: string, wanted: string) => boolean,
): boolean {
  let at = 0
  let wanted = 0
  let retry: { at: number; wanted: number } | undefined
  while (at < row.length) {
    const [member = '', next] = [row[at], pattern[wanted]]
    if (next === star) {
      retry = { at, wanted }
      wanted += 1
    } else if (next !== undefined && isOne(member, next)) {
      at += 1
      wanted += 1
    } else if (retry !== undefined) {
      retry.at += 1
      at = retry.at
      wanted = retry.wanted + 1
    } else return false
  }
  return pattern.slice(wanted).every((rest) => rest === star)
}
