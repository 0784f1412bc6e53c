import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { openFiles } from '../src/app/files.ts'
import { systemClock } from '../src/core/clock.ts'
import { createLogger } from '../src/core/log.ts'
import { connectEngine } from '../src/executors/docker/api/connect.ts'
import { createDockerExecutor } from '../src/executors/docker/docker-executor.ts'
import { importHostLanguage } from '../src/executors/docker/images/host-languages.ts'
import { isAllowed } from '../src/executors/docker/images/reference.ts'
import { SECCOMP_PROFILE } from '../src/executors/docker/walls/seccomp.ts'
import { createWarmPool } from '../src/executors/warm-pool.ts'
import { runCodeExec } from '../src/kinds/code-exec/execute.ts'
import { mergeLanguages } from '../src/kinds/code-exec/languages.ts'
import { parseCodeExecMessage } from '../src/kinds/code-exec/message.ts'
import type { CodeExecEngine } from '../src/kinds/code-exec/services.ts'
import { DEFAULT_LIMITS } from '../src/kinds/code-exec/settings.ts'
import { median, printTable, quantile, time, type Print } from './measure.ts'

const IMAGE = 'opthub-runner-bench/python'
const CODE = 'print(sum(x * x for x in range(10)))'
const ROUNDS = 15
/** Between two runs: a warm container must have been started, and all others be gone. */
const PAUSE_MS = 1500
const SLOTS = [1, 2, 8]
const JOBS = 60

/** Untrusted code within all walls, from the message to its exit, against `docker run` of the same without walls. */
export async function benchCode(print: Print): Promise<void> {
  const engine = await connectEngine({ environment: process.env })
  await importHostLanguage(engine, 'python', { tag: IMAGE, nodePath: process.execPath })
  engine.close()
  await benchOne(print)
  await benchMany(print)
}

async function benchOne(print: Print): Promise<void> {
  await using cold = await Box.open(0, 1)
  await using warm = await Box.open(1, 1)
  const lanes = { '`docker run`': dockerRun, cold: () => cold.run(), warm: () => warm.run() }
  const figures = new Map(Object.keys(lanes).map((name) => [name, [] as number[]]))
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, run] of Object.entries(lanes)) {
      const ms = await time(run)
      if (round > 0) figures.get(name)?.push(ms)
      await systemClock.sleep(PAUSE_MS)
    }
  }
  const byHand = median(figures.get('`docker run`') ?? [])
  const rows = [...figures].map(([name, ms]) => [
    name,
    `${median(ms).toFixed(0)} ms`,
    `${quantile(ms, 0.95).toFixed(0)} ms`,
    `${(median(ms) / byHand).toFixed(2)} ×`,
  ])
  printTable(print, ['start', 'median', '95 %', 'of `docker run`'], rows)
}

async function benchMany(print: Print): Promise<void> {
  const rows: string[][] = []
  for (const slots of SLOTS) {
    const byHand: number[] = []
    const runner: number[] = []
    for (let round = 0; round < 3; round += 1) {
      byHand.push(JOBS / ((await time(() => many(slots, dockerRun))) / 1000))
      await using box = await Box.open(1, slots)
      runner.push(JOBS / ((await time(() => many(slots, () => box.run()))) / 1000))
    }
    const ratio = median(runner) / median(byHand)
    rows.push([String(slots), median(byHand).toFixed(2), median(runner).toFixed(2), `${ratio.toFixed(2)} ×`])
  }
  printTable(print, ['slots, or shells', '`docker run`: jobs/s', 'runner: jobs/s', 'ratio'], rows)
}

async function many(slots: number, run: () => Promise<void>): Promise<void> {
  let left = JOBS
  async function slot(): Promise<void> {
    while (left > 0) {
      left -= 1
      await run()
    }
  }
  await Promise.all(Array.from({ length: slots }, slot))
}

/** The kind's own way from a message to its outcome. */
class Box implements AsyncDisposable {
  readonly #engine: CodeExecEngine

  private constructor(engine: CodeExecEngine) {
    this.#engine = engine
  }

  static async open(perSlot: number, slots: number): Promise<Box> {
    const log = createLogger((record) => {
      console.error(record.msg, record.fields)
    }, 'WARNING')
    const docker = createDockerExecutor({
      engine: await connectEngine({ environment: process.env }),
      processName: 'bench',
      log,
      environment: process.env,
      pullPolicy: 'if-not-present',
    })
    const drain = new AbortController().signal
    const executor = createWarmPool(docker, {
      ...{
        perSlot,
        slots,
        processors: availableParallelism(),
        idleMs: 60_000,
        jobs: 0,
        drain,
        clock: systemClock,
        log,
      },
    })
    const limits = DEFAULT_LIMITS
    return new Box({
      ...{
        executor,
        workdirs: docker,
        seccomp: SECCOMP_PROFILE,
        isImageAllowed: isAllowed,
        clock: systemClock,
        files: openFiles({ s3: { region: 'us-east-1' } }),
      },
      settings: {
        ...{ allowImages: false, allowInternet: false, internet: { dns: [] }, limits, maxLimits: limits },
        languages: mergeLanguages({ python: { image: IMAGE } }),
        keep: false,
        maxFileBytes: 1024 ** 3,
      },
    })
  }

  async run(): Promise<void> {
    const body = JSON.stringify({ id: randomUUID(), language: 'python', code: CODE })
    const message = parseCodeExecMessage(body)
    if ('problem' in message) throw new Error(message.problem)
    const signal = new AbortController().signal
    const outcome = await runCodeExec(message.request, this.#engine, {
      signal,
      log: createLogger(() => undefined),
    })
    if (outcome.status !== 'success') throw new Error(`The program ended as ${outcome.status}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine.executor.close()
  }
}

async function dockerRun(): Promise<void> {
  const child = spawn('docker', ['run', '-i', '--rm', IMAGE, 'python3', '-c', CODE], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [code] = (await once(child, 'close')) as [number]
  if (code !== 0) throw new Error(`docker run ended with ${code}`)
}
