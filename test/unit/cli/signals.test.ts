import { expect, test, vi } from 'vitest'
import { watchSignals } from '../../../src/cli/signals.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { createStop } from '../../../src/core/stop.ts'
import { FakeIo } from '../../support/fake-io.ts'

function watch() {
  const io = new FakeIo()
  const records: LogRecord[] = []
  const stop = createStop({ graceMs: 600_000 })
  const signals = watchSignals(
    io,
    stop,
    createLogger((record) => records.push(record)),
  )
  return { io, stop, signals, records }
}

test('first drains, second aborts, third ends the process', () => {
  const { io, stop, signals, records } = watch()
  expect(signals.exitCode()).toBeUndefined()
  io.signal('SIGTERM')
  expect([stop.drain.aborted, stop.abort.aborted]).toEqual([true, false])
  expect(signals.forcedExitCode()).toBeUndefined()
  expect(signals.exitCode()).toBe(143)
  io.signal('SIGINT')
  expect(stop.abort.aborted).toBe(true)
  expect(signals.forcedExitCode()).toBe(130)
  expect(io.exits).toEqual([])
  io.signal('SIGHUP')
  expect(io.exits).toEqual([129])
  expect(records.map(({ level }) => level)).toEqual(['INFO', 'WARNING'])
  signals.dispose()
})

test('one key press that arrives twice counts once, two presses count twice', () => {
  const now = vi.spyOn(performance, 'now')
  const { io, stop, signals } = watch()
  now.mockReturnValue(1000)
  io.signal('SIGINT')
  now.mockReturnValue(1020)
  io.signal('SIGINT')
  expect(stop.abort.aborted).toBe(false)
  now.mockReturnValue(1500)
  io.signal('SIGINT')
  expect(stop.abort.aborted).toBe(true)
  signals.dispose()
})

test('the grace running out is a forced stop of the signal that began it', () => {
  const { io, stop, signals } = watch()
  io.signal('SIGTERM')
  stop.requestAbort('grace over')
  expect(signals.forcedExitCode()).toBe(143)
  signals.dispose()
})

test('the grace of a notice running out counts as SIGTERM', () => {
  const { stop, signals } = watch()
  stop.requestDrain('the file /run/spot-notice is there')
  expect(signals.forcedExitCode()).toBeUndefined()
  stop.requestAbort('grace over')
  expect(signals.forcedExitCode()).toBe(143)
  expect(signals.exitCode()).toBeUndefined()
  signals.dispose()
})

test('nothing is heard after dispose', () => {
  const { io, stop, signals } = watch()
  signals.dispose()
  io.signal('SIGINT')
  expect(stop.drain.aborted).toBe(false)
})
