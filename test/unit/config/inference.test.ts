import { describe, expect, it } from 'vitest'
import { configProblems } from '../../support/config-problems.ts'

/** The problems of a config with this section. */
async function problems(section: string): Promise<string[]> {
  return await configProblems(`inference: ${section}\n`)
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
