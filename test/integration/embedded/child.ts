import { createInterface } from 'node:readline'
import { createLogger } from '../../../src/core/log.ts'
import { openEmbedded } from '../../../src/embedded/index.ts'

// Opens the data directory that it is given, tells how to reach it, and answers one question per line of stdin.
const embedded = await openEmbedded({ dataDir: process.argv[2] ?? '', log: createLogger(() => undefined) })
say(embedded.info)
for await (const question of createInterface({ input: process.stdin })) {
  if (question === 'serving') say(embedded.serving())
  if (question === 'rss') say(process.memoryUsage.rss())
  if (question === 'close') break
}
await embedded.close()
process.stdin.destroy()

function say(answer: unknown): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
