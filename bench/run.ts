import { writeFile } from 'node:fs/promises'
import { benchCode } from './code.ts'
import { benchHistory } from './history.ts'
import { benchIdle } from './idle.ts'
import { benchInference } from './inference.ts'
import { benchLoop } from './loop.ts'
import { describeMachine, type Print } from './measure.ts'
import { benchStarts } from './starts.ts'
import { benchThroughput } from './throughput.ts'

/** All benches by name; each prints a Markdown table. */
const BENCHES: Readonly<Record<string, { title: string; run: (print: Print) => Promise<void> }>> = {
  starts: { title: 'One job: received → result stored', run: benchStarts },
  throughput: { title: 'Many jobs', run: benchThroughput },
  code: { title: 'Untrusted code: message → exit', run: benchCode },
  inference: { title: 'Models: received → answer stored', run: benchInference },
  loop: { title: 'The loop alone', run: benchLoop },
  idle: { title: 'Idle', run: benchIdle },
  history: { title: "A scorer's history", run: benchHistory },
}

const words = process.argv.slice(2)
const page = words.find((word) => word.startsWith('--page='))?.slice('--page='.length)
const asked = words.filter((word) => !word.startsWith('--page='))
const unknown = asked.filter((name) => !(name in BENCHES))
if (unknown.length > 0) {
  console.error(`No such bench: ${unknown.join(', ')}. There are: ${Object.keys(BENCHES).join(', ')}.`)
  process.exit(2)
}
const lines: string[] = []
function print(line: string): void {
  lines.push(line)
  console.log(line)
}
print('# Benchmarks')
print('')
print(`Made by \`npm run bench\` on ${new Date().toISOString().slice(0, 10)}: ${await describeMachine()}.`)
for (const [name, { title, run }] of Object.entries(BENCHES)) {
  if (asked.length > 0 && !asked.includes(name)) continue
  print('')
  print(`## ${title}`)
  print('')
  await run(print)
}
if (page !== undefined) await writeFile(page, `${lines.join('\n').trimEnd()}\n`)
