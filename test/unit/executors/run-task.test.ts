import { describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { RetryableError, StoppedError } from '../../../src/core/errors.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { Timeline } from '../../../src/core/timeline.ts'
import { ImageError } from '../../../src/executors/executor.ts'
import { runTask, taskName, type RunRequest, type RunResult } from '../../../src/executors/run-task.ts'
import { ScriptedExecutor, type Script } from '../../support/scripted-executor.ts'

interface Options extends Partial<Omit<RunRequest, 'spec'>> {
  keep?: boolean
  image?: string
  signal?: AbortSignal
}

function setUp(script: Script) {
  const executor = new ScriptedExecutor({ image: script })
  const records: LogRecord[] = []
  const timeline = new Timeline(systemClock)
  const run = ({
    keep = false,
    image = 'image',
    signal = new AbortController().signal,
    ...rest
  }: Options = {}): Promise<RunResult> =>
    runTask(
      executor,
      {
        spec: {
          name: taskName('evaluator', 'job'),
          kind: 'evaluator',
          image,
          environment: {},
          limits: {},
          keep,
        },
        input: Buffer.from('input'),
        timeoutMs: 10_000,
        stopGraceSeconds: 0.05,
        maxLineBytes: 1000,
        maxTotalBytes: 100_000,
        stderrTailBytes: 10,
        ...rest,
      },
      { signal, log: createLogger((record) => records.push(record), 'DEBUG'), timeline },
    )
  return { executor, records, timeline, run }
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

describe('runTask', () => {
  it('gives the input, and brings the last line, the end of stderr and the exit code', async () => {
    const { run, executor, timeline } = setUp((input) => ({
      stdout: `chatter\n${input}!`,
      stderr: 'a long tale of woe',
      exitCode: 3,
    }))
    const result = await run()
    expect(result).toMatchObject({ verdict: 'exited', exitCode: 3, lastLine: { state: 'line' } })
    expect(text(result.lastLine.bytes)).toBe('input!')
    expect(text(result.stderrTail)).toBe('ale of woe')
    expect(executor.present.size).toBe(0)
    expect(timeline.startedAt).toBeInstanceOf(Date)
    expect(Object.keys(timeline.phases())).toEqual(['create', 'start', 'run'])
    expect(timeline.current).toBeUndefined()
  })

  it('takes its input in parts', async () => {
    async function* parts(): AsyncGenerator<Uint8Array> {
      await Promise.resolve()
      yield Buffer.from('a')
      yield Buffer.from('b')
    }
    const { run } = setUp((input) => ({ stdout: input }))
    expect(text((await run({ input: parts() })).lastLine.bytes)).toBe('ab')
  })

  it.each([true, false])('kills a task whose time is over (SIGTERM ignored: %s)', async (ignoresTerm) => {
    const { run, executor } = setUp(() => ({ stdout: 'so far\n', neverEnds: true, ignoresTerm }))
    const result = await run({ timeoutMs: 30 })
    expect(result.verdict).toBe('timeout')
    expect(executor.present.size).toBe(0)
  })

  it('kills a task that floods, by stdout and stderr together', async () => {
    const { run, executor } = setUp(() => ({
      stdout: 'x'.repeat(60),
      stderr: 'y'.repeat(60),
      neverEnds: true,
    }))
    expect((await run({ maxTotalBytes: 100 })).verdict).toBe('flood')
    expect(executor.present.size).toBe(0)
  })

  it('does not call a task a flood that prints just what it may', async () => {
    const { run } = setUp(() => ({ stdout: 'x'.repeat(60), stderr: 'y'.repeat(40) }))
    expect((await run({ maxTotalBytes: 100 })).verdict).toBe('exited')
  })

  it('knows out of memory by the engine and a failure, not by a child that died', async () => {
    const died = setUp(() => ({ oomKilled: true, exitCode: 137 }))
    expect((await died.run()).verdict).toBe('out_of_memory')
    const survived = setUp(() => ({ oomKilled: true, exitCode: 0, stdout: '{}' }))
    expect((await survived.run()).verdict).toBe('exited')
    const chose = setUp(() => ({ exitCode: 137 }))
    expect(await chose.run()).toMatchObject({ verdict: 'exited', exitCode: 137 })
  })

  it('throws the reason of an abort, whenever it comes, and leaves nothing behind', async () => {
    const { run, executor } = setUp(() => ({ neverEnds: true }))
    const stop = new AbortController()
    const running = run({ signal: stop.signal })
    setTimeout(() => {
      stop.abort(new StoppedError('second signal'))
    }, 30)
    await expect(running).rejects.toThrow(StoppedError)
    await expect(run({ signal: stop.signal })).rejects.toThrow(StoppedError)
    expect(executor.present.size).toBe(0)
  })

  it('passes on what the engine does, and what the input does', async () => {
    const gone = setUp(() => ({ waitError: new RetryableError('engine', 'gone') }))
    await expect(gone.run()).rejects.toThrow(RetryableError)
    expect(gone.executor.present.size).toBe(0)
    await expect(gone.run({ image: 'nope' })).rejects.toThrow(ImageError)
    function* broken(): Generator<Uint8Array> {
      yield Buffer.from('half')
      throw new RangeError('source broke')
    }
    const half = setUp(() => ({}))
    await expect(half.run({ input: broken() })).rejects.toThrow('source broke')
    expect(half.executor.present.size).toBe(0)
  })

  it('keeps the task when told, and says how to read its output', async () => {
    const { run, executor, records } = setUp(() => ({ stdout: '{}' }))
    await run({ keep: true })
    const [name] = executor.present
    expect(records.find(({ level }) => level === 'INFO')?.fields).toMatchObject({
      container: name,
      logs: `docker logs ${String(name)}`,
    })
  })

  it('counts a timeout beyond what a timer can hold as never', async () => {
    const { run } = setUp(() => ({ stdout: 'ok', delayMs: 20 }))
    expect((await run({ timeoutMs: 2 ** 40 })).verdict).toBe('exited')
  })
})

describe('taskName', () => {
  it('is unique and fit for a container', () => {
    const names = Array.from({ length: 100 }, () => taskName('evaluator', 'Team#1/ä x_00001'))
    expect(new Set(names).size).toBe(100)
    for (const name of names) expect(name).toMatch(/^evaluator-Team-1-x-00001-[0-9a-f]{8}$/)
    expect(taskName('scorer', 'x'.repeat(1000)).length).toBeLessThan(128)
  })
})
