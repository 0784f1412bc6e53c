import { describe, expect, it } from 'vitest'
import { NotYetError, RetryableError } from '../../../src/core/errors.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { Timeline } from '../../../src/core/timeline.ts'
import type {
  Capacity,
  Executor,
  ImageInfo,
  OutputChunk,
  Task,
  TaskExit,
  TaskInput,
  TaskSpec,
} from '../../../src/executors/executor.ts'
import { runTask } from '../../../src/executors/run-task.ts'
import { createWarmPool, type WarmPoolOptions } from '../../../src/executors/warm-pool.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'

const GIB = 1024 ** 3

/** A task whose end, output and life are in the test's hands. */
class PlayedTask implements Task {
  readonly id: string
  name: string
  readonly logsCommand = ''
  readonly spec: TaskSpec
  isAlive = true
  isDisposed = false
  memory: number | undefined = 10_000_000
  input: string | undefined
  /** Hears its input. */
  onInput: (task: PlayedTask) => void = (task) => {
    task.print('{"ok":1}\n')
    task.end(0)
  }
  /** Hears its removal. */
  onDisposed: () => void = () => undefined
  #wake: () => void = () => undefined
  readonly #printed: (OutputChunk | undefined)[] = []
  #end: (exit: TaskExit) => void = () => undefined
  #fail: (error: unknown) => void = () => undefined
  readonly #exit: Promise<TaskExit>

  constructor(spec: TaskSpec) {
    this.id = spec.name
    this.name = spec.name
    this.spec = spec
    this.#exit = new Promise<TaskExit>((resolve, reject) => {
      this.#end = resolve
      this.#fail = reject
    })
    this.#exit.catch(() => undefined)
  }

  print(text: string): void {
    this.#give({ stream: 'stdout', data: Buffer.from(text) })
  }

  end(exitCode: number): void {
    this.isAlive = false
    this.#give(undefined)
    this.#end({ exitCode, oomKilled: false })
  }

  breakDown(): void {
    this.#give(undefined)
    this.#fail(new RetryableError('engine', 'gone'))
  }

  rename(name: string): Promise<void> {
    this.name = name
    return Promise.resolve()
  }

  isRunning(): Promise<boolean> {
    return Promise.resolve(this.isAlive)
  }

  memoryUsage(): Promise<number | undefined> {
    return Promise.resolve(this.memory)
  }

  async send(input: TaskInput): Promise<void> {
    const parts: Uint8Array[] = []
    for await (const part of input instanceof Uint8Array ? [input] : input) parts.push(part)
    this.input = Buffer.concat(parts).toString()
    if (this.isAlive) this.onInput(this)
  }

  async *output(): AsyncGenerator<OutputChunk> {
    for (;;) {
      while (this.#printed.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
      const chunk = this.#printed.shift()
      if (chunk === undefined) return
      yield chunk
    }
  }

  wait(): Promise<TaskExit> {
    return this.#exit
  }

  kill(): Promise<void> {
    this.end(137)
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.isDisposed = true
    this.isAlive = false
    this.onDisposed()
    return Promise.resolve()
  }

  #give(chunk: OutputChunk | undefined): void {
    this.#printed.push(chunk)
    this.#wake()
  }
}

class PlayedExecutor implements Executor {
  readonly name = 'played'
  readonly tasks: PlayedTask[] = []
  imageId = 'sha256:1'
  /** Says what a new task is like, or throws. */
  onStart: (task: PlayedTask) => void | Promise<void> = () => undefined
  isClosed = false
  /** Those under which tasks were started ahead. */
  readonly signalsAhead = new Set<AbortSignal>()

  probe(): Promise<void> {
    return Promise.resolve()
  }

  pull(): Promise<ImageInfo> {
    return Promise.resolve({ id: this.imageId })
  }

  async start(spec: TaskSpec, signal: AbortSignal): Promise<Task> {
    if (spec.isAhead === true) this.signalsAhead.add(signal)
    const task = new PlayedTask(spec)
    await this.onStart(task)
    this.tasks.push(task)
    return task
  }

  capacity(): Promise<Capacity> {
    return Promise.resolve({ cpus: 2, memoryBytes: 4 * GIB, gpus: [] })
  }

  reap(): Promise<number> {
    return Promise.resolve(0)
  }

  close(): Promise<void> {
    this.isClosed = true
    return Promise.resolve()
  }

  get parked(): PlayedTask[] {
    return this.tasks.filter((task) => task.name.startsWith('evaluator-warm-') && !task.isDisposed)
  }
}

let jobs = 0

function specOf(more: Partial<TaskSpec> = {}): TaskSpec {
  jobs += 1
  return {
    name: `evaluator-job-${jobs}`,
    kind: 'evaluator',
    image: 'problem:1',
    environment: { A: '1' },
    limits: {},
    keep: false,
    ...more,
  }
}

