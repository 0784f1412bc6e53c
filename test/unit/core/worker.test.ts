import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import {
  JobError,
  NotYetError,
  OperatorError,
  PoisonError,
  RetryableError,
  StoppedError,
} from '../../../src/core/errors.ts'
import type { Handler, JobContext, WriteOutcome } from '../../../src/core/kind.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import type { JobOutcome } from '../../../src/core/observer.ts'
import { runWorker, type WorkerOptions } from '../../../src/core/worker.ts'
import { settle } from '../../support/manual-clock.ts'
import { MemoryQueue } from '../../support/memory-queue.ts'

/** What a scripted job does, by its body. */
type Script = (job: JobContext) => Promise<string>

class Bench {
  readonly queue = new MemoryQueue(systemClock)
  readonly stored = new Map<string, string>()
  readonly outcomes: JobOutcome[] = []
  readonly states: string[] = []
  readonly records: LogRecord[] = []
  readonly drain = new AbortController()
  readonly abort = new AbortController()
  readonly scripts = new Map<string, Script>()
  running = 0
  mostRunning = 0
  probes = 0

  handler(): Handler<string, string, string> {
    const save = (id: string, value: string): WriteOutcome => {
      if (this.stored.has(id)) return 'exists'
      this.stored.set(id, value)
      return 'written'
    }
    return {
      identify: (payload) => ({ id: payload, shortId: payload, fields: {} }),
      prepare: async (payload) => Promise.resolve(this.stored.has(payload) ? 'settled' : payload),
      run: async (payload, _input, job) => {
        this.running += 1
        this.mostRunning = Math.max(this.mostRunning, this.running)
        try {
          job.timeline.markStarted()
          return await (this.scripts.get(payload) ?? (async () => Promise.resolve('ok')))(job)
        } finally {
          this.running -= 1
        }
      },
      saveSuccess: async (payload, result) => Promise.resolve(save(payload, result)),
      saveFailure: async (payload, failure) =>
        Promise.resolve(save(payload, `failed: ${failure.publicMessage}`)),
    }
  }

  options(more: Partial<WorkerOptions<string, string, string>> = {}): WorkerOptions<string, string, string> {
    return {
      kind: {
        name: 'test',
        parseMessage: (body) => {
          if (body.startsWith('bad')) throw new PoisonError('not readable')
          return body
        },
        handler: this.handler(),
      },
      queue: this.queue,
      probes: { engine: async () => Promise.resolve(void (this.probes += 1)) },
      concurrency: 1,
      num: 0,
      drainQueue: true,
      intervalMs: 1,
      visibilitySeconds: 60,
      heartbeatMs: 20_000,
      maxReceiveCount: 10,
      maxHeld: 100,
      drain: this.drain.signal,
      abort: this.abort.signal,
      clock: systemClock,
      log: createLogger((record) => this.records.push(record), 'DEBUG'),
      observer: {
        jobStarted: () => undefined,
        jobEnded: (_job, outcome) => this.outcomes.push(outcome),
        stateChanged: (state, reason) =>
          this.states.push(reason === undefined ? state : `${state}: ${reason}`),
      },
      ...more,
    }
  }

  messages(): string[] {
    return this.records.map((record) => record.msg)
  }
}

