const KINDS = new Set(['evaluator', 'scorer'])
/** Options whose next word is their value, of the verbs `evaluator` and `scorer`. */
const TAKES_VALUE = new Set([
  '-c',
  '--config',
  '--process-name',
  '--username',
  '--num',
  '--concurrency',
  '--log-level',
  '--shutdown-grace',
  '--metrics-port',
])

/** The old `opthub-runner-start [options] evaluator|scorer [command…]`, with the verb in front as it is here. */
export function fromOldArguments(argv: readonly string[]): string[] {
  for (let index = 0; index < argv.length; index += 1) {
    const word = argv[index] ?? ''
    if (KINDS.has(word)) return [word, ...argv.slice(0, index), ...argv.slice(index + 1)]
    if (TAKES_VALUE.has(word)) index += 1
  }
  return [...argv]
}
