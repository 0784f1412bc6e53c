import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { NotYetError, RetryableError, UnfitError } from '../../../src/core/errors.ts'
import { createLogger } from '../../../src/core/log.ts'
import type { Capacity, Executor, GpuRequest, Task, TaskSpec } from '../../../src/executors/executor.ts'
import { createGpuLeasing, type GpuLeasingOptions } from '../../../src/executors/gpu-lease.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { ScriptedExecutor } from '../../support/scripted-executor.ts'

const [A, B, C] = ['GPU-a', 'GPU-b', 'GPU-c'] as const
const never = new AbortController().signal
const log = createLogger(() => undefined)

/** A machine with GPUs. */
class GpuMachine extends ScriptedExecutor {
  gpus: readonly string[] = [A, B]
  noGpus: string | undefined
  gpuMemoryBytes: Record<string, number> = {}
  readonly inUse = new Set<string>()
  reaps = 0
  capacityCalls = 0
  onReap: () => void = () => undefined

  constructor() {
    super({
      image: () => ({ stdout: 'ok' }),
      failing: () => ({ exitCode: 1 }),
      endless: () => ({ neverEnds: true }),
    })
  }

  override capacity(): Promise<Capacity> {
    this.capacityCalls += 1
    const { gpus, noGpus, gpuMemoryBytes } = this
    return Promise.resolve({
      cpus: 2,
      memoryBytes: 8 * 1024 ** 3,
      gpus,
      gpuMemoryBytes,
      ...(noGpus === undefined ? {} : { noGpus }),
    })
  }

  override reap(): Promise<number> {
    this.reaps += 1
    this.onReap()
    return Promise.resolve(0)
  }
}

let folder: string
let machine: GpuMachine
const opened: Executor[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gpu-lease-'))
  machine = new GpuMachine()
})
afterEach(async () => {
  for (const executor of opened.splice(0)) await executor.close()
  await rm(folder, { recursive: true, force: true })
})

function leasing(options: Partial<GpuLeasingOptions> = {}): Executor {
  const executor = createGpuLeasing(machine, {
    folder,
    inUse: () => Promise.resolve(new Set(machine.inUse)),
    whenBusy: 'throw',
    onWanted: () => undefined,
    clock: systemClock,
    log,
    ...options,
  })
  opened.push(executor)
  return executor
}

let names = 0
function spec(gpus?: GpuRequest, more: Partial<TaskSpec> = {}): TaskSpec {
  names += 1
  const named = { name: `t-${String(names)}`, kind: 'test', image: 'image', environment: {} }
  return { ...named, limits: {}, keep: false, ...(gpus === undefined ? {} : { gpus }), ...more }
}

async function dispose(task: Task): Promise<void> {
  await task[Symbol.asyncDispose]()
}

async function refusal(starting: Promise<Task>): Promise<unknown> {
  return await starting.then(
    () => undefined,
    (error: unknown) => error,
  )
}

const claimsLeft = async (): Promise<string[]> => await readdir(folder).catch(() => [])

describe('a request for memory', () => {
  const GIB = 1024 ** 3

  it('gets GPUs that have it, or whose memory nobody knows', async () => {
    machine.gpus = [A, B, C]
    machine.gpuMemoryBytes = { [A]: 16 * GIB, [B]: 40 * GIB }
    const executor = leasing()
    const first = await executor.start(spec(1, { gpuMemoryBytes: 24 * GIB }), never)
    const second = await executor.start(spec(1, { gpuMemoryBytes: 24 * GIB }), never)
    expect(machine.started.map(({ gpus }) => gpus)).toEqual([[B], [C]])
    const third = await refusal(executor.start(spec(1, { gpuMemoryBytes: 24 * GIB }), never))
    expect(third).toBeInstanceOf(NotYetError)
    const small = await executor.start(spec(1, { gpuMemoryBytes: 8 * GIB }), never)
    expect(machine.started.at(-1)?.gpus).toEqual([A])
    await Promise.all([first, second, small].map(dispose))
  })

  it('of more than any of them has goes back for another machine', async () => {
    machine.gpuMemoryBytes = { [A]: 16 * GIB, [B]: 40 * GIB }
    const error = await refusal(leasing().start(spec(1, { gpuMemoryBytes: 80 * GIB }), never))
    expect(error).toBeInstanceOf(UnfitError)
    expect(error).toHaveProperty(
      'message',
      'the job needs more than this machine has: 1 GPU with 81920 MiB of memory (there are GPUs with 16384, 40960 MiB)',
    )
    expect(machine.started).toEqual([])
  })
})