function setUp(options: Partial<WarmPoolOptions> = {}) {
  const clock = new ManualClock()
  const executor = new PlayedExecutor()
  const drain = new AbortController()
  const records: LogRecord[] = []
  const log = createLogger((record) => records.push(record), 'DEBUG')
  const settings = {
    perSlot: 1,
    slots: 1,
    idleMs: 60_000,
    jobs: 0,
    drain: drain.signal,
    clock,
    log,
    ...options,
  }
  const pool = createWarmPool(executor, settings)
  const signal = new AbortController().signal

  async function run(spec: TaskSpec, abort: AbortSignal = signal): Promise<string> {
    await pool.pull(spec.image, signal)
    const result = await runTask(
      pool,
      {
        spec,
        input: Buffer.from('input'),
        timeoutMs: 1000,
        stopGraceSeconds: 0,
        maxLineBytes: 1000,
        maxTotalBytes: 10_000,
        stderrTailBytes: 100,
      },
      { signal: abort, log, timeline: new Timeline(clock) },
    )
    await settle()
    return result.lastLine.state === 'line'
      ? Buffer.from(result.lastLine.bytes).toString()
      : result.lastLine.state
  }
  return { clock, executor, drain, records, pool, signal, run }
}

describe('a warm pool', () => {
  it('starts the task of the next job after a job, and gives it its input and its name', async () => {
    const { executor, run } = setUp()
    await run(specOf())
    expect(executor.tasks).toHaveLength(2)
    expect(executor.parked).toHaveLength(1)
    const [parked] = executor.parked
    const next = specOf()
    expect(await run(next)).toBe('{"ok":1}')
    expect(parked).toMatchObject({ name: next.name, input: 'input', isDisposed: true })
    expect(executor.tasks).toHaveLength(3)
  })

  it('starts all of them under one signal, which ends with the drain and leaves nothing behind', async () => {
    const { executor, drain, run } = setUp()
    for (let n = 0; n < 3; n += 1) await run(specOf())
    expect(executor.tasks.length).toBeGreaterThan(3)
    expect(executor.signalsAhead.size).toBe(1)
    const [signal] = executor.signalsAhead
    drain.abort()
    expect(signal?.aborted).toBe(true)
  })

  it('orders it while a long job runs, but leaves the processor to the job at first', async () => {
    const { executor, clock, run } = setUp()
    executor.onStart = (task) => {
      task.onInput = () => undefined
    }
    const running = run(specOf())
    await clock.advance(100)
    expect(executor.tasks).toHaveLength(1)
    await clock.advance(150)
    expect(executor.parked).toHaveLength(1)
    executor.tasks[0]?.end(0)
    await running
    expect(executor.parked).toHaveLength(1)
  })

  it.each([
    ['another image', { image: 'problem:2' }],
    ['another environment', { environment: { A: '2' } }],
    ['another command', { command: ['x'] }],
    ['other limits', { limits: { cpus: 1 } }],
  ])('gives no task to a job with %s', async (_what, more) => {
    const { executor, run } = setUp()
    await run(specOf())
    const [parked] = executor.parked
    await run(specOf(more))
    expect(parked?.input).toBeUndefined()
  })

  it.each([
    ['rm: false', { keep: true }],
    ['files', { mounts: [{ source: '/a', target: '/a', readOnly: true }] }],
  ])('parks nothing under %s', async (_what, more) => {
    const { executor, run } = setUp()
    await run(specOf(more))
    await run(specOf(more))
    expect(executor.tasks).toHaveLength(2)
  })

  it('is off with 0 per slot', async () => {
    const { executor, run } = setUp({ perSlot: 0 })
    await run(specOf())
    expect(executor.tasks).toHaveLength(1)
  })

  it('parks as many as there were jobs at a time, and not more than slots', async () => {
    const { executor, run, clock } = setUp({ slots: 4 })
    await Promise.all([run(specOf()), run(specOf()), run(specOf())])
    await clock.advance(1000)
    expect(executor.parked).toHaveLength(3)
    await Promise.all(Array.from({ length: 9 }, () => run(specOf())))
    await clock.advance(1000)
    expect(executor.parked).toHaveLength(4)
  })

  it('parks no more than there are processors while jobs run, and the rest when they have ended', async () => {
    const { executor, run, clock } = setUp({ slots: 3, processors: 1 })
    executor.onStart = (task) => {
      task.onInput = () => undefined
    }
    const running = [run(specOf()), run(specOf()), run(specOf())]
    await clock.advance(1000)
    expect(executor.parked).toHaveLength(1)
    for (const task of executor.tasks.slice(0, 3)) task.end(0)
    await Promise.all(running)
    await clock.advance(1000)
    expect(executor.parked).toHaveLength(3)
  })

  it('leaves the start to the next job itself where the processors are busy and it comes at once', async () => {
    const { executor, run, clock } = setUp({ slots: 3, processors: 1 })
    executor.onStart = (task) => {
      task.onInput = () => undefined
    }
    const running = [run(specOf()), run(specOf()), run(specOf())]
    await clock.advance(10)
    executor.tasks[0]?.end(0)
    await running[0]
    await clock.advance(10)
    executor.onStart = async (task) => {
      task.onInput = () => undefined
      await clock.sleep(100)
    }
    running.push(run(specOf()))
    await clock.advance(150)
    expect(executor.tasks.filter(({ spec }) => spec.isAhead === true)).toHaveLength(0)
    await clock.advance(1000)
    expect(executor.parked).toHaveLength(1)
    for (const task of executor.tasks.slice(1, 4)) task.end(0)
    await Promise.all(running)
  })

  it('parks none for which no job will come', async () => {
    const { executor, run, drain } = setUp({ jobs: 2 })
    await run(specOf())
    expect(executor.parked).toHaveLength(1)
    await run(specOf())
    expect(executor.tasks).toHaveLength(2)
    drain.abort()
    const other = setUp()
    other.drain.abort()
    await other.run(specOf())
    expect(other.executor.tasks).toHaveLength(1)
  })

  it('lets them go after their idle time, on a drain, and when closed', async () => {
    const { executor, run, clock } = setUp({ idleMs: 5000 })
    await run(specOf())
    await clock.advance(4000)
    expect(executor.parked).toHaveLength(1)
    await clock.advance(3000)
    expect(executor.parked).toHaveLength(0)

    const drained = setUp()
    await drained.run(specOf())
    drained.drain.abort()
    await settle()
    expect(drained.executor.parked).toHaveLength(0)

    const closed = setUp()
    await closed.run(specOf())
    await closed.pool.close()
    expect(closed.executor.parked).toHaveLength(0)
    expect(closed.executor.isClosed).toBe(true)
  })

  it('waits at its close for a task that is just being started, and removes it', async () => {
    const { executor, run, pool } = setUp()
    let go: () => void = () => undefined
    await run(specOf()).then(() => undefined)
    executor.onStart = () =>
      new Promise<void>((resolve) => {
        go = resolve
      })
    await run(specOf())
    const closing = pool.close()
    await settle()
    go()
    await closing
    expect(executor.tasks.every((task) => task.isDisposed)).toBe(true)
  })

  it('gives a job the task that is just being started', async () => {
    const { executor, run } = setUp()
    let go: () => void = () => undefined
    await run(specOf())
    executor.onStart = (task) =>
      task.name.includes('warm')
        ? new Promise<void>((resolve) => {
            go = resolve
          })
        : undefined
    await run(specOf())
    const third = run(specOf())
    await settle()
    go()
    await third
    expect(executor.tasks.filter((task) => task.spec.name.includes('warm'))).toHaveLength(2)
    expect(executor.tasks.filter((task) => !task.spec.name.includes('warm'))).toHaveLength(1)
  })

  it('removes the task whose job was aborted while it was being started', async () => {
    const { executor, run, pool } = setUp()
    const starts: (() => void)[] = []
    await run(specOf())
    executor.onStart = () => new Promise<void>((resolve) => starts.push(resolve))
    await run(specOf())
    const stop = new AbortController()
    const third = run(specOf(), stop.signal)
    await settle()
    stop.abort(new Error('stopped'))
    await expect(third).rejects.toThrow('stopped')
    expect(starts).toHaveLength(2)
    starts[0]?.()
    await settle()
    expect(executor.tasks).toHaveLength(3)
    expect(executor.tasks[2]?.isDisposed).toBe(true)
    const closing = pool.close()
    starts[1]?.()
    await closing
    expect(executor.tasks[3]?.isDisposed).toBe(true)
  })
})

