import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { RetryableError } from '../../../src/core/errors.ts'
import { createLogger } from '../../../src/core/log.ts'
import type { Executor, Task, TaskSpec, Usage } from '../../../src/executors/executor.ts'
import { EndedBeforeInputError, PooledTask } from '../../../src/executors/pooled-task.ts'
import { runProgram, type ProgramRequest, type ProgramResult } from '../../../src/executors/run-program.ts'
import { ScriptedExecutor, type Script } from '../../support/scripted-executor.ts'

const log = createLogger(() => undefined)
const SPEC: TaskSpec = { name: 'n', kind: 'code-exec', image: 'i', environment: {}, limits: {}, keep: false }

/** The same executor, each of whose tasks goes through a hand. */
function through(executor: ScriptedExecutor, hand: (task: Task) => Task): Executor {
  return {
    name: 'through',
    probe: () => executor.probe(),
    pull: (image, signal) => executor.pull(image, signal),
    start: async (spec, signal, onPhase) => hand(await executor.start(spec, signal, onPhase)),
    capacity: () => executor.capacity(),
    reap: () => executor.reap(),
    close: () => executor.close(),
  }
}

async function run(
  script: Script,
  request: Partial<ProgramRequest> = {},
  { hand = (task: Task) => task, signal = new AbortController().signal } = {},
): Promise<ProgramResult & { present: number }> {
  const executor = new ScriptedExecutor({ i: script })
  const result = await runProgram(
    through(executor, hand),
    {
      spec: SPEC,
      input: Buffer.from('in'),
      wallTimeMs: 60_000,
      cpuTimeMs: 60_000,
      outputBytes: 1000,
      ...request,
    },
    { signal, clock: systemClock, log },
  )
  return { ...result, present: executor.present.size }
}

function text({ stdout, stderr }: ProgramResult): unknown {
  return [
    [stdout.bytes.toString(), stdout.totalBytes],
    [stderr.bytes.toString(), stderr.totalBytes],
  ]
}

/** A task that has used so much CPU time, growing with each look. */
function using(steps: readonly Usage[]): (task: Task) => Task {
  return (task) => {
    let looks = 0
    task.usage = () => Promise.resolve(steps[Math.min(looks++, steps.length - 1)] ?? {})
    return task
  }
}

