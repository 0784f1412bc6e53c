import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { HostProcess } from '../../../../src/executors/docker/host/host-process.ts'

/** Stands in every line of /proc/PID/cgroup, as a container's id does in those of its processes. */
const ANY = '/'

describe.skipIf(process.platform !== 'linux')('a process in /proc', () => {
  let child: ChildProcess | undefined
  afterEach(() => child?.kill('SIGKILL'))

  async function sleeper(): Promise<{ pid: number; process: HostProcess }> {
    child = spawn('sleep', ['1000'])
    await once(child, 'spawn')
    const pid = child.pid ?? 0
    const process = HostProcess.find(pid, ANY)
    if (process === undefined) throw new Error('it was not found')
    return { pid, process }
  }

  it('lives until it ends, stopped or not, and occupies something', async () => {
    const { process } = await sleeper()
    expect(process.isAlive()).toBe(true)
    expect(process.memoryBytes()).toBeGreaterThan(1000)
    child?.kill('SIGSTOP')
    expect(process.isAlive()).toBe(true)
    child?.kill('SIGKILL')
    if (child !== undefined) await once(child, 'exit')
    expect(process.isAlive()).toBe(false)
    expect(process.memoryBytes()).toBeUndefined()
  })

  it('is dead when only its body is left', async () => {
    // The shell's child ends, and the shell, which has become sleep, never asks for it.
    child = spawn('sh', ['-c', 'sleep 0.2 & echo $!; exec sleep 1000'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [data] = (await once(child.stdout ?? child, 'data')) as [Buffer]
    const pid = Number(data.toString())
    const process = HostProcess.find(pid, ANY)
    expect(process?.isAlive()).toBe(true)
    await expect.poll(() => readFileSync(`/proc/${pid}/stat`, 'utf8')).toContain(') Z ')
    expect(process?.isAlive()).toBe(false)
  })

  it("is not found when it is none of the container's", async () => {
    const { pid } = await sleeper()
    expect(HostProcess.find(pid, 'f'.repeat(64))).toBeUndefined()
    expect(HostProcess.find(0, ANY)).toBeUndefined()
    expect(HostProcess.find(999_999_999, ANY)).toBeUndefined()
  })
})
