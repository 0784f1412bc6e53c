import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../../src/core/clock.ts'
import { RetryableError, StoppedError } from '../../../../src/core/errors.ts'
import { createLogger, type LogRecord } from '../../../../src/core/log.ts'
import { createDockerExecutor } from '../../../../src/executors/docker/docker-executor.ts'
import { Engine } from '../../../../src/executors/docker/api/engine.ts'
import { EngineError } from '../../../../src/executors/docker/api/errors.ts'
import { findImage } from '../../../../src/executors/docker/images/stored-image.ts'
import type { Executor, Task, TaskSpec } from '../../../../src/executors/executor.ts'

/** How one kind of request is answered; what is left out is answered as a healthy engine does. */
type Answers = Partial<Record<Step, (response: ServerResponse, request: IncomingMessage) => void>>
type Step = 'create' | 'attach' | 'wait' | 'start' | 'kill' | 'inspect' | 'events' | 'delete' | 'other'

const SPEC: TaskSpec = { name: 'test-1', kind: 'test', image: 'x', environment: {}, limits: {}, keep: false }
const never = new AbortController().signal

let folder: string
let server: Server
let engine: Engine
let executor: Executor
let answers: Answers
let steps: string[]
let upgraded: Duplex[]
/** The latest of each. */
let streams: Partial<Record<'input' | 'output', Duplex>>
let records: LogRecord[]

function stepOf({ method, url = '' }: IncomingMessage): Step {
  const path = url.split('?')[0] ?? ''
  if (method === 'DELETE') return 'delete'
  if (path.endsWith('/create')) return 'create'
  if (path.startsWith('/events')) return 'events'
  const last = path.split('/').at(-1)
  if (last === 'wait' || last === 'start' || last === 'kill' || last === 'attach') return last
  return path.endsWith('/json') ? 'inspect' : 'other'
}

const json = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
}

const HEALTHY: Record<Step, (response: ServerResponse, request: IncomingMessage) => void> = {
  create: (response) => {
    json(response, 201, { Id: 'id1' })
  },
  attach: (response) => {
    json(response, 400, { message: 'no upgrade' })
  },
  wait: (response) => {
    response.flushHeaders()
  },
  start: (response) => {
    response.writeHead(204).end()
  },
  kill: (response) => {
    response.writeHead(204).end()
  },
  inspect: (response) => {
    const time = '2026-11-21T00:00:00.123456789Z'
    json(response, 200, { Image: 'sha256:1', State: { OOMKilled: false, StartedAt: time, FinishedAt: time } })
  },
  events: (response) => {
    response.end()
  },
  delete: (response) => {
    response.writeHead(204).end()
  },
  other: (response, request) => {
    if (/^\/(volumes|info)/.test(request.url ?? '')) json(response, 200, { Volumes: [] })
    else response.end('OK')
  },
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'f-'))
  answers = {}
  steps = []
  upgraded = []
  streams = {}
  records = []
  server = createServer((request, response) => {
    const step = stepOf(request)
    // That an engine is asked what it is belongs to no task.
    if (request.url !== '/info') steps.push(step === 'delete' ? `delete ${request.url ?? ''}` : step)
    ;(answers[step] ?? HEALTHY[step])(response, request)
  })
  server.on('upgrade', ({ url = '' }: IncomingMessage, socket: Duplex) => {
    steps.push('attach')
    socket.on('error', () => undefined)
    socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n')
    upgraded.push(socket)
    streams[url.includes('stdin=1') ? 'input' : 'output'] = socket
  })
  server.listen(join(folder, 's'))
  await once(server, 'listening')
  engine = new Engine({ socketPath: join(folder, 's') })
  const clock = {
    ...systemClock,
    sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 100, signal),
  }
  executor = createDockerExecutor({
    engine,
    processName: 'p',
    owner: 'o',
    environment: {},
    clock,
    log: createLogger((record) => records.push(record)),
  })
})
afterEach(async () => {
  answers = {}
  await executor.close()
  for (const socket of upgraded) socket.destroy()
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true })
})

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => 'no failure',
    (error: unknown) => error,
  )
}
const start = (signal = never): Promise<Task> => executor.start(SPEC, signal)
const cut = (response: ServerResponse): void => {
  response.destroy()
}

