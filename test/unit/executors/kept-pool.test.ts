import { beforeEach, describe, expect, it } from 'vitest'
import { NotYetError, RetryableError, StoppedError } from '../../../src/core/errors.ts'
import type { OutputChunk } from '../../../src/executors/executor.ts'
import {
  KeptDeath,
  KeptFailure,
  type KeptCall,
  type KeptPool,
  type KeptSpec,
} from '../../../src/executors/kept.ts'
import { createKeptPool } from '../../../src/executors/kept-pool.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'
import { signalTraces } from '../../support/signal-traces.ts'
import { FakeExecutor, fakeOf, keptSpec, recordingLog, type FakeTask } from './kept-fakes.ts'

const never = new AbortController().signal

let executor: FakeExecutor
let clock: ManualClock
let pool: KeptPool

function open(maxWarm = { gpu: 1, cpu: 3 }): void {
  executor = new FakeExecutor()
  clock = new ManualClock()
  pool = createKeptPool({ executor, maxWarm, clock, log: recordingLog().log })
}

function task(index = 0): FakeTask {
  const found = executor.tasks[index]
  if (found === undefined) throw new Error(`no task ${index}`)
  return found
}

async function later<T>(promise: Promise<T>): Promise<{ value?: T; error?: unknown }> {
  let outcome: { value?: T; error?: unknown } = {}
  promise.then(
    (value) => (outcome = { value }),
    (error: unknown) => (outcome = { error }),
  )
  await settle()
  return outcome
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
}

const state = (): unknown => pool.states().map((each) => each.state)

beforeEach(() => {
  open()
})

describe('a kept container', () => {
  it('serves call after call, and nothing is started for the second', async () => {
    const first = await pool.acquire(keptSpec('a'), never)
    expect([first.isWarm, state()]).toEqual([false, ['busy']])
    first.release('ok')
    expect(state()).toEqual(['ready'])
    const asked = task().asked
    const second = await pool.acquire(keptSpec('a'), never)
    expect([second.isWarm, second.coldStartMs, second.task === first.task]).toEqual([true, 0, true])
    expect([executor.tasks.length, task().asked]).toEqual([1, asked])
    expect(task().spec).toMatchObject({ isUnique: true, image: 'image-a' })
    second.release('ok')
    second.release('broken')
    expect(state()).toEqual(['ready'])
  })

  it('is loaded once for all who wait, and says in which phase it is', async () => {
    executor.onStart = (each) => (each.isReady = false)
    const phases: string[][] = [[], []]
    const spec = keptSpec('a', { maxConcurrency: 2 })
    const calls = phases.map((list) => pool.acquire(spec, never, (phase) => list.push(phase)))
    await settle()
    expect(state()).toEqual(['loading'])
    await clock.advance(300)
    const late: string[] = []
    calls.push(pool.acquire(spec, never, (phase) => late.push(phase)))
    task().isReady = true
    await clock.advance(500)
    const [one, two] = await Promise.all(calls.slice(0, 2))
    expect(phases).toEqual([
      ['create', 'start', 'load'],
      ['create', 'start', 'load'],
    ])
    expect(late).toEqual(['load'])
    expect(one?.coldStartMs).toBeGreaterThanOrEqual(300)
    expect([one?.isWarm, two?.isWarm, executor.tasks.length, pool.states()[0]?.calls]).toEqual([
      false,
      false,
      1,
      2,
    ])
    one?.release('ok')
    await calls[2]
  })

  it('takes no more calls at a time than it may, first come, first served', async () => {
    const spec = keptSpec('a', { maxConcurrency: 2 })
    const held = [await pool.acquire(spec, never), await pool.acquire(spec, never)]
    const order: number[] = []
    const waiting = [1, 2, 3].map(async (n) => {
      const call = await pool.acquire(spec, never)
      order.push(n)
      return call
    })
    await settle()
    expect([order, pool.states()[0]?.calls, executor.tasks.length]).toEqual([[], 2, 1])
    held[0]?.release('ok')
    await settle()
    expect([order, pool.states()[0]?.calls]).toEqual([[1], 2])
    held[1]?.release('ok')
    ;(await waiting[0])?.release('ok')
    await settle()
    expect(order).toEqual([1, 2, 3])
  })

  it('lets go of who gives up waiting for a place', async () => {
    const held = await pool.acquire(keptSpec('a'), never)
    const gaveUp = new AbortController()
    const waiting = pool.acquire(keptSpec('a'), gaveUp.signal)
    await settle()
    gaveUp.abort(new Error('gave up'))
    await expect(waiting).rejects.toThrow('gave up')
    held.release('ok')
    expect(state()).toEqual(['ready'])
  })

  it('goes when nobody asks for it any more; for ever, at once, or the last word counts', async () => {
    const call = await pool.acquire(keptSpec('a', { keepAliveMs: 5000 }), never)
    await clock.advance(60_000)
    call.release('ok')
    await clock.advance(4999)
    expect(state()).toEqual(['ready'])
    ;(await pool.acquire(keptSpec('a', { keepAliveMs: 5000 }), never)).release('ok')
    await clock.advance(4999)
    expect(task().isDisposed).toBe(false)
    await clock.advance(2)
    expect([task().isDisposed, pool.states()]).toEqual([true, []])
    ;(await pool.acquire(keptSpec('a'), never)).release('ok')
    await clock.advance(1e12)
    expect(task(1).isDisposed).toBe(false)
    ;(await pool.acquire(keptSpec('a', { keepAliveMs: 0 }), never)).release('ok')
    await settle()
    expect([task(1).isDisposed, pool.states()]).toEqual([true, []])
  })

  it('is replaced after five failures in a row, not after five in all', async () => {
    const end = async (how: 'ok' | 'failed'): Promise<void> => {
      ;(await pool.acquire(keptSpec('a'), never)).release(how)
    }
    for (let n = 0; n < 4; n += 1) await end('failed')
    await end('ok')
    for (let n = 0; n < 4; n += 1) await end('failed')
    expect(executor.tasks).toHaveLength(1)
    await end('failed')
    await end('ok')
    expect([executor.tasks.length, task().isDisposed]).toEqual([2, true])
  })

  it('is replaced at once when a call has broken it, though others are let end', async () => {
    const spec = keptSpec('a', { maxConcurrency: 2 })
    const [bad, good] = [await pool.acquire(spec, never), await pool.acquire(spec, never)]
    bad.release('broken')
    const next = pool.acquire(spec, never)
    await settle()
    expect([state(), executor.tasks.length, good.died.aborted]).toEqual([['stopping'], 1, false])
    good.release('ok')
    const call = await next
    expect([executor.tasks.length, call.isWarm, task().isDisposed]).toEqual([2, false, true])
  })
})

