import { systemClock } from '../src/core/clock.ts'
import { formatTrialMessage } from '../src/kinds/message.ts'
import { MemoryQueue } from '../test/support/memory-queue.ts'
import { MemoryStore } from '../test/support/memory-store.ts'
import { createInstantExecutor } from './instant-executor.ts'
import { cpuTime, heldBytes, printTable, time, type Print } from './measure.ts'
import { solutionOf, Stage } from './stage.ts'
import { work } from './work.ts'

const IN_MEMORY_JOBS = 10_000
const EMBEDDED_JOBS = 1000
/** Not counted: what a process does once, and code that has not been compiled yet. */
const FIRST_JOBS = 200
const ANSWER = '{"objective": 0.25, "constraint": null, "info": {}, "feasible": true}'

/**
 * What the loop itself costs (receive, read, transact, delete) when containers cost nothing: against stand-ins in
 * memory, and against the embedded servers in a process of their own.
 */
export async function benchLoop(print: Print): Promise<void> {
  const rows: string[][] = []
  for (const slots of [1, 8]) rows.push(await inMemory(slots))
  for (const slots of [1, 8]) rows.push(await embedded(slots))
  printTable(print, ['queue and table', 'slots', 'jobs', 'jobs/s', 'own CPU per job', 'memory kept'], rows)
}

async function inMemory(slots: number): Promise<string[]> {
  const queue = new MemoryQueue(systemClock)
  const store = new MemoryStore()
  for (let n = 1; n <= IN_MEMORY_JOBS; n += 1) {
    const { trial, item } = solutionOf('Team#1', n)
    store.add(item)
    await queue.send(formatTrialMessage(trial))
  }
  const executor = createInstantExecutor(ANSWER)
  const before = await heldBytes()
  const cost = await measure(() =>
    work({ queue, store, executor, image: 'instant', slots, jobs: IN_MEMORY_JOBS }),
  )
  // What the stand-ins keep for each job is theirs.
  queue.messages.length = 0
  queue.log.length = 0
  store.items.clear()
  store.gets.length = 0
  const kept = (await heldBytes()) - before
  return row('in memory', slots, IN_MEMORY_JOBS, cost, `${(kept / 1024 ** 2).toFixed(1)} MiB`)
}

async function embedded(slots: number): Promise<string[]> {
  await using stage = await Stage.open()
  for (let n = 1; n <= FIRST_JOBS + EMBEDDED_JOBS; n += 1) await stage.submit('Team#1', n)
  const executor = createInstantExecutor(ANSWER)
  const { queue, store } = stage
  await work({ queue, store, executor, image: 'instant', slots, jobs: FIRST_JOBS })
  const cost = await measure(() =>
    work({ queue, store, executor, image: 'instant', slots, jobs: EMBEDDED_JOBS }),
  )
  return row('embedded', slots, EMBEDDED_JOBS, cost, '–')
}

interface Cost {
  ms: number
  cpuMs: number
}

async function measure(run: () => Promise<void>): Promise<Cost> {
  let ms = 0
  const cpuMs = await cpuTime(async () => {
    ms = await time(run)
  })
  return { ms, cpuMs }
}

function row(where: string, slots: number, jobs: number, { ms, cpuMs }: Cost, kept: string): string[] {
  const perSecond = (jobs / (ms / 1000)).toFixed(0)
  return [where, String(slots), jobs.toLocaleString('en'), perSecond, `${(cpuMs / jobs).toFixed(2)} ms`, kept]
}