describe('the connection to an engine', () => {
  it.each([
    ['is cut before the answer', cut],
    [
      'is cut inside the answer',
      (response: ServerResponse) => {
        response.write('{"a":')
        setTimeout(cut, 20, response)
      },
    ],
    [
      'brings half an answer',
      (response: ServerResponse) => {
        response.end('{"a":')
      },
    ],
    ['brings no answer', () => undefined],
  ])('%s', async (_name, answer) => {
    answers.other = answer
    const error = await failure(engine.json('GET', '/x', { silenceMs: 100 }))
    expect(error).toBeInstanceOf(RetryableError)
    expect((error as RetryableError).surrounding).toBe('engine')
  })

  it('brings what the engine says when it refuses, in JSON or not', async () => {
    answers.other = (response) => {
      json(response, 500, { message: 'because' })
    }
    expect(await failure(engine.json('GET', '/x'))).toEqual(new EngineError(500, 'because'))
    answers.other = (response) => response.writeHead(502).end('<html>proxy</html>')
    expect(await failure(engine.json('GET', '/x'))).toEqual(new EngineError(502, '<html>proxy</html>', false))
    answers.other = (response) => response.writeHead(301).end()
    expect(await failure(engine.json('GET', '/x'))).toBeInstanceOf(EngineError)
  })

  it("says that an image is missing in the engine's own words only", async () => {
    const refuse = async (status: number, body: string): Promise<unknown> => {
      answers.inspect = (response) => response.writeHead(status).end(body)
      return await failure(findImage(engine, 'x'))
    }
    expect(await refuse(404, '{"message":"No such image: x"}')).toBe('no failure')
    expect(await refuse(400, '{"message":"invalid reference format"}')).toBe('no failure')
    for (const [status, body] of [
      [400, '<html>Bad request</html>'],
      [404, '404 page not found'],
      [403, '{"message":"authorization denied by a plugin"}'],
      [429, 'Too Many Requests'],
    ] as const) {
      const error = await refuse(status, body)
      expect(error).toBeInstanceOf(RetryableError)
      expect((error as RetryableError).surrounding).toBe('engine')
    }
  })

  it('is made anew when the engine has closed a kept one', async () => {
    for (let n = 0; n < 3; n += 1) {
      expect(await failure(engine.json('GET', '/info', {}).catch(() => 'odd'))).toBe('no failure')
      server.closeIdleConnections()
    }
  })

  it('is given up with the reason of the signal', async () => {
    answers.other = () => undefined
    const stop = new AbortController()
    const asking = engine.json('GET', '/x', { signal: stop.signal })
    stop.abort(new StoppedError('now'))
    await expect(asking).rejects.toThrow(StoppedError)
    await expect(engine.hijack('/x/attach', { signal: stop.signal })).rejects.toThrow(StoppedError)
  })
})

describe('a start that fails', () => {
  it('at the attach, the wait or the start: the container is removed', async () => {
    for (const step of ['wait', 'start'] as const) {
      for (const answer of [
        cut,
        (response: ServerResponse) => {
          json(response, 500, { message: 'no' })
        },
      ]) {
        steps = []
        answers = { [step]: answer }
        expect(await failure(start())).toBeInstanceOf(RetryableError)
        expect(steps.at(-1)).toBe('delete /containers/id1?force=1&v=1')
      }
    }
    server.removeAllListeners('upgrade')
    expect(await failure(start())).toBeInstanceOf(RetryableError)
    expect(steps.at(-1)).toBe('delete /containers/id1?force=1&v=1')
  })

  it('without an answer to the create: what may be there is removed by its name', async () => {
    answers.create = cut
    expect(await failure(start())).toBeInstanceOf(RetryableError)
    await expect
      .poll(() => steps.filter((step) => step !== 'other'))
      .toEqual(['create', 'delete /containers/test-1?v=1'])
  })

  it('with a refusal of the create: nothing is removed', async () => {
    answers.create = (response) => {
      json(response, 409, { message: 'name in use' })
    }
    expect(await failure(start())).toBeInstanceOf(RetryableError)
    expect(steps).toEqual(['create'])
  })

  it('by an abort at any step', async () => {
    for (const step of ['create', 'wait', 'start'] as const) {
      steps = []
      const stop = new AbortController()
      answers = {
        [step]: (response: ServerResponse, request: IncomingMessage) => {
          stop.abort(new StoppedError('now'))
          HEALTHY[step](response, request)
        },
      }
      expect(await failure(start(stop.signal))).toBeInstanceOf(StoppedError)
      expect(steps.at(-1)).toContain('delete')
    }
  })
})