describe('after a call that was given up', () => {
  it('it takes no other before it has shown that it is idle', async () => {
    const first = await pool.acquire(keptSpec('a'), never)
    task().isIdle = false
    await first[Symbol.asyncDispose]()
    const next = later(pool.acquire(keptSpec('a'), never))
    await clock.advance(3000)
    expect([state(), (await next).value]).toEqual([['suspect'], undefined])
    task().isIdle = true
    const second = pool.acquire(keptSpec('a'), never)
    await clock.advance(500)
    expect(state()).toEqual(['busy'])
    expect(executor.tasks).toHaveLength(1)
    void second
  })

  it.each(['stays busy', 'does not answer', 'fails'])('it is replaced when it %s', async (what) => {
    const isIdle = (): Promise<boolean> => {
      if (what === 'fails') return Promise.reject(new Error('broken'))
      return what === 'stays busy' ? Promise.resolve(false) : new Promise<boolean>(() => undefined)
    }
    const first = await pool.acquire(keptSpec('a', { isIdle }), never)
    first.release('abandoned')
    const next = pool.acquire(keptSpec('a'), never)
    await clock.advance(9000)
    expect(executor.tasks).toHaveLength(1)
    await clock.advance(2000)
    await next
    expect([executor.tasks.length, task().isDisposed]).toEqual([2, true])
  })

  it('it proves itself when the other calls have ended', async () => {
    const spec = keptSpec('a', { maxConcurrency: 2 })
    const [given, other] = [await pool.acquire(spec, never), await pool.acquire(spec, never)]
    given.release('abandoned')
    let isIn = false
    const next = pool.acquire(spec, never).then((call) => {
      isIn = true
      return call
    })
    await settle()
    expect([state(), isIn]).toEqual([['suspect'], false])
    other.release('ok')
    expect((await next).isWarm).toBe(true)
    expect(executor.tasks).toHaveLength(1)
  })
})

