import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LABELS } from '../../../src/executors/docker/container.ts'
import { Engine, type RequestOptions } from '../../../src/executors/docker/api/engine.ts'
import { currentOwner } from '../../../src/executors/docker/owner.ts'
import { requireEngine } from '../../support/engine.ts'
import { hasPython } from '../../support/images.ts'
import { buildWalled, end, MIB, type Walled } from './walled.ts'

const engine = await requireEngine()
const canRun = engine !== undefined && process.platform === 'linux' && (await hasPython())
const never = new AbortController().signal

const info = (await engine?.json('GET', '/info')) as { CgroupDriver?: string } | undefined
/** Groups of our own can be had only there. */
const canCount = canRun && process.getuid?.() === 0 && info?.CgroupDriver === 'cgroupfs'

const HALF_A_SECOND = 'import time\nwhile time.process_time() < 0.5: pass'
const CHILD = `
import os, time
if os.fork() == 0:
  os.setsid()
  while time.process_time() < 0.5: pass
  os._exit(0)
os.wait()`
const FIFTY_MIB = 'b = bytearray(50 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1\ndel b'

describe.skipIf(!canRun)('what a task has used', () => {
  let walled: Walled

  beforeAll(async () => {
    if (engine !== undefined) walled = await buildWalled(engine)
  })
  afterAll(() => walled.executor.close())

  it.skipIf(!canCount)('is counted to its very end, with all its children', async () => {
    const alone = await walled.run(HALF_A_SECOND)
    expect(alone.usage.cpuMs).toBeGreaterThan(450)
    expect(alone.usage.cpuMs).toBeLessThan(900)
    const family = await walled.run(CHILD)
    expect(family.exitCode).toBe(0)
    expect(family.usage.cpuMs).toBeGreaterThan(450)
    const { usage } = await walled.run(FIFTY_MIB)
    expect(usage.memoryPeakBytes).toBeGreaterThan(50 * MIB)
    expect(usage.memoryPeakBytes).toBeLessThan(80 * MIB)
  })

  it.skipIf(!canCount)('is known while it runs, and after a kill', async () => {
    await using task = await walled.start('while True: pass')
    const cpuMs = async (): Promise<number> => (await task.usage?.())?.cpuMs ?? 0
    await expect.poll(cpuMs, { timeout: 10_000 }).toBeGreaterThan(200)
    const before = await cpuMs()
    await task.kill(0)
    expect((await end(task)).usage.cpuMs).toBeGreaterThanOrEqual(before)
  })

  it.skipIf(!canCount)('takes no control group from the machine for good', async () => {
    const task = await walled.start('import time; time.sleep(100)')
    const [group] = ownGroups()
    expect(readFileSync(join('/sys/fs/cgroup/pids', group ?? '', task.id, 'cgroup.procs'), 'utf8')).not.toBe(
      '',
    )
    await task[Symbol.asyncDispose]()
    await expect.poll(ownGroups, { timeout: 10_000 }).not.toContain(group)
  })

  it.skipIf(!canCount)('leaves nothing behind when its start fails', async () => {
    const folder = { path: '/proc/x', bytes: MIB, inodes: 5, uid: 65534 }
    await expect(walled.run('print()', { folder })).rejects.toThrow()
    await expect.poll(ownGroups, { timeout: 10_000 }).toEqual([])
  })

  it.skipIf(!canCount)('is forgotten with its runner', async () => {
    if (engine === undefined) return
    const other = spawn('sleep', ['1000'])
    await once(other, 'spawn')
    const stat = readFileSync(`/proc/${other.pid ?? 0}/stat`, 'utf8')
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
    const owner = (await currentOwner(engine)).replace(/:\d+:\d+$/, `:${other.pid ?? 0}:${startTime}`)
    const name = `opthub-runner_${owner.replaceAll(':', '_')}_0123456789ab`
    const folders = trees().map((tree) => join('/sys/fs/cgroup', tree, name))
    for (const folder of folders) mkdirSync(folder)
    const volume = `opthub-runner-test-${crypto.randomUUID()}`
    await engine.json('POST', '/volumes/create', {
      body: { Name: volume, Labels: { [LABELS.owner]: owner } },
    })
    await walled.executor.reap(never)
    expect(groups()).toContain(name)
    expect(await volumes()).toContain(volume)
    other.kill('SIGKILL')
    await once(other, 'exit')
    await expect
      .poll(
        async () => {
          await walled.executor.reap(never)
          return groups().includes(name) || (await volumes()).includes(volume)
        },
        { timeout: 10_000 },
      )
      .toBe(false)
    for (const folder of folders)
      expect(() => {
        rmdirSync(folder)
      }).toThrow('ENOENT')
  })

  describe('where no control group of ours can be had', () => {
    let other: Walled

    beforeAll(async () => {
      const address = /^unix:\/\/(.*)$/.exec(engine?.label ?? '')?.[1]
      if (address !== undefined) other = await buildWalled(new SystemdEngine({ socketPath: address }))
    })
    afterAll(() => other.executor.close())

    it('is what was seen of it last', async () => {
      const { usage } = await other.run(`${HALF_A_SECOND}\nb = bytearray(50 << 20)\ntime.sleep(0.5)`)
      expect(usage.cpuMs).toBeGreaterThan(450)
      expect(usage.cpuMs).toBeLessThan(900)
      expect(usage.memoryPeakBytes).toBeGreaterThan(MIB)
    })
  })

  it("is told by an engine of which nothing can be seen from here, or isn't told at all", async () => {
    const address = /^unix:\/\/(.*)$/.exec(engine?.label ?? '')?.[1] ?? ''
    const far = await buildWalled(new FarEngine({ socketPath: address }))
    await using task = await far.start('import time\nwhile True: pass')
    const cpuMs = async (): Promise<number> => (await task.usage?.())?.cpuMs ?? 0
    await expect.poll(cpuMs, { timeout: 20_000 }).toBeGreaterThan(200)
    await task.kill(0)
    const quick = await far.run('print()')
    expect(Object.values(quick.usage)).not.toContain(0)
    await task[Symbol.asyncDispose]()
    await far.executor.close()
  })

  async function volumes(): Promise<string[]> {
    const answer = (await engine?.json('GET', '/volumes')) as { Volumes: { Name: string }[] | null }
    return (answer.Volumes ?? []).map(({ Name }) => Name)
  }
})

