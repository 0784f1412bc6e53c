import { describe, expect, it } from 'vitest'
import { configProblems } from '../../support/config-problems.ts'

/** The problems of a config with this section. */
async function problems(section: readonly string[]): Promise<string[]> {
  return await configProblems(['code_exec:', ...section.map((line) => `  ${line}`)].join('\n'))
}

describe('code_exec.allow_internet', () => {
  it('needs the image that closes the private networks', async () => {
    const [problem = '', ...others] = await problems(['allow_internet: true'])
    expect(others).toEqual([])
    expect(problem).toContain('config.yml:2')
    expect(problem).toContain('code_exec.network_image is not')
    expect(problem).toContain('busybox')
    expect(await problems(['allow_internet: true', 'network_image: busybox'])).toEqual([])
    expect(await problems(['allow_internet: false'])).toEqual([])
  })
})

describe('code_exec.dns', () => {
  it.each([
    '10.0.0.53',
    '127.0.0.11',
    '192.168.1.1',
    '169.254.169.253',
    '100.100.2.136',
    'fd00::53',
    'fe80::1',
  ])('refuses %s, to which no job has a way', async (address) => {
    const [problem = '', ...others] = await problems([`dns: [1.1.1.1, "${address}"]`])
    expect(others).toEqual([])
    expect(problem).toContain('config.yml:2')
    expect(problem).toContain('public IP address')
    expect(problem).toContain('private networks are closed')
  })

  it('takes public addresses, of both sorts', async () => {
    expect(await problems(['dns: [9.9.9.9, "2620:fe::fe"]'])).toEqual([])
  })

  it('refuses an empty list', async () => {
    expect(await problems(['dns: []'])).toHaveLength(1)
  })
})

describe('code_exec.max_limits.wall_time_ms', () => {
  it('is a time for which a message can be held', async () => {
    expect(await problems(['max_limits: {wall_time_ms: 39600000}'])).toEqual([])
    const [problem = '', ...others] = await problems([
      'max_limits: {wall_time_ms: 46800000}',
      'limits: {wall_time_ms: 46800000}',
    ])
    expect(others).toEqual([])
    expect(problem).toContain('config.yml:2')
    expect(problem).toContain('code_exec.max_limits.wall_time_ms (46800000) is above 39600000 (11 hours)')
    expect(problem).toMatch(/lower it: .*SQS.* 12 hours.* begun again/)
  })
})