describe('a container that dies', () => {
  it('tells its calls at once, and is replaced', async () => {
    const call = await pool.acquire(keptSpec('a'), never)
    task().print('what it said last\n')
    task().end({ exitCode: 3 })
    await settle()
    expect(call.died.reason).toBeInstanceOf(KeptDeath)
    expect(call.died.reason).toMatchObject({ exitCode: 3, oomKilled: false, logsTail: 'what it said last\n' })
    call.release('broken')
    const next = await pool.acquire(keptSpec('a'), never)
    expect([next.isWarm, executor.tasks.length]).toEqual([false, 2])
  })

  it('is noticed while it is idle', async () => {
    ;(await pool.acquire(keptSpec('a'), never)).release('ok')
    task().end()
    await settle()
    expect(pool.states()).toEqual([])
  })

  it.each([
    [{ exitCode: 1 }, '', 'setup_failed'],
    [{ exitCode: 137, oomKilled: true }, '', 'oom_killed'],
    [{ exitCode: 1 }, 'RuntimeError: CUDA out of memory. Tried', 'gpu_oom'],
  ] as const)('fails at once while it loads: %o %s', async (exit, words, reason) => {
    executor.onStart = (each) => (each.isReady = false)
    const waiting = [failure(pool.acquire(keptSpec('a'), never)), failure(pool.acquire(keptSpec('a'), never))]
    await settle()
    task().print(`loading\n${words}`)
    task().end(exit)
    await settle()
    for (const error of await Promise.all(waiting)) {
      expect(error).toBeInstanceOf(KeptFailure)
      expect(error).toMatchObject({ reason, logsTail: `loading\n${words}` })
    }
    expect(pool.states()).toEqual([])
  })

  it('is the engine’s fault when the engine says so', async () => {
    executor.onStart = (each) => (each.isReady = false)
    const waiting = failure(pool.acquire(keptSpec('a'), never))
    await settle()
    const gone = new RetryableError('engine', 'the engine went away')
    task().loseEngine(gone)
    await settle()
    expect(await waiting).toBe(gone)
    executor.onStart = () => undefined
    const call = await pool.acquire(keptSpec('a'), never)
    task(1).loseEngine(gone)
    await settle()
    expect((call.died.reason as KeptDeath).cause).toBe(gone)
  })

  it('is given up when it dies whenever it is ready', async () => {
    const spec = keptSpec('a', {
      isReady: (each) => {
        fakeOf(each).end()
        return Promise.resolve('ready')
      },
    })
    expect(await failure(pool.acquire(spec, never))).toBeInstanceOf(KeptFailure)
  })
})