describe('an end that is none', () => {
  it.each([
    ['the wait breaks', cut],
    [
      'the wait ends without an answer',
      (response: ServerResponse) => {
        response.end()
      },
    ],
    [
      'the wait brings an error',
      (response: ServerResponse) => {
        response.end('{"StatusCode":0,"Error":{"Message":"odd"}}')
      },
    ],
  ])('%s, though the output ended cleanly', async (_name, answer) => {
    answers.wait = (response) => {
      response.flushHeaders()
      setTimeout(() => {
        for (const socket of upgraded) socket.end()
        answer(response)
      }, 30)
    }
    await using task = await start()
    const chunks = []
    for await (const chunk of task.output()) chunks.push(chunk)
    expect(await failure(task.wait())).toBeInstanceOf(RetryableError)
  })

  it('the container is gone, was stopped by somebody, or the engine takes no new connection', async () => {
    const wait = (response: ServerResponse): void => {
      response.end('{"StatusCode":137}')
    }
    for (const broken of [
      {
        inspect: (response: ServerResponse) => {
          json(response, 404, { message: 'no such container' })
        },
      },
      {
        events: (response: ServerResponse) => {
          response.end('{"Action":"kill"}\n')
        },
      },
      { events: cut },
    ]) {
      answers = { ...broken, wait }
      await using task = await start()
      expect(await failure(task.wait())).toBeInstanceOf(RetryableError)
    }
    answers = { wait }
    await using task = await start()
    expect(await task.wait()).toEqual({ exitCode: 137, oomKilled: false })
  })

  it('memory ran out, and the engine tells that later than the end, or in its notes only', async () => {
    let asked = 0
    for (const tellsAt of [1, 2]) {
      asked = 0
      answers = {
        wait: (response) => {
          response.end('{"StatusCode":137}')
        },
        events: (response) => {
          asked += 1
          response.end(asked >= tellsAt ? '{"Action":"oom"}\n' : '')
        },
      }
      await using task = await start()
      expect(await task.wait()).toEqual({ exitCode: 137, oomKilled: true })
    }
  })

  it('the output is cut inside a frame', async () => {
    await using task = await start()
    const reading = failure(
      (async () => {
        for await (const { data } of task.output()) expect(data).toBeDefined()
      })(),
    )
    for (const socket of upgraded) socket.end(Buffer.from([1, 0, 0, 0, 0, 0, 0, 9, 65]))
    expect(await reading).toBeInstanceOf(RetryableError)
  })
})

describe('an output that ends', () => {
  const state = (State: object) => (response: ServerResponse) => {
    const time = '2026-11-21T00:00:00.123456789Z'
    json(response, 200, {
      Image: 'x',
      State: { OOMKilled: false, StartedAt: time, FinishedAt: time, ...State },
    })
  }
  const readAll = async (task: Task): Promise<void> => {
    for await (const { data } of task.output()) expect(data).toBeDefined()
  }

  it('cleanly, while the program runs, has been cut off', async () => {
    answers.inspect = state({ Running: true })
    await using task = await start()
    streams.output?.end()
    const error = await failure(readAll(task))
    expect(error).toBeInstanceOf(RetryableError)
    expect((error as RetryableError).surrounding).toBe('engine')
  })

  it('after a kill of ours means nothing', async () => {
    answers.inspect = state({ Running: true })
    answers.kill = (response) => {
      streams.output?.end()
      response.writeHead(204).end()
    }
    await using task = await start()
    void task.kill(0).catch(() => undefined)
    await readAll(task)
  })

  it('with the container, whose news of the end never comes: the engine is asked for its exit code', async () => {
    answers.inspect = state({ Running: false, ExitCode: 3 })
    await using task = await start()
    streams.output?.end()
    await readAll(task)
    expect(await task.wait()).toEqual({ exitCode: 3, oomKilled: false })
  })
})

describe('a kept container', () => {
  const disposeOfKept = async (refusals: number, status: number): Promise<number> => {
    let kills = 0
    answers.kill = (response) => {
      kills += 1
      if (kills > refusals) response.writeHead(204).end()
      else json(response, status, { message: 'no' })
    }
    await (await executor.start({ ...SPEC, keep: true }, never))[Symbol.asyncDispose]()
    return kills
  }

  it('that still runs is killed, however often the engine refuses', async () => {
    expect(await disposeOfKept(3, 500)).toBe(4)
    expect(records).toEqual([])
  })

  it('that has ended is not killed again', async () => {
    expect(await disposeOfKept(1, 409)).toBe(1)
    expect(await disposeOfKept(1, 404)).toBe(1)
    expect(records).toEqual([])
  })

  it('that can not be killed is named', async () => {
    await disposeOfKept(Infinity, 500)
    expect(records).toMatchObject([{ level: 'WARNING', fields: { container: 'test-1' } }])
  })
})

describe('an input that nobody reads', () => {
  it('is let go when the container ends, even if its source hangs', async () => {
    let end: () => void = () => undefined
    answers.wait = (response) => {
      response.flushHeaders()
      end = () => response.end('{"StatusCode":0}')
    }
    await using task = await start()
    for (const socket of upgraded) socket.pause()
    async function* hanging(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(10_000_000)
      await new Promise(() => undefined)
    }
    const sending = task.send(hanging())
    end()
    await sending
  })
})

