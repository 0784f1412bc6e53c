/**
 * A process that claims GPUs again and again, and holds each for a moment. A file that only the holder may make is its
 * witness: says `violation` when another living process has it, and `had` each time that it had one.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '../../../src/core/clock.ts'
import { GpuClaims } from '../../../src/executors/gpu-claims.ts'
import { OwnedFiles } from '../../../src/executors/owned-files.ts'

const [folder = '', witnesses = '', ...uuids] = process.argv.slice(2)
const claims = new GpuClaims(new OwnedFiles(folder, systemClock), systemClock)
const ending = new AbortController()
process.on('SIGTERM', () => {
  ending.abort()
})

/** The holder that the witness names, if it lives and is another. */
function otherHolder(witness: string): number | undefined {
  try {
    const pid = Number(readFileSync(witness, 'utf8'))
    const state =
      readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
        .split(') ')
        .at(-1)?.[0] ?? ''
    return 'ZX'.includes(state) ? undefined : pid
  } catch {
    return undefined
  }
}

while (!ending.signal.aborted) {
  for (const uuid of uuids) {
    const claim = await claims.take(uuid)
    if (claim === undefined) continue
    const witness = join(witnesses, uuid)
    const other = otherHolder(witness)
    if (other !== undefined) console.log(`violation: ${uuid} of ${String(other)} and ${String(process.pid)}`)
    writeFileSync(witness, String(process.pid))
    await delay(Math.random() * 4)
    const end = otherHolder(witness)
    if (end !== process.pid)
      console.log(`violation: ${uuid} went to ${String(end)} from ${String(process.pid)}`)
    rmSync(witness, { force: true })
    await claim.release()
    console.log('had')
  }
  await delay(Math.random() * 3)
}
