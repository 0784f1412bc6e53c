import { Chalk } from 'chalk'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createLiveView } from '../../../src/cli/live.ts'
import type { Clock } from '../../../src/core/clock.ts'
import type { JobView } from '../../../src/core/observer.ts'
import { Timeline } from '../../../src/core/timeline.ts'
import { tellProgress } from '../../../src/files/progress.ts'
import { FakeOutput } from '../../support/fake-io.ts'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

function open(columns = 80, rows = 24) {
  const output = new FakeOutput(columns, rows)
  let now = 0
  const clock: Clock = { now: () => now, date: () => new Date(now), sleep: () => Promise.resolve() }
  const view = createLiveView({ output, colors: new Chalk({ level: 0 }), clock, timeoutSeconds: () => 600 })
  const job = (slot: number, id = 'm#Team#1#00001'): JobView => {
    const timeline = new Timeline(clock)
    timeline.enter('run')
    return { kind: 'evaluator', slot, since: now, timeline, identity: { id, shortId: 'x', fields: {} } }
  }
  const pass = (ms: number): void => {
    now += ms
    vi.advanceTimersByTime(ms)
  }
  return { output, view, job, pass }
}

/** What stands on the terminal, of what was written to it. */
function screen(text: string): string[] {
  const lines: string[] = []
  for (const part of text.split(/(?=\u001b\[\d+A\r\u001b\[J)/)) {
    const up = /^\u001b\[(\d+)A\r\u001b\[J/.exec(part)
    if (up !== null) lines.splice(lines.length - Number(up[1]))
    const rest = part.slice(up?.[0].length ?? 0)
    lines.push(...rest.split('\n').slice(0, -1))
  }
  return lines
}

describe('the live view', () => {
  test('shows a line per job with its phase, time and timeout, and the totals', () => {
    const { output, view, job, pass } = open()
    view.stateChanged('polling')
    const first = job(1)
    view.jobStarted(first)
    view.jobStarted(job(0, 'm#User#2#00002'))
    pass(65_000)
    expect(screen(output.text)).toEqual([
      'evaluator 1  run      1:05 / 10:00  m#User#2#00002',
      'evaluator 2  run      1:05 / 10:00  m#Team#1#00001',
      'polling · 2 running',
    ])
    view.jobEnded(first, 'succeeded')
    view.jobEnded(job(0), 'failed')
    view.stateChanged('paused', 'the engine is gone')
    pass(100)
    expect(screen(output.text)).toEqual(['paused · the engine is gone · 0 running · 1 done · 1 failed'])
    view.close()
    expect(screen(output.text)).toEqual([])
  })

  test('shows how far the files of a job are', () => {
    const { output, view, job, pass } = open()
    const fetching = job(0)
    fetching.timeline.enter('download')
    const tell = tellProgress(fetching.timeline)
    view.jobStarted(fetching)
    tell({ path: 'a', bytes: 500, total: 1000 })
    tell({ path: 'b', bytes: 100, total: 2_000_000 })
    tell({ path: 'a', bytes: 1000, total: 1000 })
    pass(1000)
    expect(screen(output.text)[0]).toContain('download 1.1 kB of 2 MB  1 s')
    // Of some nobody says how long they are.
    tell({ path: 'c', bytes: 900, total: undefined })
    pass(1000)
    expect(screen(output.text)[0]).toContain('download 2 kB  2 s')
    fetching.timeline.enter('run')
    pass(1000)
    expect(screen(output.text)[0]).toContain('run      3 s')
    view.close()
  })

  test('log lines scroll by above it', () => {
    const { output, view, job, pass } = open()
    view.jobStarted(job(0))
    pass(50)
    view.print('first')
    view.print('second')
    expect(screen(output.text).slice(0, 2)).toEqual(['first', 'second'])
    expect(screen(output.text)).toHaveLength(4)
    view.close()
    view.print('after the end')
    expect(screen(output.text)).toEqual(['first', 'second', 'after the end'])
  })

  test('no line is longer than the terminal is wide, and no more lines than it is high', () => {
    const { output, view, job, pass } = open(30, 6)
    for (let slot = 0; slot < 10; slot += 1) view.jobStarted(job(slot, '日本'.repeat(40)))
    pass(50)
    const lines = screen(output.text)
    expect(lines).toHaveLength(5)
    expect(lines[3]).toBe('… and 7 more jobs')
    for (const line of lines) expect(line.length).toBeLessThan(30)
  })

  test('a resize redraws, counting the rows that the lines take by then', () => {
    const { output, view, job, pass } = open(100)
    view.jobStarted(job(0, 'x'.repeat(60)))
    pass(50)
    output.text = ''
    output.columns = 40
    output.emit('resize')
    pass(50)
    // A job line of over 80 columns is three rows of 40 by now, the totals one.
    expect(output.text).toContain('\u001b[4A')
    view.close()
    expect(output.listenerCount('resize')).toBe(0)
  })

  test('draws nothing while nothing happens', () => {
    const { output, view, pass } = open()
    view.stateChanged('polling')
    pass(100)
    const drawn = output.text
    pass(60_000)
    expect(output.text).toBe(drawn)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('names that would steer the terminal are spelt out', () => {
    const { output, view, job, pass } = open()
    view.jobStarted(job(0, 'a\u001b[31m\nb'))
    pass(50)
    expect(output.text).toContain('a\\x1b[31m\\x0ab')
    view.close()
  })
})