describe('a program', () => {
  test('gets its input, and all that it prints is kept', async () => {
    const result = await run((input) => ({ stdout: `got ${input}`, stderr: 'warn', exitCode: 3 }))
    expect(result).toMatchObject({
      killedFor: undefined,
      exitCode: 3,
      oomKilled: false,
      usage: {},
      isWarm: false,
      present: 0,
    })
    expect(text(result)).toEqual([
      ['got in', 6],
      ['warn', 4],
    ])
    expect(result.wallMs).toBeGreaterThanOrEqual(0)
  })

  test('that prints just what it may is not killed, and one byte more is too much', async () => {
    const fits = await run(() => ({ stdout: 'x'.repeat(600), stderr: 'y'.repeat(400) }))
    expect(fits.killedFor).toBeUndefined()
    // What stderr has taken is missing to stdout; its beginning is kept all the same.
    const flood = await run(() => ({ stdout: 'x'.repeat(601), stderr: 'y'.repeat(400), neverEnds: true }))
    expect(flood).toMatchObject({ killedFor: 'output', present: 0 })
    expect(text(flood)).toEqual([
      ['x'.repeat(600), 601],
      ['y'.repeat(400), 400],
    ])
    expect(await run(() => ({ stdout: 'x'.repeat(1001) }))).toMatchObject({ killedFor: 'output' })
  })

  test('that works too long is killed, and what it printed is kept', async () => {
    const result = await run(() => ({ stdout: 'before', neverEnds: true }), { wallTimeMs: 30 })
    expect(result).toMatchObject({ killedFor: 'wall_time', exitCode: 137 })
    expect(result.stdout.bytes.toString()).toBe('before')
    expect(result.wallMs).toBeGreaterThanOrEqual(29)
  })

  test('that uses too much CPU time is killed', async () => {
    const steps = [{ cpuMs: 10 }, { cpuMs: 90, memoryPeakBytes: 7 }, { cpuMs: 120 }, {}]
    const result = await run(() => ({ neverEnds: true }), { cpuTimeMs: 100 }, { hand: using(steps) })
    expect(result).toMatchObject({ killedFor: 'cpu_time', usage: { cpuMs: 120, memoryPeakBytes: 7 } })
  })

  test('whose use nobody knows runs on, and a look at its end counts', async () => {
    const unknown = await run(() => ({ delayMs: 150 }), { cpuTimeMs: 1 })
    expect(unknown).toMatchObject({ killedFor: undefined, usage: {} })
    const known = await run(() => ({}), { cpuTimeMs: 100 }, { hand: using([{ cpuMs: 5000 }]) })
    expect(known).toMatchObject({ killedFor: undefined, usage: { cpuMs: 5000 } })
  })

  test('that is wanted no more is killed, before it begins too', async () => {
    const cancel = new AbortController()
    const result = await run(() => ({ stdout: 'on', neverEnds: true }), {
      cancel: cancel.signal,
      onOutput: () => {
        cancel.abort()
      },
    })
    expect(result).toMatchObject({ killedFor: 'canceled', present: 0 })
    expect(result.stdout.bytes.toString()).toBe('on')
    expect(await run(() => ({ neverEnds: true }), { cancel: AbortSignal.abort() })).toMatchObject({
      killedFor: 'canceled',
    })
  })

  test('is killed for the first reason only', async () => {
    const result = await run(
      () => ({ stdout: 'x'.repeat(2000), neverEnds: true }),
      { wallTimeMs: 20 },
      {
        hand: (task) => {
          const kill = task.kill.bind(task)
          task.kill = async (grace) => {
            expect(grace).toBe(0)
            await new Promise((resolve) => setTimeout(resolve, 40))
            await kill(grace)
          }
          return task
        },
      },
    )
    expect(result.killedFor).toBe('output')
  })

  test('has ended when it has, however late its output is taken', async () => {
    const result = await run(() => ({ stdout: 'x' }), {
      wallTimeMs: 30,
      onOutput: () => new Promise((resolve) => setTimeout(resolve, 60)),
    })
    expect(result.killedFor).toBeUndefined()
  })

  test('is heard as far as it is kept', async () => {
    const heard: string[] = []
    await run(() => ({ stdout: 'x'.repeat(1500), stderr: 'err' }), {
      onOutput: ({ stream, data }) => {
        heard.push(`${stream} ${String(data.length)}`)
      },
    })
    expect(heard).toEqual(['stderr 3', 'stdout 997'])
  })

  test('whose engine fails, and a stop, are no result, and leave nothing', async () => {
    const failure = new RetryableError('engine', 'gone')
    await expect(run(() => ({ waitError: failure }))).rejects.toBe(failure)
    const reason = new Error('stop')
    const stop = new AbortController()
    setTimeout(() => {
      stop.abort(reason)
    }, 20)
    await expect(run(() => ({ neverEnds: true }), {}, { signal: stop.signal })).rejects.toBe(reason)
    const broken = run(
      () => ({ neverEnds: true }),
      { wallTimeMs: 20 },
      {
        hand: (task) => {
          task.kill = () => Promise.reject(failure)
          return task
        },
      },
    )
    await expect(broken).rejects.toBe(failure)
  })

  test('that was started ahead says so; one that ended before its input is another one’s', async () => {
    const on = { endedBeforeInput: () => undefined, disposed: () => undefined }
    const warm = await run(
      () => ({ stdout: 'x' }),
      {},
      { hand: (task) => new PooledTask(using([{ cpuMs: 3 }])(task), on) },
    )
    expect(warm).toMatchObject({ isWarm: true, usage: { cpuMs: 3 } })
    const names = new Set<string>()
    const again = await run(
      () => ({ stdout: 'x' }),
      {},
      {
        hand: (task) => {
          names.add(task.name)
          if (names.size === 1) task.wait = () => Promise.reject(new EndedBeforeInputError('it had ended'))
          return task
        },
      },
    )
    // The first may still have its name.
    expect([again.stdout.bytes.toString(), names.size]).toEqual(['x', 2])
  })
})
