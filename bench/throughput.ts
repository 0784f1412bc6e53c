import { dockerRun, IMAGE, makeImage, openExecutor, programCpuMs } from './containers.ts'
import { median, printTable, time, type Print } from './measure.ts'
import { Stage } from './stage.ts'
import { work } from './work.ts'

const SLOTS = [1, 2, 4, 8, 16]
const FEWEST_JOBS = 60
/** So that what only the first job of a slot costs does not weigh much. */
const JOBS_PER_SLOT = 15
const ROUNDS = 3

/** Jobs per second while there is always another one, against as many shells that call `docker run`. */
export async function benchThroughput(print: Print): Promise<void> {
  await makeImage()
  const cpuMs = await programCpuMs()
  const rows: string[][] = []
  for (const slots of SLOTS) {
    const jobs = Math.max(FEWEST_JOBS, JOBS_PER_SLOT * slots)
    const byHand: number[] = []
    const runner: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      byHand.push(jobs / ((await time(() => shells(slots, jobs))) / 1000))
      runner.push(await jobsPerSecond(slots, jobs))
    }
    rows.push([
      String(slots),
      median(byHand).toFixed(2),
      median(runner).toFixed(2),
      `${(median(runner) / median(byHand)).toFixed(2)} ×`,
    ])
  }
  printTable(print, ['slots, or shells', '`docker run`: jobs/s', 'runner: jobs/s', 'ratio'], rows)
  print(
    `${JOBS_PER_SLOT} jobs a slot, at least ${FEWEST_JOBS}; medians of ${ROUNDS} interleaved rounds. The program takes ` +
      `${cpuMs.toFixed(0)} ms of processor time by itself, which nobody can save.`,
  )
}

async function shells(count: number, jobs: number): Promise<void> {
  let left = jobs
  async function shell(): Promise<void> {
    while (left > 0) {
      left -= 1
      await dockerRun()
    }
  }
  await Promise.all(Array.from({ length: count }, shell))
}

async function jobsPerSecond(slots: number, jobs: number): Promise<number> {
  await using stage = await Stage.open()
  for (let n = 1; n <= jobs; n += 1) await stage.submit('Team#1', n)
  const executor = await openExecutor({ slots, warm: 1 })
  try {
    const { queue, store } = stage
    const ms = await time(() => work({ queue, store, executor, image: IMAGE, slots, jobs }))
    return jobs / (ms / 1000)
  } finally {
    await executor.close()
  }
}
