import { createHash } from 'node:crypto'
import { expect } from 'vitest'
import type { CodeExecOutcome } from '../../src/records/code-exec.ts'
import type { Expected } from './program.ts'

/** The machine is full of hostile programs: a kill may be late, but not by so much. */
const LATE_KILL_MS = 5000

/** What is compared of an outcome: what the expectation speaks of. */
export function view(outcome: CodeExecOutcome, expected: Expected): Record<string, unknown> {
  const [stdout, stderr] = [textOf(outcome.stdout), textOf(outcome.stderr)]
  const all = stdout + stderr
  const of: Record<keyof Expected, unknown> = {
    status: outcome.status,
    exit: outcome.exitCode,
    signal: outcome.signal,
    oom: outcome.oomKilled,
    limit: /longer than/.test(outcome.errorMessage ?? '') ? 'wall' : 'cpu',
    stdout,
    stderr,
    stdoutHex: Buffer.from(outcome.stdout.bytes).toString('hex'),
    prints: expected.prints?.filter((part) => all.includes(part)),
    hides: expected.hides?.filter((part) => !all.includes(part)),
    keptBytes: outcome.stdout.bytes.length + outcome.stderr.bytes.length,
    artifacts: outcome.artifacts.map(({ path }) => path).sort(),
    mostArtifacts: outcome.artifacts.length <= (expected.mostArtifacts ?? 0) && expected.mostArtifacts,
    skipped: expected.skipped?.filter((path) => outcome.artifactsSkipped.some((each) => each.path === path)),
    error: expected.error !== undefined && outcome.errorMessage?.includes(expected.error) && expected.error,
  }
  const keys = Object.keys(expected) as (keyof Expected)[]
  return { ...pick(of, keys), detail: `${all.slice(0, 2000)} ${outcome.errorMessage ?? ''}` }
}

/** What `view` must be. */
export function wanted(expected: Expected, outcome: CodeExecOutcome): Record<string, unknown> {
  const { status } = expected
  const isOne = typeof status !== 'string' && status.includes(outcome.status)
  return {
    ...expected,
    ...(isOne ? { status: outcome.status } : {}),
    detail: expect.anything() as unknown,
  }
}

function pick(object: Record<string, unknown>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.map((key) => [key, object[key]]))
}

/** What must hold for every outcome, whatever the program. */
export function expectSound(outcome: CodeExecOutcome): void {
  const { status, signal, cpuMs, wallMs, memoryPeakBytes, stdout, stderr, limits } = outcome
  expect(signal !== null).toBe(status === 'signaled')
  if (status === 'rejected') return
  expect(cpuMs).not.toBe(0)
  expect(memoryPeakBytes).not.toBe(0)
  expect(stdout.bytes.length + stderr.bytes.length).toBeLessThanOrEqual(limits?.['output_bytes'] ?? 0)
  for (const { bytes, totalBytes } of [stdout, stderr])
    expect(totalBytes).toBeGreaterThanOrEqual(bytes.length)
  const most = (limits?.['wall_time_ms'] ?? 0) + LATE_KILL_MS
  expect(wallMs).toBeLessThan(most)
  for (const { content, sha256 } of outcome.artifacts)
    expect(createHash('sha256').update(content).digest('hex')).toBe(sha256)
}

/** As text, whatever it is. */
export function textOf({ bytes }: { bytes: Uint8Array }): string {
  return Buffer.from(bytes).toString()
}
