import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NotYetError } from '../../../src/core/errors.ts'
import type { Executor } from '../../../src/executors/executor.ts'
import { createGpuLeasing } from '../../../src/executors/gpu-lease.ts'
import type { KeptPool } from '../../../src/executors/kept.ts'
import { createKeptPool } from '../../../src/executors/kept-pool.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'
import { FakeExecutor, keptSpec, quickClock, recordingLog } from './kept-fakes.ts'

const never = new AbortController().signal
const { log } = recordingLog()

let folder: string
let machine: FakeExecutor
let leasing: Executor
let pool: KeptPool

function open(gpus: readonly string[], whenBusy: 'wait' | 'throw', maxWarm = { gpu: 9, cpu: 9 }): void {
  machine = new FakeExecutor(gpus)
  leasing = createGpuLeasing(machine, {
    folder,
    inUse: () => Promise.resolve(new Set(machine.running.flatMap(({ gpuIds }) => gpuIds))),
    whenBusy,
    onWanted: () => {
      pool.giveUpGpus()
    },
    clock: quickClock,
    log,
  })
  pool = createKeptPool({ executor: leasing, maxWarm, clock: quickClock, log })
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kept-gpus-'))
})
afterEach(async () => {
  await pool.close()
  await leasing.close()
  await rm(folder, { recursive: true, force: true })
})

const models = (): string[] => pool.states().map(({ key }) => key)

describe.each(['throw', 'wait'] as const)(
  'three models on one GPU, when a busy one would make it %s',
  (busy) => {
    it('the one that was used last stays, and no two are ever on it', async () => {
      open(['GPU-1'], busy)
      const cpu = await pool.acquire(keptSpec('cpu'), never)
      for (const key of ['a', 'b', 'c', 'a', 'c', 'b', 'b']) {
        const call = await pool.acquire(keptSpec(key, { gpus: 1 }), never)
        expect([call.gpuIds, models()]).toEqual([['GPU-1'], ['cpu', key]])
        call.release('ok')
      }
      expect([machine.collisions, machine.tasks.length]).toEqual([0, 7])
      expect(cpu.died.aborted).toBe(false)
    })

    it('many callers at the same time all get their turn', async () => {
      open(['GPU-1'], busy)
      let most = 0
      let calls = 0
      const call = async (key: string): Promise<void> => {
        for (;;) {
          try {
            const one = await pool.acquire(keptSpec(key, { gpus: 1 }), never)
            calls += 1
            most = Math.max(most, calls)
            await settle()
            calls -= 1
            one.release('ok')
            return
          } catch (error) {
            // As the worker does: outside its slot, until one is free.
            if (!(error instanceof NotYetError)) throw error
            await error.sooner
          }
        }
      }
      await Promise.all(['a', 'b', 'c', 'a', 'b', 'c', 'c', 'a'].map(call))
      expect([machine.collisions, most]).toEqual([0, 1])
    })
  },
)

describe('GPUs', () => {
  it('are given up one by one until there are enough, the one that was not used for the longest first', async () => {
    open(['GPU-1', 'GPU-2', 'GPU-3'], 'throw')
    for (const key of ['a', 'b', 'c', 'a']) {
      ;(await pool.acquire(keptSpec(key, { gpus: 1 }), never)).release('ok')
      await settle()
    }
    const big = await pool.acquire(keptSpec('big', { gpus: 2 }), never)
    expect([models(), big.gpuIds.length]).toEqual([['a', 'big'], 2])
    expect(machine.collisions).toBe(0)
  })

  it('are never taken from a call', async () => {
    open(['GPU-1'], 'throw')
    const held = await pool.acquire(keptSpec('a', { gpus: 1 }), never)
    await expect(pool.acquire(keptSpec('b', { gpus: 1 }), never)).rejects.toBeInstanceOf(NotYetError)
    expect([models(), held.died.aborted]).toEqual([['a'], false])
    held.release('ok')
    const b = await pool.acquire(keptSpec('b', { gpus: 1 }), never)
    expect(b.gpuIds).toEqual(['GPU-1'])
  })

  it('no more models stay on GPUs than may', async () => {
    open(['GPU-1', 'GPU-2'], 'throw', { gpu: 1, cpu: 9 })
    ;(await pool.acquire(keptSpec('a', { gpus: 1 }), never)).release('ok')
    ;(await pool.acquire(keptSpec('b', { gpus: 1 }), never)).release('ok')
    expect(models()).toEqual(['b'])
  })
})

describe('giveUpGpus', () => {
  it('ends one that is idle each time; one that is always busy after a while, when its calls have ended', async () => {
    const clock = new ManualClock()
    machine = new FakeExecutor(['GPU-1', 'GPU-2'])
    leasing = machine
    pool = createKeptPool({ executor: machine, maxWarm: { gpu: 9, cpu: 9 }, clock, log })
    const on = (key: string, uuid: string) => {
      const spec = keptSpec(key, { maxConcurrency: 2 })
      return { ...spec, task: { ...spec.task, gpus: [uuid] } }
    }
    const busy = await pool.acquire(on('busy', 'GPU-1'), never)
    ;(await pool.acquire(on('idle', 'GPU-2'), never)).release('ok')
    await pool.acquire(keptSpec('cpu'), never)
    pool.giveUpGpus()
    await settle()
    expect(models()).toEqual(['busy', 'cpu'])
    for (let n = 0; n < 14; n += 1) {
      await clock.advance(1000)
      pool.giveUpGpus()
    }
    expect(pool.states()[0]?.state).toBe('busy')
    await clock.advance(1000)
    pool.giveUpGpus()
    expect([pool.states()[0]?.state, busy.died.aborted]).toEqual(['stopping', false])
    busy.release('ok')
    await settle()
    expect(models()).toEqual(['cpu'])
  })

  it('lets a model load that somebody waits for, however long that takes', async () => {
    const clock = new ManualClock()
    machine = new FakeExecutor(['GPU-1'])
    leasing = machine
    pool = createKeptPool({ executor: machine, maxWarm: { gpu: 9, cpu: 9 }, clock, log })
    const { task, ...spec } = keptSpec('slow')
    let isReady = false
    const slow = () => Promise.resolve(isReady ? ('ready' as const) : ('loading' as const))
    const loading = pool.acquire({ ...spec, isReady: slow, task: { ...task, gpus: ['GPU-1'] } }, never)
    await settle()
    for (let n = 0; n < 40; n += 1) {
      await clock.advance(1000)
      pool.giveUpGpus()
    }
    expect(pool.states()[0]?.state).toBe('loading')
    isReady = true
    await clock.advance(1000)
    const call = await loading
    pool.giveUpGpus()
    expect([pool.states()[0]?.state, call.died.aborted]).toEqual(['stopping', false])
    call.release('ok')
    await settle()
    expect(models()).toEqual([])
  })
})
