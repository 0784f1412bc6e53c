import { systemClock } from '../src/core/clock.ts'
import type { JobOutcome, JobView } from '../src/core/observer.ts'
import { dockerRun, IMAGE, machineCpuMs, makeImage, openExecutor } from './containers.ts'
import { median, printTable, quantile, time, type Print } from './measure.ts'
import { Stage } from './stage.ts'
import { work } from './work.ts'

const ROUNDS = 15
/** Between two runs: a warm container must have been started, and all others be gone. */
const PAUSE_MS = 1500

interface Run {
  ms: number
  cpuMs: number
}

/**
 * One job at a time: received → result stored and message deleted, with a cold and with a warm start, against
 * `docker run` of the same image and input alone. Interleaved, so that the noise of the machine meets all three.
 */
export async function benchStarts(print: Print): Promise<void> {
  await makeImage()
  await using cold = await Lane.open(0)
  await using warm = await Lane.open(1)
  const lanes: Record<string, () => Promise<Run>> = {
    '`docker run`': () => watch(() => time(dockerRun)),
    cold: () => watch(() => cold.job()),
    warm: () => watch(() => warm.job()),
  }
  const runs = new Map(Object.keys(lanes).map((name) => [name, [] as Run[]]))
  // The first round makes what the others find: network holders, the first warm container.
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, run] of Object.entries(lanes)) {
      const result = await run()
      if (round > 0) runs.get(name)?.push(result)
    }
  }
  const byHand = median((runs.get('`docker run`') ?? []).map(({ ms }) => ms))
  const rows = [...runs].map(([name, figures]) => {
    const ms = figures.map((run) => run.ms)
    return [
      name,
      `${median(ms).toFixed(0)} ms`,
      `${quantile(ms, 0.95).toFixed(0)} ms`,
      `${(median(ms) / byHand).toFixed(2)} ×`,
      `${median(figures.map((run) => run.cpuMs)).toFixed(0)} ms`,
    ]
  })
  printTable(print, ['start', 'median', '95 %', 'of `docker run`', 'CPU of the machine'], rows)
  print(`Medians of ${ROUNDS} interleaved rounds; the CPU includes what is done after the result.`)
}

/** Time as the run itself says it; processor time of the whole machine, with what comes after it. */
async function watch(run: () => Promise<number>): Promise<Run> {
  const before = machineCpuMs()
  const ms = await run()
  await systemClock.sleep(PAUSE_MS)
  return { ms, cpuMs: machineCpuMs() - before }
}

/** A runner with one slot and a table of its own, that does one job when it is asked. */
class Lane implements AsyncDisposable {
  readonly #stage: Stage
  readonly #working: Promise<void>
  readonly #close: () => Promise<void>
  #jobs = 0
  #ended: (ms: number) => void = () => undefined

  private constructor(stage: Stage, executor: Awaited<ReturnType<typeof openExecutor>>) {
    this.#stage = stage
    const jobEnded = (view: JobView, outcome: JobOutcome): void => {
      if (outcome !== 'succeeded') throw new Error(`A job ended as ${outcome}`)
      this.#ended(systemClock.now() - view.since)
    }
    const { queue, store } = stage
    const jobs = ROUNDS + 1
    this.#working = work({ queue, store, executor, image: IMAGE, slots: 1, jobs, observer: { jobEnded } })
    this.#close = () => executor.close()
  }

  static async open(warm: number): Promise<Lane> {
    return new Lane(await Stage.open(), await openExecutor({ slots: 1, warm }))
  }

  async job(): Promise<number> {
    this.#jobs += 1
    const ended = new Promise<number>((resolve) => {
      this.#ended = resolve
    })
    await this.#stage.submit('Team#1', this.#jobs)
    return await Promise.race([ended, this.#working.then(() => ended)])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#working
    await this.#close()
    await this.#stage[Symbol.asyncDispose]()
  }
}