describe('doubt', () => {
  it('gives a job its own task when the parked one has ended, and parks that image never again', async () => {
    const { executor, run, records } = setUp()
    await run(specOf())
    executor.parked[0]?.print('{"forged":1}\n')
    executor.parked[0]?.end(0)
    await settle()
    expect(executor.parked).toHaveLength(0)
    expect(await run(specOf())).toBe('{"ok":1}')
    expect(await run(specOf())).toBe('{"ok":1}')
    expect(executor.tasks).toHaveLength(4)
    expect(records.filter(({ level }) => level === 'INFO')).toHaveLength(1)
  })

  it('notices a dead one before the engine has said so', async () => {
    const { executor, run } = setUp()
    await run(specOf())
    const [parked] = executor.parked
    if (parked !== undefined) parked.isAlive = false
    const job = run(specOf())
    await settle()
    parked?.end(1)
    expect(await job).toBe('{"ok":1}')
    expect(parked).toMatchObject({ input: undefined, isDisposed: true })
  })

  it('begins anew when the parked one ended in the moment in which its input came', async () => {
    const { executor, run } = setUp()
    await run(specOf())
    const [parked] = executor.parked
    if (parked !== undefined) {
      parked.isRunning = () => {
        // The last true word about it.
        parked.isRunning = () => Promise.resolve(false)
        parked.end(1)
        return Promise.resolve(true)
      }
    }
    expect(await run(specOf())).toBe('{"ok":1}')
    expect(executor.tasks).toHaveLength(3)
    expect(executor.tasks.every((task) => task.isDisposed)).toBe(true)
  })

  it('does not take a quick program for one that had ended', async () => {
    const { executor, run } = setUp()
    await run(specOf())
    const [parked] = executor.parked
    if (parked !== undefined) {
      parked.onInput = (task) => {
        setTimeout(() => {
          task.print('{"quick":1}\n')
          task.end(3)
        }, 5)
      }
      let asked = 0
      parked.isRunning = () => Promise.resolve((asked += 1) === 1)
    }
    expect(await run(specOf())).toBe('{"quick":1}')
  })

  it('parks again after an engine that went away, but nothing until a job came', async () => {
    const { executor, run } = setUp()
    await run(specOf())
    executor.parked[0]?.breakDown()
    await settle()
    expect(executor.parked).toHaveLength(0)
    expect(await run(specOf())).toBe('{"ok":1}')
    expect(executor.parked).toHaveLength(1)
  })

  it('throws parked tasks of an older content of the image away', async () => {
    const { executor, run } = setUp()
    await run(specOf())
    const [old] = executor.parked
    executor.imageId = 'sha256:2'
    await run(specOf())
    expect(old).toMatchObject({ input: undefined, isDisposed: true })
    expect(executor.parked).toHaveLength(1)
  })

  it('says nothing of a start ahead that fails, and tries it again after the next job', async () => {
    const { executor, run, records } = setUp()
    executor.onStart = (task) => {
      if (task.name.includes('warm')) throw new RetryableError('engine', 'no')
    }
    await run(specOf())
    expect(records.filter(({ level }) => level !== 'DEBUG')).toEqual([])
    executor.onStart = () => undefined
    await run(specOf())
    expect(executor.parked).toHaveLength(1)
  })
})

