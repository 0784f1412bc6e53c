import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { requireEngine } from '../../support/engine.ts'
import { compileChild } from '../../support/compile-child.ts'
import { hasPython } from '../../support/images.ts'
import { buildWalled, type Walled } from './walled.ts'

const engine = await requireEngine()
const canRun =
  engine?.label.startsWith('unix://') === true && process.platform === 'linux' && (await hasPython())
const never = new AbortController().signal

interface Told {
  workdir: string
  task: string
  usage: { cpuMs?: number; memoryPeakBytes?: number }
}

describe.skipIf(!canRun)('what a runner has within walls', () => {
  let walled: Walled
  let child: ReturnType<typeof compileChild>

  beforeAll(async () => {
    if (engine === undefined) return
    walled = await buildWalled(engine)
    child = compileChild(join(import.meta.dirname, 'runner-child.ts'), ['core', 'executors'])
  })
  afterAll(async () => {
    child.remove()
    await walled.executor.close()
  })

  async function runner(
    environment: Record<string, string> = {},
  ): Promise<{ process: ChildProcess; told: Told }> {
    const env = { PATH: process.env['PATH'], DOCKER_HOST: engine?.label, IMAGE: walled.image, ...environment }
    const started = spawn(process.execPath, [child.script], { stdio: ['pipe', 'pipe', 'inherit'], env })
    const [line] = (await once(createInterface(started.stdout), 'line')) as [string]
    return { process: started, told: JSON.parse(line) as Told }
  }
  async function isGone({ workdir, task }: Told): Promise<boolean> {
    const { Volumes } = (await engine?.json('GET', '/volumes')) as { Volumes: { Name: string }[] | null }
    const listed = (await engine?.json('GET', '/containers/json', { query: { all: '1' } })) as {
      Id: string
      Names: string[]
    }[]
    const hasVolume = (Volumes ?? []).some(({ Name }) => Name === workdir)
    return !hasVolume && !listed.some(({ Id, Names }) => Id === task || Names.includes(`/${workdir}`))
  }

  it('goes when it has been killed', async () => {
    const { process: victim, told } = await runner()
    await walled.executor.reap(never)
    expect(await isGone(told)).toBe(false)
    victim.kill('SIGKILL')
    await once(victim, 'exit')
    await expect
      .poll(
        async () => {
          await walled.executor.reap(never)
          return (await isGone(told)) && groupsOf(victim.pid).length === 0
        },
        { timeout: 30_000 },
      )
      .toBe(true)
  })

  it.skipIf(process.getuid?.() !== 0)('works for a user who may change no control group, too', async () => {
    const { process: other, told } = await runner({ SETUID: '12345' })
    expect(told.usage.cpuMs).toBeGreaterThan(250)
    expect(groupsOf(other.pid)).toEqual([])
    other.stdin?.end()
    const [code] = (await once(other, 'exit')) as [number]
    expect(code).toBe(0)
    expect(await isGone(told)).toBe(true)
  })
})

/** The control groups of a process. */
function groupsOf(pid: number | undefined): string[] {
  const all = readdirSync('/sys/fs/cgroup', { recursive: false, withFileTypes: true })
  const folders = all.filter((each) => each.isDirectory()).map(({ name }) => join('/sys/fs/cgroup', name))
  return ['/sys/fs/cgroup', ...folders]
    .flatMap((folder) => readdirSync(folder))
    .filter((name) => name.startsWith('opthub-runner_') && name.includes(`_${pid ?? 0}_`))
}
