/**
 * Runs in a container: calls IMAGE once for each of SOURCES, mounted at /d, and prints what came of it, or writes it to
 * RESULT.
 */
import { writeFileSync } from 'node:fs'
import { OperatorError } from '../../../src/core/errors.ts'
import { createImageRunner } from '../../../src/image-runner.ts'

const { IMAGE = '', SOURCES = '[]', RULES = '[]', RESULT } = process.env
const pathRules = JSON.parse(RULES) as { base: string; hostBase: string }[]
const runner = createImageRunner({ pathRules })
const results = []
for (const source of JSON.parse(SOURCES) as string[]) {
  try {
    const { stdout } = await runner.run({ image: IMAGE, mounts: [{ source, target: '/d' }] })
    results.push(stdout.toString())
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    const { what, why, hint, exitCode } = error
    results.push({ what, why, hint, exitCode })
  }
}
if (RESULT === undefined) console.log(JSON.stringify(results))
else writeFileSync(RESULT, JSON.stringify(results))
