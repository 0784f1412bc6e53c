import { benchHistory } from './history.ts'

/** All benches by name; each prints a Markdown table. */
const BENCHES: Readonly<Record<string, (print: (line: string) => void) => Promise<void>>> = {
  history: benchHistory,
}

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !(name in BENCHES))
if (unknown.length > 0) {
  console.error(`No such bench: ${unknown.join(', ')}. There are: ${Object.keys(BENCHES).join(', ')}.`)
  process.exit(2)
}
for (const [name, bench] of Object.entries(BENCHES)) {
  if (asked.length > 0 && !asked.includes(name)) continue
  await bench((line) => {
    console.log(line)
  })
}
