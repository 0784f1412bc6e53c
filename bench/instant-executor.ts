import type { Executor, Task } from '../src/executors/executor.ts'

/** An executor whose tasks cost nothing: they read all of their input, and print `answer`. */
export interface InstantExecutor extends Executor {
  lastInputBytes: number
}

export function createInstantExecutor(answer: string): InstantExecutor {
  const line = Buffer.from(`${answer}\n`)
  const task: Task = {
    id: 'instant',
    name: 'instant',
    logsCommand: '',
    rename: () => Promise.resolve(),
    isRunning: () => Promise.resolve(true),
    memoryUsage: () => Promise.resolve(0),
    async send(input) {
      let bytes = 0
      for await (const part of input instanceof Uint8Array ? [input] : input) bytes += part.length
      executor.lastInputBytes = bytes
    },
    async *output() {
      yield await Promise.resolve({ stream: 'stdout' as const, data: line })
    },
    wait: () => Promise.resolve({ exitCode: 0, oomKilled: false }),
    kill: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  const executor: InstantExecutor = {
    name: 'instant',
    lastInputBytes: 0,
    probe: () => Promise.resolve(),
    pull: (image) => Promise.resolve({ id: image }),
    start: () => Promise.resolve(task),
    capacity: () => Promise.resolve({ cpus: 1, memoryBytes: 1024 ** 3, gpus: [] }),
    reap: () => Promise.resolve(0),
    close: () => Promise.resolve(),
  }
  return executor
}