describe('a lease', () => {
  it('is by UUID, exclusive among executors that share a folder, and ends with the task', async () => {
    const [one, other] = [leasing(), leasing()]
    const first = await one.start(spec(1), never)
    const second = await other.start(spec(1), never)
    expect(machine.started.map(({ gpus }) => gpus)).toEqual([[A], [B]])
    expect(await refusal(one.start(spec(1), never))).toBeInstanceOf(NotYetError)
    await dispose(first)
    const third = await other.start(spec(1), never)
    expect(machine.started.at(-1)?.gpus).toEqual([A])
    await dispose(second)
    await dispose(third)
    expect(await claimsLeft()).toEqual([])
  })

  it('of several is all or nothing', async () => {
    const executor = leasing()
    const one = await executor.start(spec([B]), never)
    for (const wanted of [2, 'all', [A, B]] as const) {
      expect(await refusal(executor.start(spec(wanted), never))).toBeInstanceOf(NotYetError)
      expect(await claimsLeft()).toHaveLength(1)
    }
    await dispose(one)
    const all = await executor.start(spec('all'), never)
    expect(machine.started.at(-1)?.gpus).toEqual([A, B])
    await dispose(all)
    const twice = await executor.start(spec([A, A]), never)
    expect(machine.started.at(-1)?.gpus).toEqual([A])
    await dispose(twice)
  })

  it('is not asked for when nothing is', async () => {
    const executor = leasing()
    for (const gpus of [undefined, 0, []] as const) await dispose(await executor.start(spec(gpus), never))
    expect(machine.started.map(({ gpus }) => gpus)).toEqual([undefined, undefined, undefined])
    expect(machine.capacityCalls).toBe(0)
  })

  it('is given back when the start fails, and when the caller has gone', async () => {
    const executor = leasing()
    machine.failure = new RetryableError('engine', 'the engine is down')
    await expect(executor.start(spec(1), never)).rejects.toThrow('the engine is down')
    machine.failure = undefined
    await expect(executor.start(spec(1, { image: 'missing' }), never)).rejects.toThrow('does not exist')
    await expect(executor.start(spec(1), AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped')
    expect(await claimsLeft()).toEqual([])
  })

  it('is given back even when the container can not be removed', async () => {
    const executor = leasing()
    const start = machine.start.bind(machine)
    machine.start = async (...all) => {
      const task = await start(...all)
      task[Symbol.asyncDispose] = () => Promise.reject(new Error('the removal failed'))
      return task
    }
    const task = await executor.start(spec(2), never)
    await expect(dispose(task)).rejects.toThrow('the removal failed')
    machine.start = start
    await dispose(await executor.start(spec(2), never))
  })

  it('never goes to a second container while the first one lives', async () => {
    const executor = leasing()
    // Of a runner that was killed: its claim is gone, its container is not.
    machine.inUse.add(A)
    const task = await executor.start(spec(1), never)
    expect(machine.started.at(-1)?.gpus).toEqual([B])
    expect(machine.reaps).toBe(1)
    machine.onReap = () => {
      machine.inUse.clear()
    }
    const second = await executor.start(spec(1), never)
    expect(machine.started.at(-1)?.gpus).toEqual([A])
    await dispose(task)
    await dispose(second)
  })

  it('is out of the share of this runner', async () => {
    const executor = leasing({ allowed: [B, C] })
    expect((await executor.capacity(never)).gpus).toEqual([B])
    const task = await executor.start(spec('all'), never)
    expect(machine.started.at(-1)?.gpus).toEqual([B])
    expect(await refusal(executor.start(spec([A]), never))).toBeInstanceOf(UnfitError)
    await dispose(task)
    const none = leasing({ allowed: [C] })
    expect(String(await refusal(none.start(spec(1), never)))).toContain('the configuration names others')
  })

  it('takes UUIDs at their word where none can be seen', async () => {
    machine.gpus = []
    const task = await leasing().start(spec([C]), never)
    expect(machine.started.at(-1)?.gpus).toEqual([C])
    await dispose(task)
    const shared = leasing({ allowed: [B, C] })
    await dispose(await shared.start(spec(1), never))
    expect(machine.started.at(-1)?.gpus).toEqual([B])
  })
})

describe('what does not fit', () => {
  const MIB = 1024 ** 2
  it.each([
    [spec(3), /needs more than this machine has: 3 GPUs \(there are 2\)/],
    [spec([C]), /GPU-c \(there are GPU-a, GPU-b\)/],
    [spec(undefined, { limits: { cpus: 2.5 } }), /2\.5 CPU cores \(limits\.cpus; there are 2\)/],
    [
      spec(1, { limits: { memoryBytes: 9000 * MIB } }),
      /9000 MiB of memory \(limits\.memory; there are 8192\)/,
    ],
  ])('is said with what is there (%#)', async (wanted, words) => {
    const error = await refusal(leasing().start(wanted, never))
    expect(error).toBeInstanceOf(UnfitError)
    expect(String(error)).toMatch(words)
    expect(machine.started).toEqual([])
  })

  it('says why there is no GPU', async () => {
    machine.gpus = []
    machine.noGpus = 'nvidia-smi is not on the PATH'
    const error = await refusal(leasing().start(spec('all'), never))
    expect(error).toBeInstanceOf(UnfitError)
    expect(String(error)).toContain('nvidia-smi is not on the PATH')
  })

  it('is asked for again behind the back of the jobs', async () => {
    let passedMs = 0
    const executor = leasing({ clock: { ...systemClock, now: () => systemClock.now() + passedMs } })
    await dispose(await executor.start(spec(1), never))
    expect(machine.capacityCalls).toBe(1)
    let answer = (): void => undefined
    const slow = new Promise<void>((resolve) => (answer = resolve))
    const ask = machine.capacity.bind(machine)
    machine.capacity = async () => {
      await slow
      return await ask()
    }
    machine.gpus = [A, B, C]
    passedMs = 61_000
    // With what is known, though the driver does not answer.
    await dispose(await executor.start(spec(2), never))
    expect(await refusal(executor.start(spec(3), never))).toBeInstanceOf(UnfitError)
    answer()
    await expect.poll(() => executor.capacity(never)).toMatchObject({ gpus: [A, B, C] })
    await dispose(await executor.start(spec(3), never))
    expect(machine.capacityCalls).toBe(2)
  })

  it('what just fits runs', async () => {
    const task = await leasing().start(spec(2, { limits: { cpus: 2, memoryBytes: 8 * 1024 ** 3 } }), never)
    await dispose(task)
  })
})

describe('a job that finds none free', () => {
  it('waits outside its slot until one of ours is given back', async () => {
    const executor = leasing()
    const holder = await executor.start(spec('all'), never)
    const error = await refusal(executor.start(spec(1), never))
    if (!(error instanceof NotYetError)) throw new Error('it should wait')
    expect(error).toMatchObject({ isShortage: true, distance: 0 })
    const sooner = error.sooner
    await dispose(holder)
    await sooner
    await dispose(await executor.start(spec(1), never))
  })

  it('waits until one of another process is given back', async () => {
    const [ours, theirs] = [leasing(), leasing()]
    const holder = await theirs.start(spec('all'), never)
    const error = await refusal(ours.start(spec(2), never))
    if (!(error instanceof NotYetError)) throw new Error('it should wait')
    const sooner = error.sooner
    await dispose(holder)
    await sooner
    await dispose(await ours.start(spec(2), never))
  })

  it('does not wait for the container of a runner that is dead', async () => {
    machine.inUse.add(A).add(B)
    const executor = leasing()
    const error = await refusal(executor.start(spec(1), never))
    const reaps = machine.reaps
    machine.onReap = () => {
      machine.inUse.delete(B)
    }
    await (error as NotYetError).sooner
    expect(machine.reaps).toBe(reaps + 1)
    await dispose(await executor.start(spec(1), never))
    expect(machine.started.at(-1)?.gpus).toEqual([B])
  })

  it('waits no longer than it is held: its next try waits anew', async () => {
    const clock = new ManualClock()
    machine.gpus = [A]
    const executor = leasing({ clock })
    const first = await executor.start(spec(1), never)
    const woken: string[] = []
    const hold = async (name: string): Promise<void> => {
      const error = (await refusal(executor.start(spec(1), never))) as NotYetError
      void error.sooner?.then(() => woken.push(name))
    }
    await hold('first try')
    for (let s = 0; s < 31; s += 1) {
      await clock.advance(1000)
      await delay(5)
    }
    expect(woken).toEqual(['first try'])
    await hold('second try')
    await dispose(first)
    for (let s = 0; s < 2; s += 1) {
      await clock.advance(1000)
      await delay(5)
    }
    expect(woken).toEqual(['first try', 'second try'])
  })

  it('is waited for by a caller that has no queue', async () => {
    const executor = leasing({ whenBusy: 'wait' })
    const holder = await executor.start(spec('all'), never)
    const abort = new AbortController()
    const given = refusal(executor.start(spec(1), abort.signal))
    const waiting = executor.start(spec(1), never)
    abort.abort(new Error('given up'))
    expect(String(await given)).toContain('given up')
    await dispose(holder)
    await dispose(await waiting)
    // The word that somebody waits goes a moment later.
    await expect.poll(claimsLeft).toEqual([])
  })

  it('lets nobody wait for ever once it is closed', async () => {
    const executor = leasing()
    const holder = await executor.start(spec('all'), never)
    const error = await refusal(executor.start(spec(1), never))
    const sooner = (error as NotYetError).sooner
    await executor.close()
    await sooner
    await dispose(holder)
  })
})

describe('a task that no job needs yet', () => {
  it('takes a GPU only while nobody waits for one', async () => {
    let wanted = 0
    const executor = leasing({ onWanted: () => (wanted += 1) })
    const holder = await executor.start(spec([A]), never)
    const error = await refusal(executor.start(spec([A]), never))
    const sooner = (error as NotYetError).sooner
    await expect(executor.start(spec([B], { isAhead: true }), never)).rejects.toBeInstanceOf(NotYetError)
    await dispose(holder)
    await sooner
    await dispose(await executor.start(spec([A]), never))
    const ahead = await executor.start(spec('all', { isAhead: true }), never)
    expect(machine.started.at(-1)).not.toHaveProperty('isAhead')
    // Now somebody comes who needs it.
    const late = await refusal(leasing().start(spec(1), never))
    const before = wanted
    void (late as NotYetError).sooner
    await expect.poll(() => wanted, { timeout: 10_000 }).toBeGreaterThan(before)
    await dispose(ahead)
  })
})

describe('a GPU that is gone', () => {
  it('is not the fault of the job that failed by it', async () => {
    const executor = leasing()
    const task = await executor.start(spec([B], { image: 'failing' }), never)
    machine.gpus = [A]
    await task.send(new Uint8Array())
    await expect(task.wait()).rejects.toThrow(/GPU-b is gone/)
    await dispose(task)
  })

  it('is looked for only by what failed, and a failure with a healthy one stays a failure', async () => {
    const executor = leasing()
    const failed = await executor.start(spec(1, { image: 'failing' }), never)
    await failed.send(new Uint8Array())
    expect(await failed.wait()).toMatchObject({ exitCode: 1 })
    await dispose(failed)
    const calls = machine.capacityCalls
    const good = await executor.start(spec(1), never)
    await good.send(new Uint8Array())
    expect(await good.wait()).toMatchObject({ exitCode: 0 })
    expect(machine.capacityCalls).toBe(calls)
    await dispose(good)
  })
})
