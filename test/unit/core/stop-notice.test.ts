import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Clock } from '../../../src/core/clock.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { awaitStopNotice, type StopNotice } from '../../../src/core/stop-notice.ts'

/** Looks without a pause worth speaking of. */
const clock: Clock = { ...systemClock, sleep: (_ms, signal) => systemClock.sleep(2, signal) }

function wait(notice: StopNotice) {
  const records: LogRecord[] = []
  const stop = new AbortController()
  const log = createLogger((record) => records.push(record))
  return { records, stop, said: awaitStopNotice(notice, { clock, log, signal: stop.signal }) }
}

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'stop-notice-'))
  onTestFinished(() => rm(made, { recursive: true }))
  return made
}

describe('a stop notice', () => {
  it('is given by a file that appears', async () => {
    const file = join(await folder(), 'notice')
    const { said } = wait({ file })
    expect(await Promise.race([said, systemClock.sleep(50)])).toBeUndefined()
    await writeFile(file, '')
    expect(await said).toContain(file)
  })

  it('is given by a command once it ends with 0', async () => {
    const flag = join(await folder(), 'flag')
    const { said, records } = wait({ command: ['test', '-e', flag] })
    await systemClock.sleep(50)
    await writeFile(flag, '')
    expect(await said).toContain('test')
    expect(records).toEqual([])
  })

  it('is not given by a command that can not be run, which is said once', async () => {
    const { said, stop, records } = wait({ command: ['/no/such/program'] })
    await systemClock.sleep(60)
    stop.abort()
    expect(await said).toBeUndefined()
    expect(records).toHaveLength(1)
  })

  it('takes its words as they are, never through a shell', async () => {
    const made = join(await folder(), 'made')
    const { said, stop } = wait({ command: ['false', `; touch ${made}`] })
    await systemClock.sleep(50)
    stop.abort()
    expect(await said).toBeUndefined()
  })
})
