import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadConfig } from '../../../src/config/load.ts'
import { ConfigError, formatProblem } from '../../../src/config/problem.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'opthub-inference-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The problems of a config, each as one line; none = it is taken. */
async function problems(section: string): Promise<string[]> {
  const file = join(folder, 'config.yml')
  await writeFile(file, `inference: ${section}\n`, { mode: 0o600 })
  try {
    await loadConfig({ file, required: true, environment: {}, flags: {} })
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map((problem) => formatProblem(problem).replace(`${folder}/`, ''))
  }
}

describe('inference.timeout', () => {
  it.each([
    '{timeout: 11h}',
    '{timeout: 1h, startup_timeout: 10h, mode: server}',
    // No container is started there.
    '{timeout: 11h, startup_timeout: 10h, mode: server, url: "http://127.0.0.1:8080"}',
  ])('is with the start a time for which a message can be held: %s', async (section) => {
    expect(await problems(section)).toEqual([])
  })

  it.each([
    ['{timeout: 12h}', 'inference.timeout (43200) is above 39600 (11 hours)'],
    [
      '{timeout: 1h, startup_timeout: 11h, mode: jsonl}',
      'inference.startup_timeout plus inference.timeout (43200) is above 39600 (11 hours)',
    ],
  ])('is refused beyond that: %s', async (section, message) => {
    const [problem = '', ...others] = await problems(section)
    expect(others).toEqual([])
    expect(problem).toContain(message)
    expect(problem).toMatch(/lower it: .*SQS.* 12 hours.* begun again/)
  })
})
