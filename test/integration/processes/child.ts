/**
 * A process that enters itself under a name: says `open` or the error, reports its jobs as lines on its standard input
 * ask for it, and drains at SIGTERM as long as `jobs` runs.
 */
import { hostname } from 'node:os'
import { createInterface } from 'node:readline'
import { createLogger } from '../../../src/core/log.ts'
import { createStop } from '../../../src/core/stop.ts'
import { openProcess } from '../../../src/processes/open-process.ts'

const [dataDir = '', name = '', force = ''] = process.argv.slice(2)
const stop = createStop({ graceMs: 60_000 })
let signals = 0
process.on('SIGTERM', () => {
  signals += 1
  if (signals === 1) stop.requestDrain('SIGTERM')
  else stop.requestAbort('SIGTERM')
})

const host = {
  pid: process.pid,
  hostname: hostname(),
  kill: (pid: number, signal: 'SIGTERM' | 0) => {
    process.kill(pid, signal)
  },
}
const lines = createInterface({ input: process.stdin })
try {
  const running = await openProcess({
    dataDir,
    name,
    kind: 'evaluator',
    force: force === 'force',
    host,
    log: createLogger(() => undefined),
    signal: stop.drain,
    stop,
  })
  const job = { kind: 'evaluator' } as never
  let busy = false
  const end = (): void => {
    void running.close().then(() => process.exit(0))
  }
  stop.drain.addEventListener('abort', () => {
    if (!busy) end()
  })
  stop.abort.addEventListener('abort', end)
  lines.on('line', (line) => {
    if (line === 'start') {
      busy = true
      running.jobStarted()
    }
    if (line === 'end') {
      busy = false
      running.jobEnded(job, 'succeeded')
      if (stop.drain.aborted) end()
    }
    if (line === 'leave') end()
  })
  console.log('open')
} catch (error) {
  console.log(`refused ${String(error)}`)
  process.exit(1)
}
