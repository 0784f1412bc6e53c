import type { ProgramResult } from '../../executors/run-program.ts'
import type { CodeExecOutcome, PrintedOutput } from '../../records/code-exec.ts'
import { LIMIT_NAMES, type Limits } from './settings.ts'
import type { Verdict } from './verdict.ts'

const NOTHING: PrintedOutput = { bytes: new Uint8Array(), totalBytes: 0 }

/** The outcome of a job that no program was run for. */
export function rejected(
  errorMessage: string,
  status: 'rejected' | 'canceled' = 'rejected',
): CodeExecOutcome {
  return {
    status,
    ...(errorMessage === '' ? {} : { errorMessage }),
    exitCode: null,
    signal: null,
    oomKilled: false,
    stdout: NOTHING,
    stderr: NOTHING,
    wallMs: null,
    cpuMs: null,
    memoryPeakBytes: null,
    limits: null,
    artifacts: [],
    artifactsSkipped: [],
    sandbox: null,
  }
}

/** What is known of a program, whatever its end means. */
export function programFields(result: ProgramResult) {
  const { exitCode, oomKilled, stdout, stderr, wallMs, usage } = result
  return {
    exitCode,
    signal: null,
    oomKilled,
    stdout,
    stderr,
    wallMs,
    cpuMs: usage.cpuMs ?? null,
    memoryPeakBytes: usage.memoryPeakBytes ?? null,
  }
}

/** What came of a job whose compiler ended so; undefined when it went well. */
export function compileFailure({
  killedFor,
  exitCode,
}: ProgramResult): (Partial<CodeExecOutcome> & { status: 'compile_error' | 'canceled' }) | undefined {
  if (killedFor === undefined && exitCode === 0) return undefined
  if (killedFor === 'canceled') return { status: 'canceled' }
  const why = {
    output: 'the compiler was killed: it has printed too much',
    wall_time: 'the compiler was killed: it took too long',
    cpu_time: 'the compiler was killed: it took too much CPU time',
  }
  const errorMessage =
    killedFor === undefined ? `the compiler ended with exit code ${exitCode}` : why[killedFor]
  return { status: 'compile_error', errorMessage }
}

/** Which of the two times it was that ran out. */
export function withReason(
  verdict: Verdict,
  { killedFor }: ProgramResult,
  { wallTimeMs, cpuTimeMs }: Limits,
): Verdict & { errorMessage?: string } {
  if (verdict.status !== 'time_limit_exceeded') return verdict
  const errorMessage =
    killedFor === 'wall_time'
      ? `it worked longer than ${wallTimeMs / 1000} s`
      : `it used more CPU time than ${cpuTimeMs / 1000} s`
  return { ...verdict, errorMessage }
}

/** Limits as an item has them. */
export function limitsJson(limits: Limits): Record<string, number> {
  return Object.fromEntries(Object.entries(LIMIT_NAMES).map(([name, key]) => [name, limits[key]]))
}
