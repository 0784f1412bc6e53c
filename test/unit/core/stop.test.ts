import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { StoppedError } from '../../../src/core/errors.ts'
import { createStop } from '../../../src/core/stop.ts'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

test('abort follows the drain when the grace is over, and says so', () => {
  const stop = createStop({ graceMs: 1000 })
  stop.requestDrain('SIGTERM')
  expect(stop.drain.reason).toEqual(new StoppedError('SIGTERM'))
  vi.advanceTimersByTime(999)
  expect(stop.abort.aborted).toBe(false)
  vi.advanceTimersByTime(1)
  expect(stop.abort.reason).toEqual(new StoppedError('SIGTERM; the 1 s for running jobs are over'))
})

test('an abort drains, too; further calls change nothing', () => {
  const stop = createStop({ graceMs: 1000 })
  stop.requestAbort('now')
  stop.requestDrain('later')
  stop.requestAbort('again')
  expect((stop.drain.reason as Error).message).toBe('now')
  expect((stop.abort.reason as Error).message).toBe('now')
  expect(vi.getTimerCount()).toBe(0)
})

test('dispose ends the timer', () => {
  const stop = createStop({ graceMs: 1000 })
  stop.requestDrain('x')
  stop.dispose()
  vi.advanceTimersByTime(5000)
  expect(stop.abort.aborted).toBe(false)
})

test('a grace of months does not end at once', () => {
  const stop = createStop({ graceMs: 2 ** 40 })
  stop.requestDrain('x')
  vi.advanceTimersByTime(1000)
  expect(stop.abort.aborted).toBe(false)
  stop.dispose()
})