describe.skipIf(!canRun)('a kill', () => {
  let walled: Walled

  beforeAll(async () => {
    if (engine !== undefined) walled = await buildWalled(engine)
  })
  afterAll(() => walled.executor.close())

  it.each([
    ['a sleeper', 'import time; time.sleep(100)'],
    ['a bomb of forks', 'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass'],
    [
      'sessions of their own',
      'import os, time\nfor n in range(20):\n  if os.fork() == 0:\n    os.setsid()\n    break\ntime.sleep(100)',
    ],
    [
      'what is stopped',
      'import os, signal\nfor n in range(5): os.fork()\nos.kill(os.getpid(), signal.SIGSTOP)',
    ],
    [
      'what hears no signal',
      'import signal, time\nfor n in range(1, 32):\n  try: signal.signal(n, signal.SIG_IGN)\n  except OSError: pass\ntime.sleep(100)',
    ],
    ['a flood', 'import os\nfor n in range(3): os.fork()\nwhile True: os.write(1, bytes(65536))'],
    [
      'what uses up its memory',
      'import os\nfor n in range(4): os.fork()\nb = bytearray(12 << 20)\nwhile True:\n  for i in range(0, len(b), 4096): b[i] = 1',
    ],
  ])('ends %s and all its kin', async (_name, program) => {
    await using task = await walled.start(program)
    const ended = end(task)
    await delay(500)
    const pids = pidsOf(task.id)
    expect(pids.length).toBeGreaterThan(1)
    await task.kill(0)
    expect(await ended).toMatchObject({ exitCode: 137 })
    expect(pidsOf(task.id)).toEqual([])
  })

  /** The processes in a container, as the kernel tells. */
  function pidsOf(id: string): string[] {
    return readdirSync('/proc').filter((pid) => {
      if (!/^\d+$/.test(pid)) return false
      try {
        return readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(id)
      } catch {
        return false
      }
    })
  }
})

/** An engine that leaves control groups to systemd, as far as it says. */
class SystemdEngine extends Engine {
  override async json(method: string, path: string, options?: RequestOptions): Promise<unknown> {
    const answer = await super.json(method, path, options)
    return path === '/info' ? { ...(answer as object), CgroupDriver: 'systemd' } : answer
  }
}

/** An engine whose processes are not to be seen here. */
class FarEngine extends SystemdEngine {
  override async json(method: string, path: string, options?: RequestOptions): Promise<unknown> {
    const answer = await super.json(method, path, options)
    if (!/^\/containers\/[^/]+\/json$/.test(path)) return answer
    const { State, ...rest } = answer as { State: object }
    return { ...rest, State: { ...State, Pid: 0 } }
  }
}

function trees(): string[] {
  const all = readdirSync('/sys/fs/cgroup', { withFileTypes: true })
  if (all.some(({ name }) => name === 'cgroup.controllers')) return ['']
  return all.filter((each) => each.isDirectory()).map(({ name }) => name)
}

function groups(): string[] {
  const all = trees().flatMap((tree) => readdirSync(join('/sys/fs/cgroup', tree)))
  return [...new Set(all.filter((name) => name.startsWith('opthub-runner_')))]
}

/** Those of this process. */
function ownGroups(): string[] {
  return groups().filter((name) => name.includes(`_${process.pid}_`))
}
