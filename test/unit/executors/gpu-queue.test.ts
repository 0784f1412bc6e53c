import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createLogger } from '../../../src/core/log.ts'
import { GpuQueue } from '../../../src/executors/gpu-queue.ts'
import { OwnedFiles } from '../../../src/executors/owned-files.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const ALL = ['GPU-a', 'GPU-b']
const ONE = { among: ALL, count: 1 }
const BOTH = { among: ALL, count: 2 }

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gpu-queue-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

function open(taken: Set<string>, clock = new ManualClock(), onWanted = (): void => undefined) {
  const queue = new GpuQueue({
    files: new OwnedFiles(folder, clock),
    taken: () => Promise.resolve(taken),
    onWanted,
    clock,
    log: createLogger(() => undefined),
  })
  return { clock, queue }
}

/** Moves time on, and lets what is written and read settle in between. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1000) {
    await clock.advance(Math.min(1000, ms - passed))
    await delay(5)
  }
}

it('wakes as many as there are GPUs for, in the order of their coming', async () => {
  const taken = new Set(ALL)
  const { clock, queue } = open(taken)
  const woken: number[] = []
  for (const n of [1, 2, 3]) void queue.wait(ONE).then(() => woken.push(n))
  await pass(clock, 5000)
  expect(woken).toEqual([])
  taken.delete('GPU-a')
  await pass(clock, 1000)
  expect(woken).toEqual([1])
  taken.clear()
  queue.noteRelease()
  await pass(clock, 1)
  expect(woken).toEqual([1, 2, 3])
  queue.close()
})

it('keeps what is given back for whoever has waited too long, and not for ever', async () => {
  const { clock, queue } = open(new Set(['GPU-a']))
  void queue.wait(BOTH)
  expect(await queue.mustYield(ONE)).toBe(false)
  await pass(clock, 16_000)
  expect(await queue.mustYield(ONE)).toBe(true)
  expect(await queue.mustYield(BOTH)).toBe(false)
  // Another one's share has nothing to do with it.
  expect(await queue.mustYield({ among: ['GPU-c'], count: 1 })).toBe(false)
  for (let s = 16; s < 600; s += 30) {
    await pass(clock, 30_000)
    await queue.mustYield(BOTH)
  }
  expect(await queue.mustYield(ONE)).toBe(false)
  await pass(clock, 16_000)
  expect(await queue.mustYield(ONE)).toBe(true)
  queue.noteLease(BOTH)
  expect(await queue.mustYield(ONE)).toBe(false)
  queue.close()
})

it('forgets who has gone away', async () => {
  const { clock, queue } = open(new Set(['GPU-a']))
  const gone = new AbortController()
  const waiting = queue.wait(BOTH, gone.signal)
  gone.abort()
  await waiting
  await pass(clock, 60_000)
  expect(await queue.mustYield(ONE)).toBe(true)
  await pass(clock, 60_000)
  expect(await queue.mustYield(ONE)).toBe(false)
})

it('of two that have waited too long the earlier one goes first', async () => {
  const { clock, queue } = open(new Set(ALL))
  void queue.wait({ among: ['GPU-b'], count: 1 })
  await pass(clock, 1000)
  void queue.wait(BOTH)
  await pass(clock, 20_000)
  expect(await queue.mustYield({ among: ['GPU-b'], count: 1 })).toBe(false)
  expect(await queue.mustYield(BOTH)).toBe(true)
  queue.close()
})

it('sees who waits in another process, and lets it go first once it has waited too long', async () => {
  const clock = new ManualClock()
  const wanted: string[] = []
  const ours = open(new Set(ALL), clock, () => wanted.push('ours')).queue
  const theirs = open(new Set(ALL), clock, () => wanted.push('theirs')).queue
  ours.noteLease(BOTH)
  await pass(clock, 3000)
  expect(wanted).toEqual([])
  void theirs.wait(ONE)
  await pass(clock, 3000)
  expect(wanted).toContain('ours')
  expect(await ours.hasWaiting()).toBe(true)
  expect(await ours.mustYield(BOTH)).toBe(false)
  await pass(clock, 15_000)
  expect(await ours.mustYield(BOTH)).toBe(true)
  expect(await theirs.mustYield(ONE)).toBe(false)
  theirs.noteLease(ONE)
  await pass(clock, 2000)
  expect(await ours.hasWaiting()).toBe(false)
  expect(await ours.mustYield(BOTH)).toBe(false)
  ours.close()
  theirs.close()
  await pass(clock, 2000)
  expect(await readdir(folder)).toEqual([])
})