describe('loading', () => {
  it('fails when it takes too long, with what was printed last', async () => {
    executor.onStart = (each) => (each.isReady = false)
    const waiting = failure(pool.acquire(keptSpec('a', { startupTimeoutMs: 10_000 }), never))
    await settle()
    task().print('x'.repeat(20_000))
    task().print('still downloading é\n')
    await clock.advance(9900)
    expect(state()).toEqual(['loading'])
    await clock.advance(200)
    const error = (await waiting) as KeptFailure
    expect(error.reason).toBe('startup_timeout')
    expect(error.logsTail).toMatch(/x+still downloading é\n$/)
    expect(Buffer.byteLength(error.logsTail)).toBe(8192)
    expect(task().isDisposed).toBe(true)
  })

  it('fails when the model says that it never will be ready', async () => {
    const isReady = (): Promise<never> => Promise.reject(new KeptFailure('setup_failed', 'no such weights'))
    executor.onStart = (each) => {
      each.print('its log')
    }
    const error = await failure(pool.acquire(keptSpec('a', { isReady }), never))
    expect(error).toMatchObject({ reason: 'setup_failed', message: 'no such weights', logsTail: 'its log' })
    await settle()
    expect(task().isDisposed).toBe(true)
  })

  it('asks again when it gets no answer', async () => {
    let asked = 0
    const isReady = (): Promise<'ready'> => {
      asked += 1
      return asked === 1 ? new Promise(() => undefined) : Promise.resolve('ready')
    }
    const waiting = pool.acquire(keptSpec('a', { isReady }), never)
    await clock.advance(6000)
    expect((await waiting).coldStartMs).toBeGreaterThan(4000)
  })

  it('goes on when the caller gives up, and the next one profits', async () => {
    executor.onStart = (each) => (each.isReady = false)
    const gaveUp = new AbortController()
    const waiting = failure(pool.acquire(keptSpec('a', { keepAliveMs: 60_000 }), gaveUp.signal))
    await settle()
    gaveUp.abort(new Error('gave up'))
    expect(await waiting).toMatchObject({ message: 'gave up' })
    task().isReady = true
    await clock.advance(1000)
    expect(state()).toEqual(['ready'])
    expect((await pool.acquire(keptSpec('a', { keepAliveMs: 60_000 }), never)).isWarm).toBe(true)
  })

  it('is given up with the last caller before there is a container', async () => {
    const seen: AbortSignal[] = []
    executor.beforeStart = async (_spec, signal) => {
      seen.push(signal)
      await clock.sleep(1e9, signal)
    }
    const [one, two] = [new AbortController(), new AbortController()]
    const waiting = [one, two].map(({ signal }) => failure(pool.acquire(keptSpec('a'), signal)))
    await settle()
    one.abort(new Error('first'))
    await settle()
    expect(seen[0]?.aborted).toBe(false)
    two.abort(new Error('second'))
    await settle()
    expect([seen[0]?.aborted, pool.states()]).toEqual([true, []])
    expect(await Promise.all(waiting)).toMatchObject([{ message: 'first' }, { message: 'second' }])
  })

  it('fails as the start fails, and begins anew afterwards', async () => {
    executor.beforeStart = () => Promise.reject(new NotYetError('no GPU', 1))
    expect(await failure(pool.acquire(keptSpec('a'), never))).toBeInstanceOf(NotYetError)
    executor.beforeStart = () => Promise.resolve()
    await pool.acquire(keptSpec('a'), never)
    expect(executor.tasks).toHaveLength(1)
  })
})

describe('what it prints', () => {
  it.each(['CUDA out of memory', 'torch.OutOfMemoryError', 'Failed to initialize NVML: Unknown Error'])(
    'replaces it after the call: %s',
    async (words) => {
      const call = await pool.acquire(keptSpec('a'), never)
      task().print(words.slice(0, 7))
      task().print(`${words.slice(7)}\n`)
      await settle()
      expect([call.died.aborted, call.logsTail()]).toEqual([false, `${words}\n`])
      call.release('failed')
      await pool.acquire(keptSpec('a'), never)
      expect([executor.tasks.length, task().isDisposed]).toEqual([2, true])
    },
  )

  it('replaces it at once when no call is under way, and counts from when it was ready', async () => {
    executor.onStart = (each) => {
      each.print('Failed to initialize NVML\n')
    }
    ;(await pool.acquire(keptSpec('a'), never)).release('ok')
    await settle()
    expect(state()).toEqual(['ready'])
    task().print('CUDA out of memory', 'stdout')
    await settle()
    expect(pool.states()).toEqual([])
  })

  it.each(['stdout', 'stderr'] as const)('is not hidden by much on %s', async (loud) => {
    const quiet = loud === 'stdout' ? 'stderr' : 'stdout'
    const call = await pool.acquire(keptSpec('a'), never)
    task().print('the reason\n', quiet)
    task().print('é'.repeat(20_000), loud)
    await settle()
    const tail = call.logsTail()
    expect(tail).toContain('the reason\n')
    expect(tail).toMatch(/^é*(the reason\n)?é*$/)
    expect(Buffer.byteLength(tail)).toBeLessThanOrEqual(8192)
    expect(Buffer.byteLength(tail)).toBeGreaterThan(8180)
  })

  it('goes to its session, and then only standard error is log', async () => {
    interface Lines {
      takesStdout: true
      seen: string[]
      onOutput(chunk: OutputChunk): void
    }
    const lines: KeptPool<Lines> = createKeptPool({
      executor,
      maxWarm: { gpu: 1, cpu: 1 },
      clock,
      log: recordingLog().log,
    })
    const spec: KeptSpec<Lines> = {
      ...keptSpec('a'),
      open: () => {
        const seen: string[] = []
        const onOutput = ({ data }: OutputChunk): void => void seen.push(Buffer.from(data).toString())
        return { takesStdout: true, seen, onOutput }
      },
      isReady: (_task, _signal, { seen }) => Promise.resolve(seen.includes('hello') ? 'ready' : 'loading'),
      isIdle: () => Promise.resolve(true),
    }
    executor.onStart = (each) => {
      each.print('hello', 'stdout')
      each.print('log', 'stderr')
    }
    const waiting = lines.acquire(spec, never)
    await clock.advance(1000)
    const call: KeptCall<Lines> = await waiting
    task().print('CUDA out of memory', 'stdout')
    await settle()
    expect(call.session.seen).toEqual(['hello', 'log', 'CUDA out of memory'])
    expect(call.logsTail()).toBe('log')
    call.release('ok')
    expect((await lines.acquire(spec, never)).session).toBe(call.session)
    await lines.close()
  })
})

