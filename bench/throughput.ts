import { dockerRun, IMAGE, makeImage, openExecutor, programCpuMs } from './containers.ts'
import { median, printTable, time, type Print } from './measure.ts'
import { Stage } from './stage.ts'
import { work } from './work.ts'

const SLOTS = [1, 2, 4, 8, 16]
const FEWEST_JOBS = 60
const JOBS_PER_SLOT = 15
/** Not counted, as in the bench of the loop: what a process does once, and code that has not been compiled yet. */
const FIRST_JOBS_PER_SLOT = 5
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
    `${JOBS_PER_SLOT} jobs a slot, at least ${FEWEST_JOBS}, after ${FIRST_JOBS_PER_SLOT} a slot that are not counted; ` +
      `medians of ${ROUNDS} interleaved rounds. The program takes ${cpuMs.toFixed(0)} ms of processor time by itself, ` +
      'which nobody can save.',
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
  const first = FIRST_JOBS_PER_SLOT * slots
  await using stage = await Stage.open()
  // At both ends of the time all slots are at work: what is under way then is neither lost nor won.
  const all = first + jobs + slots
  for (let n = 1; n <= all; n += 1) await stage.submit('Team#1', n)
  const executor = await openExecutor({ slots, warm: 1 })
  let ended = 0
  let since = 0
  let until = 0
  const jobEnded = (): void => {
    ended += 1
    if (ended === first) since = performance.now()
    if (ended === first + jobs) until = performance.now()
  }
  try {
    const { queue, store } = stage
    await work({ queue, store, executor, image: IMAGE, slots, jobs: all, observer: { jobEnded } })
    return jobs / ((until - since) / 1000)
  } finally {
    await executor.close()
  }
}