describe('runWorker', () => {
  let bench = new Bench()
  afterEach(() => {
    bench = new Bench()
  })

  it('works everything on the queue and deletes each message after its result is stored', async () => {
    for (const body of ['a', 'b', 'c']) await bench.queue.send(body)
    await runWorker(bench.options())
    expect([...bench.stored.keys()]).toEqual(['a', 'b', 'c'])
    expect(bench.queue.left()).toEqual([])
    expect(bench.outcomes).toEqual(['succeeded', 'succeeded', 'succeeded'])
  })

  it('fills all slots, never more, and never waits for a batch to end', async () => {
    let release = (): void => undefined
    const gate = new Promise<void>((resolve) => (release = resolve))
    bench.scripts.set('slow', async () => {
      await gate
      return 'slow'
    })
    await bench.queue.send('slow')
    for (let n = 0; n < 20; n += 1) await bench.queue.send(`quick-${String(n)}`)
    bench.scripts.set('quick-19', async () => {
      release()
      return Promise.resolve('last')
    })
    await runWorker(bench.options({ concurrency: 3 }))
    expect(bench.stored.size).toBe(21)
    expect(bench.mostRunning).toBeLessThanOrEqual(3)
    // The slow job's slot was the only one it held: all others passed it by.
    expect([...bench.stored.keys()].indexOf('slow')).toBeGreaterThanOrEqual(17)
  })

  it('stops after num jobs and takes no message it does not need', async () => {
    for (const body of ['bad', 'a', 'b', 'c']) await bench.queue.send(body)
    await runWorker(bench.options({ num: 2, drainQueue: false, concurrency: 4 }))
    expect([...bench.stored.keys()]).toEqual(['a', 'b'])
    expect(bench.queue.messages.find((message) => message.body === 'c')?.received).toBe(0)
  })

  it('records a failure of the job and goes on', async () => {
    bench.scripts.set('a', async () =>
      Promise.reject(new JobError('no_result', 'The image printed nothing.')),
    )
    await bench.queue.send('a')
    await bench.queue.send('b')
    await runWorker(bench.options())
    expect(bench.stored.get('a')).toBe('failed: The image printed nothing.')
    expect(bench.stored.get('b')).toBe('ok')
    expect(bench.queue.left()).toEqual([])
  })

  it('leaves an unreadable message alone and goes on', async () => {
    await bench.queue.send('bad message')
    await bench.queue.send('b')
    await runWorker(bench.options())
    expect(bench.queue.left()).toEqual(['bad message'])
    expect(bench.queue.log).not.toContain('ack m1')
    expect(bench.stored.has('b')).toBe(true)
    expect(bench.messages()).toContain('Unreadable message, left to the dead-letter queue')
  })

  it('releases with backoff what the surroundings broke, and receives nothing until a probe passes', async () => {
    let works = false
    const receivesAtProbe: number[] = []
    bench.scripts.set('a', async () => Promise.reject(new RetryableError('engine', 'connection refused')))
    await bench.queue.send('a')
    await bench.queue.send('b')
    await runWorker(
      bench.options({
        probes: {
          engine: async () => {
            receivesAtProbe.push(bench.queue.receives)
            if (receivesAtProbe.length < 3) throw new Error('still down')
            works = true
            return Promise.resolve()
          },
        },
      }),
    )
    expect(works).toBe(true)
    expect(new Set(receivesAtProbe)).toEqual(new Set([1]))
    const [, seconds] =
      /^release m1 (\d+)$/.exec(bench.queue.log.find((line) => line.startsWith('release')) ?? '') ?? []
    expect(Number(seconds)).toBeGreaterThanOrEqual(22)
    expect(Number(seconds)).toBeLessThanOrEqual(38)
    expect(bench.stored.get('b')).toBe('ok')
    expect(bench.stored.has('a')).toBe(false)
  })

  it('receives nothing while it has no room, and spends no receive on learning that', async () => {
    const receives: number[] = []
    const room = async (): Promise<void> => {
      receives.push(bench.queue.receives)
      if (receives.length < 4) throw new RetryableError('disk', 'too full')
      return Promise.resolve()
    }
    await bench.queue.send('a')
    await runWorker(bench.options({ beforeReceive: room, probes: { disk: room } }))
    expect(receives.slice(0, 5)).toEqual([0, 0, 0, 0, 0])
    expect(bench.outcomes).toEqual(['succeeded'])
    expect(bench.messages().filter((message) => message.startsWith('Paused'))).toHaveLength(1)
  })

  it('treats a bug of ours as no fault of the job, and names it', async () => {
    bench.scripts.set('a', async () => Promise.reject(new TypeError('undefined is not a function')))
    await bench.queue.send('a')
    await runWorker(bench.options())
    expect(bench.stored.has('a')).toBe(false)
    expect(bench.queue.left()).toEqual(['a'])
    expect(bench.messages()).toContain('Unexpected error; the job will be tried again')
  })

  it.each([
    ['a bug', new TypeError('bug')],
    ['the engine', new RetryableError('engine', 'gone')],
  ])(
    'gives up once %s cut a job off max_receive_count times, while every probe passes',
    async (_name, error) => {
      bench.queue.releaseSeconds = () => 0
      let tries = 0
      bench.scripts.set('a', async () => {
        tries += 1
        return Promise.reject(error)
      })
      await bench.queue.send('a')
      await runWorker(bench.options({ maxReceiveCount: 3 }))
      expect(tries).toBe(3)
      expect(bench.stored.get('a')).toBe('failed: Internal Server Error')
      expect(bench.queue.left()).toEqual([])
    },
  )

  it('gives up before the message would be dead-lettered', async () => {
    bench.queue.redrive = async () => Promise.resolve({ maxReceiveCount: 5 })
    bench.queue.releaseSeconds = () => 0
    bench.scripts.set('a', async () => Promise.reject(new TypeError('bug')))
    await bench.queue.send('a')
    await runWorker(bench.options())
    expect(bench.stored.get('a')).toBe('failed: Internal Server Error')
    expect(bench.queue.messages[0]?.received).toBe(4)
  })

  it('counts no receive of which it is not certain that the input was delivered', async () => {
    bench.scripts.set('a', async () => Promise.reject(new TypeError('bug')))
    await bench.queue.send('a')
    const [message] = bench.queue.messages
    if (message) message.received = 9
    await runWorker(bench.options())
    expect(bench.stored.size).toBe(0)
    expect(bench.queue.left()).toEqual(['a'])
  })

  it.each([
    ['before its input', 'engine', false],
    ['by what it has no hold of', 'store', true],
  ] as const)('never gives up a job that was cut off %s', async (_name, surrounding, isDelivered) => {
    bench.queue.releaseSeconds = () => 0
    let tries = 0
    bench.scripts.set('a', async (job) => {
      tries += 1
      if (!isDelivered) job.timeline.startedAt = undefined
      return tries > 3 ? Promise.resolve('ok') : Promise.reject(new RetryableError(surrounding, 'gone'))
    })
    await bench.queue.send('a')
    await runWorker(bench.options({ maxReceiveCount: 1 }))
    expect(bench.stored.get('a')).toBe('ok')
  })

  it('never gives up while a probe fails', async () => {
    bench.scripts.set('a', async () => Promise.reject(new TypeError('bug')))
    await bench.queue.send('a')
    const probes = { store: async () => Promise.reject(new Error('down')) }
    await runWorker(bench.options({ maxReceiveCount: 1, probes }))
    expect(bench.stored.size).toBe(0)
    expect(bench.queue.left()).toEqual(['a'])
  })

  it('holds a job that can not run yet outside the slots, and runs it when its time has come', async () => {
    let tries = 0
    bench.scripts.set('later', async () => {
      tries += 1
      if (!bench.stored.has('b')) throw new NotYetError('b is not final', 0.005)
      return Promise.resolve('after b')
    })
    await bench.queue.send('later')
    await bench.queue.send('b')
    await runWorker(bench.options())
    expect([...bench.stored.keys()]).toEqual(['b', 'later'])
    expect(tries).toBeGreaterThan(1)
    expect(bench.queue.messages[0]?.received).toBe(1)
  })

  it('gives a waiting job back when too many wait', async () => {
    for (const body of ['x', 'y']) {
      bench.scripts.set(body, async () => Promise.reject(new NotYetError('parked', 60)))
      await bench.queue.send(body)
    }
    const run = runWorker(bench.options({ maxHeld: 1, drainQueue: false }))
    await expect.poll(() => bench.queue.log).toContain('release m2 60')
    bench.drain.abort()
    await run
    expect(bench.queue.log).toContain('release m1 0')
  })

  it('holds those that are nearest to their time, and lets the others come back late', async () => {
    for (const [body, distance] of [
      ['x', 5],
      ['y', 1],
      ['z', 9],
    ] as const) {
      bench.scripts.set(body, async () => Promise.reject(new NotYetError('later', 1, { distance })))
      await bench.queue.send(body)
    }
    const run = runWorker(bench.options({ maxHeld: 1, drainQueue: false }))
    await expect.poll(() => bench.queue.log.filter((line) => line.startsWith('release'))).toHaveLength(2)
    const [first = '', second = ''] = bench.queue.log
    expect([first, second].map((line) => line.split(' ')[1])).toEqual(['m1', 'm3'])
    // Each receive counts on SQS.
    for (const line of [first, second]) expect(Number(line.split(' ')[2])).toBeGreaterThan(20)
    bench.drain.abort()
    await run
    expect(bench.queue.log.at(-1)).toBe('release m2 0')
  })

  it('holds beside the others what was received so often that it would soon be dead-lettered', async () => {
    bench.queue.redrive = async () => Promise.resolve({ maxReceiveCount: 10 })
    for (const [body, received] of [
      ['fresh', 0],
      ['old', 4],
      ['newer', 3],
    ] as const) {
      bench.scripts.set(body, async () => Promise.reject(new NotYetError('later', 60, { distance: 5 })))
      await bench.queue.send(body)
      const message = bench.queue.messages.at(-1)
      if (message) message.received = received
    }
    const run = runWorker(bench.options({ maxHeld: 1, drainQueue: false }))
    await expect.poll(() => bench.queue.log.filter((line) => line.startsWith('release'))).toHaveLength(1)
    // The window is full, and another receive or two do no harm to this one.
    expect(bench.queue.log[0]).toMatch(/^release m3 \d{2,3}$/)
    bench.drain.abort()
    await run
    expect(new Set(bench.queue.log.slice(1))).toEqual(new Set(['release m1 0', 'release m2 0']))
  })

  it('tries a job that waits again as soon as that is worth while', async () => {
    let wake = (): void => undefined
    const sooner = new Promise<void>((resolve) => (wake = resolve))
    let tries = 0
    bench.scripts.set('a', async () => {
      tries += 1
      if (tries === 1) throw new NotYetError('an hour', 3600, { sooner })
      return Promise.resolve('done')
    })
    await bench.queue.send('a')
    const run = runWorker(bench.options({ num: 1, drainQueue: false }))
    await expect.poll(() => tries).toBe(1)
    wake()
    await run
    expect(bench.stored.get('a')).toBe('done')
    expect(bench.queue.messages[0]?.received).toBe(1)
  })

  it('drains the queue although messages of parked matches wait, and leaves those to others at once', async () => {
    const parked = new NotYetError('parked', 60, { parked: true })
    bench.scripts.set('x', async () => Promise.reject(parked))
    for (const body of ['x', 'a', 'b']) await bench.queue.send(body)
    await runWorker(bench.options())
    expect([...bench.stored.keys()]).toEqual(['a', 'b'])
    expect(bench.queue.left()).toEqual(['x'])
    expect(bench.queue.log).toContain('release m1 0')
    const warning = bench.records.find(({ level }) => level === 'WARNING')
    expect(warning?.msg).toContain('parked')
    expect(warning?.fields['messages']).toBe(1)
  })

  it('waits on for what will come true by itself before it calls the queue drained', async () => {
    let tries = 0
    bench.scripts.set('later', async () => {
      tries += 1
      if (tries < 4) throw new NotYetError('soon', 0.08)
      return Promise.resolve('done')
    })
    bench.scripts.set('x', async () => Promise.reject(new NotYetError('parked', 60, { parked: true })))
    for (const body of ['x', 'later']) await bench.queue.send(body)
    await runWorker(bench.options())
    expect([...bench.stored.keys()]).toEqual(['later'])
    expect(bench.queue.left()).toEqual(['x'])
  })

  it('counts no job that waits among num, and does not wait for it once num are done', async () => {
    bench.scripts.set('x', async () => Promise.reject(new NotYetError('later', 60)))
    for (const body of ['x', 'a', 'b', 'c']) await bench.queue.send(body)
    await runWorker(bench.options({ num: 2, drainQueue: false }))
    expect([...bench.stored.keys()]).toEqual(['a', 'b'])
    expect(bench.queue.left()).toEqual(['x', 'c'])
    expect(bench.queue.log).toContain('release m1 0')
    expect(bench.queue.messages[3]?.received).toBe(0)
  })

  it('does no more than num jobs when one that waited comes back, or a poll brings one late', async () => {
    let wake = (): void => undefined
    const sooner = new Promise<void>((resolve) => (wake = resolve))
    let tries = 0
    bench.scripts.set('x', async () => {
      tries += 1
      if (tries === 1) throw new NotYetError('later', 60, { sooner })
      return Promise.resolve('late')
    })
    bench.scripts.set('a', async () => {
      wake()
      await systemClock.sleep(30)
      return 'first'
    })
    for (const body of ['x', 'a']) await bench.queue.send(body)
    await runWorker(bench.options({ num: 1, drainQueue: false, concurrency: 2 }))
    expect(bench.stored.size).toBe(1)
    expect(bench.queue.left()).toHaveLength(1)
    await bench.queue.send('b')
    await runWorker(bench.options())
    expect(bench.queue.left()).toEqual([])
  })

  it('drains: running jobs finish, nothing new is taken', async () => {
    let finish = (): void => undefined
    bench.scripts.set(
      'a',
      async () =>
        new Promise(
          (resolve) =>
            (finish = () => {
              resolve('done')
            }),
        ),
    )
    await bench.queue.send('a')
    await bench.queue.send('b')
    const run = runWorker(bench.options({ drainQueue: false }))
    await expect.poll(() => bench.running).toBe(1)
    bench.drain.abort(new StoppedError('first signal'))
    finish()
    await run
    expect([...bench.stored.keys()]).toEqual(['a'])
    expect(bench.queue.left()).toEqual(['b'])
    expect(bench.queue.messages[1]?.received).toBe(0)
  })

  it('begins nothing after the drain, not even what waits for a slot', async () => {
    let wake = (): void => undefined
    const sooner = new Promise<void>((resolve) => (wake = resolve))
    let finish = (): void => undefined
    const finished = new Promise<void>((resolve) => (finish = resolve))
    const begun: string[] = []
    for (const body of ['x', 'y']) {
      bench.scripts.set(body, async () => {
        begun.push(body)
        return Promise.reject(new NotYetError('an earlier one is not final', 3600, { sooner }))
      })
    }
    bench.scripts.set('a', async () => {
      begun.push('a')
      await finished
      return 'done'
    })
    for (const body of ['x', 'y', 'a']) await bench.queue.send(body)
    const run = runWorker(bench.options({ drainQueue: false }))
    await expect.poll(() => begun).toEqual(['x', 'y', 'a'])
    wake()
    await settle()
    bench.drain.abort(new StoppedError('first signal'))
    await expect.poll(() => bench.queue.log).toEqual(['release m1 0', 'release m2 0'])
    finish()
    await run
    expect(begun).toEqual(['x', 'y', 'a'])
    expect(bench.stored.get('a')).toBe('done')
  })

  it('gives back at once what a poll brings after the drain has begun', async () => {
    const run = runWorker(bench.options({ drainQueue: false }))
    await expect.poll(() => bench.queue.receives).toBe(1)
    bench.drain.abort(new StoppedError('first signal'))
    await bench.queue.send('late')
    await run
    expect(bench.queue.log).toEqual(['release m1 0'])
    expect(bench.stored.size).toBe(0)
  })

  it('aborts: the job is stopped, nothing recorded, the message released at once', async () => {
    bench.scripts.set(
      'a',
      async (job) =>
        new Promise((_, reject) => {
          job.signal.addEventListener('abort', () => {
            reject(new Error('killed'))
          })
        }),
    )
    await bench.queue.send('a')
    const run = runWorker(bench.options({ drainQueue: false }))
    await expect.poll(() => bench.running).toBe(1)
    const reason = new StoppedError('second signal')
    bench.drain.abort(reason)
    bench.abort.abort(reason)
    await expect(run).rejects.toBe(reason)
    expect(bench.stored.size).toBe(0)
    expect(bench.queue.log).toEqual(['release m1 0'])
  })

  it('writes nothing and leaves the message alone once its lease is lost', async () => {
    bench.scripts.set('a', async (job) => {
      const [message] = bench.queue.messages
      if (message) message.receipt += 1 // somebody else has received it
      await new Promise<void>((resolve) => {
        job.signal.addEventListener('abort', () => {
          resolve()
        })
      })
      return 'late result'
    })
    await bench.queue.send('a')
    await runWorker(bench.options({ visibilitySeconds: 0.08, heartbeatMs: 10 }))
    expect(bench.outcomes).toEqual(['lost'])
    expect(bench.stored.size).toBe(0)
    expect(bench.queue.log.filter((line) => !line.startsWith('extend'))).toEqual([])
  })

  it('finds the result of a job whose message was not deleted, and deletes it then', async () => {
    bench.stored.set('a', 'from before')
    await bench.queue.send('a')
    await runWorker(bench.options())
    expect(bench.outcomes).toEqual(['settled'])
    expect(bench.stored.get('a')).toBe('from before')
    expect(bench.queue.left()).toEqual([])
  })

  it('goes on after receive errors, and ends on an error that only the operator can mend', async () => {
    bench.queue.receiveErrors.push(new RetryableError('queue', 'reset'), new RetryableError('queue', 'reset'))
    await bench.queue.send('a')
    await runWorker(bench.options())
    expect(bench.stored.get('a')).toBe('ok')
    bench.queue.receiveErrors.push(new OperatorError('no such queue', '', 'check the URL'))
    await expect(runWorker(bench.options())).rejects.toBeInstanceOf(OperatorError)
  })

  it('is not ready while its queue is out of reach, and does not flap for one lost poll', async () => {
    const error = new RetryableError('queue', 'reset')
    bench.queue.receiveErrors.push(error)
    await bench.queue.send('a')
    await runWorker(bench.options())
    expect(bench.states).toEqual(['polling', 'draining', 'stopped'])
    bench.states.length = 0
    bench.queue.receiveErrors.push(error, error)
    await bench.queue.send('b')
    await runWorker(bench.options())
    expect(bench.states).toEqual(['polling', 'paused: queue: reset', 'polling', 'draining', 'stopped'])
  })
})
