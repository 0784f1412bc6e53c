import type { ChalkInstance } from 'chalk'
import type { Clock } from '../core/clock.ts'
import type { JobOutcome, JobView, WorkerObserver, WorkerState } from '../core/observer.ts'
import type { Timeline } from '../core/timeline.ts'
import type { Output } from './io.ts'
import { displayWidth, fitText, plainText, sizeText } from './text.ts'

/** A block of lines at the end of the terminal that is drawn again and again; log lines scroll by above it. */
export interface LiveView extends WorkerObserver {
  /** Writes a line above the block. */
  print(line: string): void
  /** Erases the block for good. */
  close(): void
}

interface LiveOptions {
  output: Output
  colors: ChalkInstance
  clock: Clock
  /** Shown beside the elapsed time of a job. */
  timeoutSeconds: (job: JobView) => number
}

/** Often enough for a seconds counter, seldom enough to cost nothing. */
const TICK_MS = 500
/** Many events at once are drawn once. */
const COALESCE_MS = 40

/** One live line per busy slot and one with the totals. Nothing is drawn, and no timer runs, while nothing happens. */
export function createLiveView({ output, colors, clock, timeoutSeconds }: LiveOptions): LiveView {
  const jobs = new Map<string, JobView>()
  const totals = new Map<JobOutcome, number>()
  let state: WorkerState = 'starting'
  let reason: string | undefined
  let drawn: string[] = []
  let soon: NodeJS.Timeout | undefined
  let ticking: NodeJS.Timeout | undefined
  let closed = false

  function erase(): string {
    if (drawn.length === 0) return ''
    // After a resize a line may take several rows by now.
    const columns = columnsOf(output)
    const rows = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(displayWidth(line) / columns)), 0)
    drawn = []
    return `\u001b[${rows}A\r\u001b[J`
  }

  function draw(above = ''): void {
    if (closed) {
      if (above !== '') output.write(above)
      return
    }
    const before = erase()
    drawn = blockLines()
    const painted = drawn.map((line, index) => (index === drawn.length - 1 ? colors.dim(line) : line))
    output.write(`${before}${above}${painted.map((line) => `${line}\n`).join('')}`)
  }

  function blockLines(): string[] {
    const columns = columnsOf(output)
    const room = Math.max(1, (output.rows ?? 24) - 3)
    const sorted = [...jobs.values()].sort((a, b) => a.kind.localeCompare(b.kind) || a.slot - b.slot)
    const lines = sorted.slice(0, room).map((job) => jobLine(job, clock.now(), timeoutSeconds(job)))
    if (sorted.length > room) lines.push(`… and ${sorted.length - room} more jobs`)
    lines.push(totalsLine(totals, jobs.size, state, reason))
    // One column is left free, since some terminals wrap when the last one is written.
    return lines.map((line) => fitText(line, columns - 1))
  }

  function drawSoon(): void {
    soon ??= setTimeout(() => {
      soon = undefined
      draw()
    }, COALESCE_MS).unref()
    if (jobs.size > 0) ticking ??= setInterval(draw, TICK_MS).unref()
    else stopTicking()
  }

  function stopTicking(): void {
    clearInterval(ticking)
    ticking = undefined
  }

  output.on('resize', drawSoon)

  return {
    jobStarted(job) {
      jobs.set(keyOf(job), job)
      drawSoon()
    },
    jobEnded(job, outcome) {
      jobs.delete(keyOf(job))
      totals.set(outcome, (totals.get(outcome) ?? 0) + 1)
      drawSoon()
    },
    stateChanged(next, why) {
      state = next
      reason = why
      drawSoon()
    },
    print(line) {
      draw(`${line}\n`)
    },
    close() {
      if (closed) return
      output.off('resize', drawSoon)
      clearTimeout(soon)
      stopTicking()
      output.write(erase())
      closed = true
    },
  }
}

function keyOf(job: JobView): string {
  return `${job.kind} ${job.slot}`
}

function columnsOf(output: Output): number {
  return Math.max(20, output.columns ?? 80)
}

function jobLine(job: JobView, now: number, timeoutSeconds: number): string {
  const phase = job.timeline.current ?? 'waiting'
  const elapsed = `${duration((now - job.since) / 1000)} / ${duration(timeoutSeconds)}`
  return `${job.kind} ${job.slot + 1}  ${phase.padEnd(7)}${movedText(job.timeline)}  ${elapsed}  ${plainText(job.identity.id)}`
}

/** ` 67.8 MB of 2.1 GB`, while files move. */
function movedText({ moved }: Timeline): string {
  if (moved === undefined) return ''
  const { bytes, total } = moved
  return ` ${sizeText(bytes)}${total === undefined ? '' : ` of ${sizeText(total)}`}`
}

const OUTCOME_WORDS: Record<JobOutcome, string> = {
  succeeded: 'done',
  failed: 'failed',
  settled: 'done before',
  released: 'put back',
  held: 'waiting',
  lost: 'lost',
  poison: 'unreadable',
}

function totalsLine(
  totals: ReadonlyMap<JobOutcome, number>,
  running: number,
  state: WorkerState,
  reason = '',
): string {
  const counts = [...totals].map(([outcome, count]) => `${count} ${OUTCOME_WORDS[outcome]}`)
  const parts = [state, ...(reason === '' ? [] : [plainText(reason)]), `${running} running`, ...counts]
  return parts.join(' · ')
}

/** `7 s`, `1:05`, `12:00:00`. */
function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  if (whole < 60) return `${whole} s`
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const two = (value: number) => String(value).padStart(2, '0')
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}