describe('whether a task runs', () => {
  const state = (Running: boolean) => (response: ServerResponse) => {
    json(response, 200, { Image: 'sha256:1', State: { Running, Pid: 4_194_304 } })
  }

  it('is asked of the engine where its process can not be seen', async () => {
    answers.inspect = state(true)
    await using task = await start()
    expect(await task.isRunning()).toBe(true)
    answers.inspect = state(false)
    expect(await task.isRunning()).toBe(false)
    answers.inspect = cut
    expect(await task.isRunning()).toBe(false)
    expect(await task.memoryUsage()).toBeUndefined()
  })

  it('is not asked once the end is known, or the engine has gone', async () => {
    for (const answer of ['{"StatusCode":0}', undefined]) {
      let end: () => void = () => undefined
      answers = {
        inspect: state(true),
        wait: (response) => {
          response.flushHeaders()
          end = () => (answer === undefined ? response.destroy() : response.end(answer))
        },
      }
      await using task = await start()
      expect(await task.isRunning()).toBe(true)
      end()
      await failure(task.wait())
      expect(await task.isRunning()).toBe(false)
      expect(await task.memoryUsage()).toBeUndefined()
    }
  })

  it.each(['input', 'output'] as const)('is not so without its stream of %s', async (name) => {
    answers.inspect = state(true)
    await using task = await start()
    streams[name]?.end()
    await expect.poll(() => task.isRunning()).toBe(false)
  })

  it('has nothing to do with the end of the stream that the input went through', async () => {
    answers.inspect = state(true)
    await using task = await start()
    await task.send(new Uint8Array(1))
    const closed = once(streams.input as Duplex, 'close')
    streams.input?.resume().end()
    await closed
    expect(await task.isRunning()).toBe(true)
  })

  it('and what it occupies: as the engine measures it', async () => {
    answers = {
      inspect: state(true),
      other: (response, { url = '' }) => {
        json(response, 200, url.includes('/stats?') ? { memory_stats: { usage: 12_345 } } : {})
      },
    }
    await using task = await start()
    expect(await task.memoryUsage()).toBe(12_345)
  })
})

describe('a new name', () => {
  it('is shown once the engine has taken it, and a refusal does no harm', async () => {
    const names: string[] = []
    answers.other = (response, { url = '' }) => {
      if (url.includes('/rename')) names.push(url)
      response.writeHead(names.length === 1 ? 409 : 204).end()
    }
    await using task = await start()
    await task.rename('evaluator-1')
    expect(task.name).toBe('test-1')
    await task.rename('evaluator-1')
    expect(names).toEqual(Array(2).fill('/containers/id1/rename?name=evaluator-1'))
    expect([task.name, task.logsCommand]).toEqual(['evaluator-1', 'docker logs evaluator-1'])
  })
})

describe('a removal', () => {
  it('is not waited for by a job whose container has ended, but by the close', async () => {
    const held: ServerResponse[] = []
    answers = {
      wait: (response) => {
        response.end('{"StatusCode":0}')
      },
      delete: (response) => held.push(response),
    }
    const task = await start()
    await task.wait()
    await task[Symbol.asyncDispose]()
    await expect.poll(() => held.length).toBe(1)
    let isClosed = false
    const closing = executor.close().then(() => {
      isClosed = true
    })
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(isClosed).toBe(false)
    held[0]?.writeHead(204).end()
    await closing
  })

  it('is one of few at a time, and all of them come to an end', async () => {
    let most = 0
    let now = 0
    let removed = 0
    answers = {
      wait: (response) => {
        response.end('{"StatusCode":0}')
      },
      delete: (response) => {
        now += 1
        most = Math.max(most, now)
        setTimeout(() => {
          now -= 1
          removed += 1
          response.writeHead(204).end()
        }, 5)
      },
    }
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const task = await start()
        await task.wait()
        await task[Symbol.asyncDispose]()
      }),
    )
    // At the end there is nobody left whom more of them would hinder.
    const usual = most
    await executor.close()
    expect([usual, removed]).toEqual([2, 20])
  })

  it('is tried again, and ends when the container is gone', async () => {
    let n = 0
    answers.delete = (response) => {
      n += 1
      if (n === 1) cut(response)
      else if (n === 2) json(response, 409, { message: 'removal of container id1 is already in progress' })
      else json(response, 404, { message: 'no such container' })
    }
    await (await start())[Symbol.asyncDispose]()
    expect(n).toBe(3)
  })

  it('always settles, is tried again by reap, and counted there', async () => {
    answers.delete = (response) => {
      json(response, 500, { message: 'device busy' })
    }
    await (await start())[Symbol.asyncDispose]()
    answers = {
      inspect: (response) => {
        json(response, 200, [])
      },
    }
    expect(await executor.reap(never)).toBe(1)
    expect(await executor.reap(never)).toBe(0)
  })
})