describe('what parked tasks occupy', () => {
  it('stays below a quarter of the memory', async () => {
    const { executor, run, clock, records } = setUp({ slots: 4 })
    executor.onStart = (task) => {
      task.memory = 0.4 * GIB
    }
    await Promise.all([run(specOf()), run(specOf()), run(specOf())])
    await clock.advance(3000)
    expect(executor.parked).toHaveLength(2)
    await Promise.all([run(specOf()), run(specOf()), run(specOf())])
    await clock.advance(3000)
    expect(executor.parked).toHaveLength(2)
    expect(records.filter(({ level }) => level === 'INFO')).toHaveLength(1)
  })

  it('gives way to a job that may need it', async () => {
    const { executor, run, clock } = setUp()
    executor.onStart = (task) => {
      task.memory = 0.5 * GIB
    }
    await run(specOf())
    await clock.advance(2000)
    const [parked] = executor.parked
    await run(specOf({ image: 'big:1', limits: { memoryBytes: 3.8 * GIB } }))
    expect(parked?.isDisposed).toBe(true)
  })

  it('gives its GPU to a job that finds none free', async () => {
    const { executor, run } = setUp()
    let free = 1
    executor.onStart = (task) => {
      if (task.spec.gpus === undefined) return
      if (free === 0) throw new NotYetError('no GPU is free', 5)
      free -= 1
      task.onDisposed = () => (free += 1)
    }
    await run(specOf({ gpus: 1 }))
    expect(executor.parked).toHaveLength(1)
    expect(await run(specOf({ gpus: 1, image: 'other:1' }))).toBe('{"ok":1}')
    expect(executor.tasks[1]).toMatchObject({ input: undefined, isDisposed: true })
  })

  it("gives its place to another match's only when its own is not asked for any more", async () => {
    const { executor, run, clock } = setUp()
    await run(specOf())
    const [parked] = executor.parked
    await run(specOf({ image: 'other:1' }))
    expect(executor.parked).toEqual([parked])
    await clock.advance(6000)
    await run(specOf({ image: 'other:1' }))
    expect(executor.parked.map(({ spec }) => spec.image)).toEqual(['other:1'])
  })
})
