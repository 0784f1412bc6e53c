import { spawnSync } from 'node:child_process'
import { describe } from 'vitest'

const found = spawnSync('python3', ['-c', 'import sys; print(sys.version_info >= (3, 8))'], {
  encoding: 'utf8',
})

/** Whether the oracle of these tests is here. */
export const hasPython = found.stdout.trim() === 'True'

/** A suite that compares with CPython: skipped with a loud line without one, which CI does not accept. */
export function describeWithPython(name: string, suite: () => void): void {
  if (!hasPython) {
    if (process.env['CI'] === 'true') throw new Error(`python3 is missing, so that "${name}" can't run`)
    console.warn(`NOT RUN, python3 is missing: ${name}`)
  }
  describe.skipIf(!hasPython)(name, suite)
}

/** Runs Python code that maps the list `cases` to the list `results`; one process for all cases. */
export function askPython<T>(code: string, cases: readonly unknown[]): T[] {
  const program = [
    'import json, sys, math, struct',
    'from decimal import Decimal, Context, ROUND_HALF_EVEN, getcontext',
    // Python 3.11 refuses integers of more than 4300 digits unless told otherwise.
    'getattr(sys, "set_int_max_str_digits", lambda n: None)(0)',
    'cases = json.loads(sys.stdin.buffer.read().decode("utf-8"))',
    code,
    'sys.stdout.write(json.dumps(results))',
  ].join('\n')
  const run = spawnSync('python3', ['-c', program], {
    input: JSON.stringify(cases),
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  })
  if (run.status !== 0) throw new Error(`python3 failed: ${run.stderr}`)
  const results = JSON.parse(run.stdout) as T[]
  if (results.length !== cases.length) throw new Error(`${results.length} results of ${cases.length} cases`)
  return results
}
