import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigError, formatProblem } from '../../src/config/problem.ts'

/** The problems of a config file, each as one line; none = it is taken. */
export async function configProblems(text: string): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'opthub-config-'))
  const file = join(folder, 'config.yml')
  try {
    await writeFile(file, text, { mode: 0o600 })
    await loadConfig({ file, required: true, environment: {}, flags: {} })
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map((problem) => formatProblem(problem).replace(`${folder}/`, ''))
  } finally {
    await rm(folder, { recursive: true })
  }
}
