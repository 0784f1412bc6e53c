import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism, cpus } from 'node:os'
import { text } from 'node:stream/consumers'
import { systemClock } from '../src/core/clock.ts'
import { createLogger } from '../src/core/log.ts'
import { connectEngine } from '../src/executors/docker/api/connect.ts'
import { createDockerExecutor } from '../src/executors/docker/docker-executor.ts'
import type { Executor } from '../src/executors/executor.ts'
import { createWarmPool } from '../src/executors/warm-pool.ts'
import { buildPythonImage } from '../test/support/images.ts'
import { median } from './measure.ts'

export const IMAGE = 'opthub-runner-bench/problem'

/** A problem as people write them: an interpreter, some imports, one line in, one line out. About 100 ms. */
const PROGRAM = `import argparse, json, random, sys, time
variable = json.loads(sys.stdin.readline())
info = {"cpu_ms": time.process_time() * 1000}
print(json.dumps({"objective": sum(x * x for x in variable), "constraint": None, "info": info, "feasible": True}))
`

/** Makes the image that all containers of the benches run. */
export async function makeImage(): Promise<void> {
  const engine = await connectEngine({ environment: process.env })
  try {
    await buildPythonImage(engine, IMAGE, PROGRAM)
  } finally {
    engine.close()
  }
}

/** An executor with the production's settings. */
export async function openExecutor({ slots, warm }: { slots: number; warm: number }): Promise<Executor> {
  const log = createLogger((record) => {
    console.error(record.msg, record.fields)
  }, 'WARNING')
  const executor = createDockerExecutor({
    engine: await connectEngine({ environment: process.env }),
    processName: 'bench',
    log,
    environment: process.env,
    pullPolicy: 'if-not-present',
  })
  return createWarmPool(executor, {
    perSlot: warm,
    slots,
    processors: availableParallelism(),
    idleMs: 60_000,
    jobs: 0,
    drain: new AbortController().signal,
    clock: systemClock,
    log,
  })
}

/** What somebody would do by hand: `docker run -i --rm`, with the same input. Resolves with what it prints. */
export async function dockerRun(): Promise<string> {
  const child = spawn('docker', ['run', '-i', '--rm', IMAGE], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end('[0.5, 0.25, 0.001]\n')
  const output = text(child.stdout)
  const [code] = (await once(child, 'close')) as [number]
  if (code !== 0) throw new Error(`docker run ended with ${code}`)
  return await output
}

/** Milliseconds of processor time that the image's program takes by itself: median of some runs. */
export async function programCpuMs(): Promise<number> {
  const figures: number[] = []
  for (let n = 0; n < 5; n += 1) {
    figures.push((JSON.parse(await dockerRun()) as { info: { cpu_ms: number } }).info.cpu_ms)
  }
  return median(figures)
}

/** Milliseconds of processor time that the whole machine has spent so far, all cores together. */
export function machineCpuMs(): number {
  return cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0)
}
