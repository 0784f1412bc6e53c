import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '../../../src/core/clock.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { Timeline } from '../../../src/core/timeline.ts'
import {
  createDockerExecutor,
  type DockerExecutorOptions,
} from '../../../src/executors/docker/docker-executor.ts'
import type { Engine } from '../../../src/executors/docker/api/engine.ts'
import type { Executor, TaskSpec } from '../../../src/executors/executor.ts'
import { runTask, taskName, type RunRequest, type RunResult } from '../../../src/executors/run-task.ts'

export const MIB = 1024 ** 2

export interface Listed {
  Id: string
  Names: string[]
  Labels: Record<string, string>
  Mounts: { Name?: string }[]
}

export interface RunOptions extends Partial<Omit<RunRequest, 'spec'>> {
  spec?: Partial<TaskSpec>
  signal?: AbortSignal
}

/** An executor of its own for one test file, and what it has left behind. */
export interface Bench {
  executor: Executor
  records: LogRecord[]
  timeline: Timeline
  /** Runs a shell script in the test image. */
  run(script: string, options?: RunOptions): Promise<RunResult>
  spec(script: string, spec?: Partial<TaskSpec>): TaskSpec
  /** Containers of this bench's tasks that exist now, in any state. */
  containers(): Promise<Listed[]>
  /** Those that don't go by themselves within some seconds. */
  left(): Promise<Listed[]>
  /** Containers that hold networks for the tasks. */
  holders(): Promise<Listed[]>
  close(): Promise<void>
}

export function setUp(engine: Engine, image: string, options: Partial<DockerExecutorOptions> = {}): Bench {
  const records: LogRecord[] = []
  const log = createLogger((record) => records.push(record), 'DEBUG')
  const processName = `test-${crypto.randomUUID()}`
  const timeline = new Timeline(systemClock)
  const executor = createDockerExecutor({ engine, processName, log, environment: {}, ...options })
  const spec = (script: string, rest: Partial<TaskSpec> = {}): TaskSpec => ({
    name: taskName('test', 'job'),
    kind: 'test',
    image,
    command: ['/bin/sh', '-c', script],
    environment: {},
    limits: {},
    keep: false,
    ...rest,
  })
  const all = (): Promise<Listed[]> => list(engine, [`org.opthub.runner.process=${processName}`])
  const isHolder = ({ Labels }: Listed): boolean => Labels['org.opthub.runner.kind'] === 'holder'
  const containers = async (): Promise<Listed[]> => (await all()).filter((one) => !isHolder(one))
  return {
    executor,
    records,
    timeline,
    spec,
    run: (script, { spec: rest, signal = new AbortController().signal, ...request } = {}) =>
      runTask(
        executor,
        {
          spec: spec(script, rest),
          input: new Uint8Array(),
          timeoutMs: 60_000,
          stopGraceSeconds: 1,
          maxLineBytes: 16 * MIB,
          maxTotalBytes: 1024 * MIB,
          stderrTailBytes: 64 * 1024,
          ...request,
        },
        { signal, log, timeline },
      ),
    containers,
    left: async () => {
      for (let n = 0; n < 100 && (await containers()).length > 0; n += 1) await delay(100)
      return await containers()
    },
    holders: async () => (await all()).filter(isHolder),
    close: () => executor.close(),
  }
}

export async function list(engine: Engine, label: string[]): Promise<Listed[]> {
  const query = { all: '1', filters: JSON.stringify({ label }) }
  return (await engine.json('GET', '/containers/json', { query })) as Listed[]
}

export async function remove(engine: Engine, id: string): Promise<void> {
  await engine.json('DELETE', `/containers/${id}`, { query: { force: '1', v: '1' } })
}

/** The most memory that this process has held while `work` ran, beyond what it held before, in bytes. */
export async function growth(work: () => Promise<unknown>): Promise<number> {
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  let most = before
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss)
  }, 20)
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
  return Math.max(most, process.memoryUsage().rss) - before
}

export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
