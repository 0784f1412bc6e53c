import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism, cpus } from 'node:os'
import { systemClock } from '../src/core/clock.ts'
import { createLogger } from '../src/core/log.ts'
import { connectEngine } from '../src/executors/docker/api/connect.ts'
import { createDockerExecutor } from '../src/executors/docker/docker-executor.ts'
import type { Executor } from '../src/executors/executor.ts'
import { createWarmPool } from '../src/executors/warm-pool.ts'
import { buildPythonImage } from '../test/support/images.ts'

export const IMAGE = 'opthub-runner-bench/problem'

/** A problem as people write them: an interpreter, some imports, one line in, one line out. */
const PROGRAM = `import argparse, json, logging, random, statistics, sys
variable = json.loads(sys.stdin.readline())
print(json.dumps({"objective": sum(x * x for x in variable), "constraint": None, "info": {}, "feasible": True}))
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

/** What somebody would do by hand: `docker run -i --rm`, with the same input. */
export async function dockerRun(): Promise<void> {
  const child = spawn('docker', ['run', '-i', '--rm', IMAGE], { stdio: ['pipe', 'ignore', 'inherit'] })
  child.stdin.end('[0.5, 0.25, 0.001]\n')
  const [code] = (await once(child, 'close')) as [number]
  if (code !== 0) throw new Error(`docker run ended with ${code}`)
}

/** Milliseconds of processor time that the whole machine has spent so far, all cores together. */
export function machineCpuMs(): number {
  return cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0)
}
