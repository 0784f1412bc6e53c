/** Sets what is known of a word that others chose; of more than `most` the one that was not set for the longest is forgotten. */
export function remember<T>(known: Map<string, T>, word: string, value: T, most: number): void {
  known.delete(word)
  known.set(word, value)
  const [oldest] = known.keys()
  if (known.size > most && oldest !== undefined) known.delete(oldest)
}
