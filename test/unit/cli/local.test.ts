import { expect, test } from 'vitest'
import { runMain } from '../../support/fake-io.ts'

test.runIf(process.platform === 'linux')(
  'a data folder that nobody can make is one clear error',
  async () => {
    const { code, stdout, stderr } = await runMain(['local'], {
      environment: { OPTHUB_RUNNER_HOME: '/proc/nope' },
    })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain('Cannot open the embedded services in /proc/nope/embedded')
    expect(stderr).toContain('choose another one by OPTHUB_RUNNER_HOME')
  },
)
