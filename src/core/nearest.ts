/** The candidate that `text` was probably meant to be (letters swapped, left out or doubled); undefined when none is close. */
export function nearest(text: string, candidates: Iterable<string>): string | undefined {
  const wanted = normalize(text)
  // One mistake in a short word, three in a long one: more would suggest nonsense.
  let best = {
    word: undefined as string | undefined,
    distance: Math.min(3, Math.ceil(wanted.length / 3)) + 1,
  }
  for (const word of candidates) {
    if (Math.abs(word.length - text.length) >= best.distance) continue
    const distance = editDistance(wanted, normalize(word))
    if (distance < best.distance) best = { word, distance }
  }
  return best.word
}

function normalize(text: string): string {
  return text.slice(0, 200).toLowerCase().replaceAll('-', '_')
}

/** How many letters must be put in, taken out, changed or swapped with their neighbour. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const changed = at(last, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      let distance = Math.min(at(row, j - 1) + 1, at(last, j) + 1, changed)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        distance = Math.min(distance, at(beforeLast, j - 2) + 1)
      }
      row.push(distance)
    }
    beforeLast = last
    last = row
  }
  return at(last, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}
