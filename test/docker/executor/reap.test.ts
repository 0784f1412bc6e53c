import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Clock } from '../../../src/core/clock.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { LABELS } from '../../../src/executors/docker/container.ts'
import { currentOwner } from '../../../src/executors/docker/owner.ts'
import { connectEngine } from '../../../src/executors/docker/api/connect.ts'
import { canStartPrivateEngine, requireEngine, startPrivateEngine } from '../../support/engine.ts'
import { buildShellImage } from '../../support/images.ts'
import { list, remove, setUp, type Bench } from './harness.ts'

// An engine of its own where that is possible: on a shared one the runners of other tests reap too.
const own = canStartPrivateEngine() ? await startPrivateEngine() : undefined
const engine =
  own === undefined ? await requireEngine() : await connectEngine({ host: own.host, environment: {} })
const IMAGE = 'opthub-runner-test/shell:1'
const DAY = 24 * 3600

describe.skipIf(engine === undefined || process.platform !== 'linux')('reap', () => {
  const never = new AbortController().signal
  const mark = crypto.randomUUID()
  let bench: Bench
  let self: string

  beforeAll(async () => {
    if (engine === undefined) return
    bench = setUp(engine, await buildShellImage(engine, IMAGE, 'cat'))
    self = await currentOwner(engine)
  })
  afterEach(async () => {
    if (engine === undefined) return
    for (const { Id } of await list(engine, [`test=${mark}`])) await remove(engine, Id)
  })
  afterAll(async () => {
    await bench.close()
    await own?.[Symbol.asyncDispose]()
  })

  /** A container that sleeps, with labels as given. */
  async function place(labels: Record<string, string>, run = true): Promise<string> {
    const body = {
      Image: IMAGE,
      Cmd: ['/bin/sh', '-c', 'sleep 1000'],
      Labels: { test: mark, ...labels },
      HostConfig: { NetworkMode: 'none' },
    }
    const { Id } = (await engine?.json('POST', '/containers/create', { body })) as { Id: string }
    if (run) await engine?.json('POST', `/containers/${Id}/start`)
    return Id
  }
  async function left(): Promise<string[]> {
    return engine === undefined ? [] : (await list(engine, [`test=${mark}`])).map(({ Id }) => Id)
  }
  /** The owner id of another process of this machine. */
  function ownerOf(pid: number): string {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
    return self.replace(/:\d+:\d+$/, `:${pid}:${startTime}`)
  }

  it('knows its own process', () => {
    expect(self).toBe(ownerOf(process.pid))
  })

  it("leaves alone what is its own, a living runner's, kept, or not ours", async () => {
    const other = spawn('sleep', ['1000'])
    await once(other, 'spawn')
    const dead = `process:${self.split(':')[1] ?? ''}:${self.split(':')[2] ?? ''}:999999999:1`
    const placed = [
      await place({ [LABELS.owner]: self }),
      await place({ [LABELS.owner]: ownerOf(other.pid ?? 0) }),
      await place({ [LABELS.owner]: dead, [LABELS.keep]: 'true' }),
      await place({}),
      await place({ [LABELS.kind]: 'evaluator' }),
    ]
    await bench.executor.reap(never)
    expect((await left()).toSorted()).toEqual(placed.toSorted())
    other.kill('SIGKILL')
    await once(other, 'exit')
    await bench.executor.reap(never)
    expect(await left()).toHaveLength(4)
    expect(await left()).not.toContain(placed[1])
  })

  it('removes those of a runner that was killed, in whatever state', async () => {
    const victim = spawn('sleep', ['1000'])
    await once(victim, 'spawn')
    const labels = { [LABELS.owner]: ownerOf(victim.pid ?? 0), [LABELS.keep]: 'false' }
    const running = await place(labels)
    const created = await place(labels, false)
    victim.kill('SIGKILL')
    await once(victim, 'exit')
    await bench.executor.reap(never)
    expect(await left()).not.toContain(running)
    expect(await left()).not.toContain(created)
  })

  it('is not fooled by a process that has the pid now', async () => {
    const reused = self.replace(/\d+$/, '1')
    await place({ [LABELS.owner]: reused })
    await bench.executor.reap(never)
    expect(await left()).toEqual([])
  })

  it('takes a runner whose body nobody has fetched for dead', async () => {
    // The shell's child ends, and the shell, which has become sleep, never asks for it.
    const parent = spawn('sh', ['-c', 'sleep 0.05 & echo $!; exec sleep 1000'])
    const [data] = (await once(parent.stdout, 'data')) as [Buffer]
    const pid = Number(data.toString())
    const owner = ownerOf(pid)
    while (!readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await place({ [LABELS.owner]: owner })
    await bench.executor.reap(never)
    expect(await left()).toEqual([])
    parent.kill('SIGKILL')
  })

  it('judges a runner in a container by that container', async () => {
    const runner = await place({})
    await place({ [LABELS.owner]: `container:${runner}` })
    await bench.executor.reap(never)
    expect(await left()).toHaveLength(2)
    await engine?.json('POST', `/containers/${runner}/kill`)
    await bench.executor.reap(never)
    expect(await left()).toEqual([runner])
    await place({ [LABELS.owner]: `container:${'0'.repeat(64)}` })
    await bench.executor.reap(never)
    expect(await left()).toEqual([runner])
  })

  it('knows a runner in a container from one that was in it before', async () => {
    const runner = await place({})
    const state = async (): Promise<string> => {
      const answer = await engine?.json('GET', `/containers/${runner}/json`)
      return (answer as { State: { StartedAt: string } }).State.StartedAt.replaceAll(/\D/g, '')
    }
    const elsewhere = self.replace(/^process:([^:]+):\d+/, 'process:$1:1').replace('process:', '')
    await place({ [LABELS.owner]: `container:${runner}:${await state()}:${elsewhere}` })
    await bench.executor.reap(never)
    expect(await left()).toHaveLength(2)
    await engine?.json('POST', `/containers/${runner}/restart`, { query: { t: '0' } })
    const again = await place({ [LABELS.owner]: `container:${runner}:${await state()}:${elsewhere}` })
    await bench.executor.reap(never)
    expect((await left()).sort()).toEqual([runner, again].sort())
    // One of several in this very container was killed.
    const killed = self.replace(/^process:/, '').replace(/:\d+:\d+$/, ':999999999:1')
    await place({ [LABELS.owner]: `container:${runner}:${await state()}:${killed}` })
    await bench.executor.reap(never)
    expect((await left()).sort()).toEqual([runner, again].sort())
  })

  it("leaves another host's alone until a day after their age limit", async () => {
    if (engine === undefined) return
    const foreign = self.replace(/^process:[^:]+/, `process:${crypto.randomUUID()}`)
    const id = await place({ [LABELS.owner]: foreign, [LABELS.ageLimit]: '600' })
    const at = (seconds: number): Bench => {
      const clock: Clock = { ...systemClock, date: () => new Date(Date.now() + seconds * 1000) }
      return setUp(engine, IMAGE, { clock })
    }
    await bench.executor.reap(never)
    await at(DAY + 500).executor.reap(never)
    expect(await left()).toEqual([id])
    await at(DAY + 700).executor.reap(never)
    expect(await left()).toEqual([])
  })

  it('asks the engine nothing when aborted', async () => {
    await expect(bench.executor.reap(AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop')
  })
})
