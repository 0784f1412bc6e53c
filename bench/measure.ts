import { execFile } from 'node:child_process'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { promisify } from 'node:util'
import { systemClock } from '../src/core/clock.ts'

export type Print = (line: string) => void

/** The middle of some figures; the mean of the two in the middle of an even number of them. */
export function median(figures: readonly number[]): number {
  return quantile(figures, 0.5)
}

/** The figure below which the share `q` of all lies. */
export function quantile(figures: readonly number[], q: number): number {
  const sorted = [...figures].sort((a, b) => a - b)
  const at = (sorted.length - 1) * q
  const low = sorted[Math.floor(at)] ?? NaN
  const high = sorted[Math.ceil(at)] ?? NaN
  return low + (high - low) * (at - Math.floor(at))
}

/** Milliseconds that something takes. */
export async function time(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now()
  await work()
  return performance.now() - from
}

/** Milliseconds of processor time that this process spends on something. */
export async function cpuTime(work: () => Promise<unknown>): Promise<number> {
  const from = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(from)
  return (user + system) / 1000
}

/** Memory in use once all that is not needed is gone; needs --expose-gc. */
export async function heldBytes(): Promise<number> {
  for (let n = 0; n < 3; n += 1) {
    globalThis.gc?.()
    await systemClock.sleep(20)
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

export function printTable(
  print: Print,
  head: readonly string[],
  rows: readonly (readonly unknown[])[],
): void {
  print(`| ${head.join(' | ')} |`)
  print(`|${head.map((_cell, index) => (index === 0 ? '---' : '---:')).join('|')}|`)
  for (const row of rows) print(`| ${row.map(String).join(' | ')} |`)
  print('')
}

/** What the figures were taken on: they mean little without it. */
export async function describeMachine(): Promise<string> {
  const engine = await promisify(execFile)('docker', ['version', '--format', '{{.Server.Version}}']).then(
    ({ stdout }) => `Docker ${stdout.trim()}`,
    () => 'no Docker',
  )
  const load = loadavg().map((figure) => figure.toFixed(2))
  const model = cpus()[0]?.model.trim() ?? 'unknown processor'
  return `${availableParallelism()} × ${model}, ${engine}, Node ${process.version}, load ${load.join(' ')} at the start`
}