describe('too many', () => {
  it('the one that was not used for the longest gives way, never one in use', async () => {
    open({ gpu: 1, cpu: 2 })
    for (const key of ['a', 'b', 'a']) {
      ;(await pool.acquire(keptSpec(key), never)).release('ok')
      await clock.advance(10)
    }
    const c = await pool.acquire(keptSpec('c'), never)
    expect(pool.states().map(({ key }) => key)).toEqual(['a', 'c'])
    const a = await pool.acquire(keptSpec('a'), never)
    // Both are in use: one more for the time being.
    const d = await pool.acquire(keptSpec('d'), never)
    expect(pool.states().map(({ key }) => key)).toEqual(['a', 'c', 'd'])
    d.release('ok')
    await settle()
    expect(pool.states().map(({ key }) => key)).toEqual(['a', 'c'])
    a.release('ok')
    c.release('ok')
    expect(a.died.aborted || c.died.aborted).toBe(false)
  })

  it('none is kept with a bound of none', async () => {
    open({ gpu: 0, cpu: 0 })
    ;(await pool.acquire(keptSpec('a'), never)).release('ok')
    await settle()
    expect([executor.tasks.length, pool.states()]).toEqual([1, []])
  })
})

describe('ensureReady', () => {
  it('loads, and asks again each time', async () => {
    await pool.ensureReady(keptSpec('a'), never)
    expect([state(), task().asked]).toEqual([['ready'], 1])
    await pool.ensureReady(keptSpec('a'), never)
    expect([executor.tasks.length, task().asked]).toEqual([1, 2])
    task().isReady = false
    task().isIdle = false
    expect(await failure(pool.ensureReady(keptSpec('a'), never))).toBeInstanceOf(KeptFailure)
    await clock.advance(11_000)
    expect(task().isDisposed).toBe(true)
    await pool.ensureReady(keptSpec('a'), never)
    expect(executor.tasks).toHaveLength(2)
  })
})

describe('the signals of a container', () => {
  it('keep nothing of questions and calls that are over', async () => {
    const call = await pool.acquire(keptSpec('a', { maxConcurrency: 2 }), never)
    const traces = signalTraces(call.died)
    for (let n = 0; n < 3; n += 1) {
      await pool.ensureReady(keptSpec('a', { maxConcurrency: 2 }), never)
      const other = await pool.acquire(keptSpec('a', { maxConcurrency: 2 }), never)
      other.release('ok')
    }
    expect(signalTraces(call.died)).toBe(traces)
    call.release('abandoned')
    await settle()
    expect(state()).toEqual(['ready'])
    expect(signalTraces(call.died)).toBe(traces)
  })
})

describe('close', () => {
  it('ends them all, whatever they do, and those who wait', async () => {
    const call = await pool.acquire(keptSpec('a'), never)
    const place = failure(pool.acquire(keptSpec('a'), never))
    executor.onStart = (each) => (each.isReady = false)
    const loading = failure(pool.acquire(keptSpec('b'), never))
    await settle()
    executor.beforeStart = (_spec, signal) => clock.sleep(1e9, signal)
    const starting = failure(pool.acquire(keptSpec('c'), never))
    await settle()
    expect(state()).toEqual(['busy', 'loading', 'starting'])
    await pool.close()
    expect(executor.running).toEqual([])
    expect(call.died.reason).toBeInstanceOf(KeptDeath)
    for (const each of [place, loading, starting]) expect(await each).toBeInstanceOf(StoppedError)
    expect(await failure(pool.acquire(keptSpec('d'), never))).toBeInstanceOf(StoppedError)
    call.release('abandoned')
    expect(pool.states()).toEqual([])
  })
})
