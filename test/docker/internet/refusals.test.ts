import { existsSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { createLogger } from '../../../src/core/log.ts'
import { EXIT, OperatorError } from '../../../src/core/errors.ts'
import { createDockerExecutor } from '../../../src/executors/docker/docker-executor.ts'
import { requireEngine } from '../../support/engine.ts'
import { brokenImage, BUSYBOX, busyboxImage } from './images.ts'

const engine = await requireEngine()
const processName = `test-${crypto.randomUUID()}`

describe.skipIf(engine === undefined || BUSYBOX === undefined)('the self-test of jobs with internet', () => {
  if (engine === undefined) return
  const log = createLogger(() => undefined)
  const options = { engine, processName, environment: {}, log, pullPolicy: 'never' } as const
  const executor = createDockerExecutor(options)

  afterAll(() => executor.close())

  async function refusal(image: string): Promise<OperatorError> {
    const signal = AbortSignal.timeout(120_000)
    const error: unknown = await executor.assertInternet({ image, dns: ['1.1.1.1'] }, signal).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(OperatorError)
    const refused = error as OperatorError
    expect(refused.what).toBe("Jobs can't be given the internet")
    expect(refused.exitCode).toBe(EXIT.unavailable)
    await expect.poll(left).toEqual([])
    return refused
  }

  it('names an image that is not there, or can do nothing', async () => {
    const missing = await refusal('opthub-runner-test/not-there:1')
    expect(missing.why).toContain('opthub-runner-test/not-there:1')
    expect(missing.hint).toContain('code_exec.network_image')
    const shell = await refusal(await busyboxImage(engine, ['ip', 'sleep']))
    expect(shell.why).toContain("can't be started")
    expect(shell.why).toContain('sh')
    expect(shell.hint).toContain('`sh` and `ip`')
    const program = await refusal(await brokenImage(engine, 'no-ip'))
    expect(program.why).toContain('it has no program ip')
    expect(program.hint).toContain('`sh` and `ip`')
  })

  it('says why routes can not be set', async () => {
    const image = await brokenImage(engine, 'no-routes', {
      '*unreachable*': "echo 'ip: not here' >&2; exit 2",
    })
    expect((await refusal(image)).why).toContain('ip: not here')
  })

  it('serves none when a closed range is open', async () => {
    // All routes but one of each network.
    const image = await brokenImage(engine, 'no-wall', { '*unreachable\\ 100.64.0.0/10*': 'exit 0' })
    const { why } = await refusal(image)
    expect(why).toMatch(/can be reached from a job's network: 100\.64\.0\.77, 100\.100\.100\.200$/)
  })

  it.skipIf(!isOnThisMachine())('serves none when somebody inside gets through to this machine', async () => {
    const image = await brokenImage(engine, 'liar', {
      '*unreachable*': 'exit 0',
      '*route\\ get\\ 1.1.1.1*': 'exit 0',
      '*route\\ get*': 'exit 2',
    })
    expect((await refusal(image)).why).toMatch(/can be reached from a job's network: .*172\./)
  })

  async function left(): Promise<string[]> {
    const filters = JSON.stringify({ label: [`org.opthub.runner.process=${processName}`] })
    const all = await engine?.json('GET', '/containers/json', { query: { all: '1', filters } })
    return (all as { Names: string[] }[]).flatMap(({ Names }) => Names)
  }
})

/** Whether the engine's bridge is this machine's: its name is there even while it is not in use. */
function isOnThisMachine(): boolean {
  return existsSync('/sys/class/net/docker0')
}
