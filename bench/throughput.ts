import { dockerRun, IMAGE, makeImage, openExecutor } from './containers.ts'
import { median, printTable, time, type Print } from './measure.ts'
import { Stage } from './stage.ts'
import { work } from './work.ts'

const SLOTS = [1, 2, 4, 8, 16]
const JOBS = 60
const ROUNDS = 3

/** Jobs per second while there is always another one, against as many shells that call `docker run`. */
export async function benchThroughput(print: Print): Promise<void> {
  await makeImage()
  const rows: string[][] = []
  for (const slots of SLOTS) {
    const byHand: number[] = []
    const runner: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      byHand.push(JOBS / ((await time(() => shells(slots))) / 1000))
      runner.push(await jobsPerSecond(slots))
    }
    rows.push([
      String(slots),
      median(byHand).toFixed(2),
      median(runner).toFixed(2),
      `${(median(runner) / median(byHand)).toFixed(2)} ×`,
    ])
  }
  printTable(print, ['slots, or shells', '`docker run`: jobs/s', 'runner: jobs/s', 'ratio'], rows)
  print(`${JOBS} jobs a round, medians of ${ROUNDS} interleaved rounds.`)
}

async function shells(count: number): Promise<void> {
  let left = JOBS
  async function shell(): Promise<void> {
    while (left > 0) {
      left -= 1
      await dockerRun()
    }
  }
  await Promise.all(Array.from({ length: count }, shell))
}

async function jobsPerSecond(slots: number): Promise<number> {
  await using stage = await Stage.open()
  for (let n = 1; n <= JOBS; n += 1) await stage.submit('Team#1', n)
  const executor = await openExecutor({ slots, warm: 1 })
  try {
    const { queue, store } = stage
    const ms = await time(() => work({ queue, store, executor, image: IMAGE, slots, jobs: JOBS }))
    return JOBS / (ms / 1000)
  } finally {
    await executor.close()
  }
}
