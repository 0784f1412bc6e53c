import { once } from 'node:events'
import { request } from 'node:http'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { createLogger } from '../../src/core/log.ts'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { createDockerExecutor } from '../../src/executors/docker/docker-executor.ts'
import type { Executor, OutputChunk, Task } from '../../src/executors/executor.ts'
import { createKeptPool } from '../../src/executors/kept-pool.ts'
import {
  type KeptDeath,
  KeptFailure,
  type KeptPool,
  type KeptSpec,
  type OutputListener,
} from '../../src/executors/kept.ts'
import { taskName } from '../../src/executors/run-task.ts'
import { requireEngine } from '../support/engine.ts'
import { buildPythonImage, hasPython } from '../support/images.ts'

const engine = await requireEngine()
const isLocal = process.platform === 'linux' && engine?.label.startsWith('unix://') === true
const IMAGE = `opthub-runner-test/kept-${crypto.randomUUID()}:1`
const SOCKET = '/run/model/model.sock'
const log = createLogger(() => undefined)
const never = new AbortController().signal

/** MODE: serve (over a unix socket, slow to load), lines, die-loading, hog. */
const MODEL = `
import http.server, json, os, socketserver, sys, time
mode = sys.argv[1]
calls = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global calls
        calls += self.path != '/health'
        if self.path == '/crash':
            print('about to crash', file=sys.stderr, flush=True)
            os._exit(7)
        body = str(calls).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
class Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    def get_request(self):
        connection, _ = super().get_request()
        return connection, ('', 0)
print('x' * 200000, flush=True)
print('loading', file=sys.stderr, flush=True)
if mode == 'die-loading':
    print('weights are missing', file=sys.stderr, flush=True)
    sys.exit(3)
if mode == 'hog':
    all = []
    while True: all.append(bytearray(b'x' * 1000000))
time.sleep(0.3)
if mode == 'lines':
    print(json.dumps({'ready': True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({'id': asked['id'], 'output': asked['text'][::-1]}), flush=True)
else:
    Unix('${SOCKET}', Handler).serve_forever()
`

/** Lines in, lines out. */
class Lines implements OutputListener {
  readonly takesStdout = true
  readonly seen: { id?: string; output?: string; ready?: boolean }[] = []
  #rest = ''
  #pending: Uint8Array[] = []
  #wake: () => void = () => undefined

  constructor(task: Task) {
    void task.send(this.#input()).catch(() => undefined)
  }

  write(value: unknown): void {
    this.#pending.push(Buffer.from(`${JSON.stringify(value)}\n`))
    this.#wake()
  }

  onOutput({ stream, data }: OutputChunk): void {
    if (stream === 'stderr') return
    const lines = (this.#rest + Buffer.from(data).toString()).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) if (line.startsWith('{')) this.seen.push(JSON.parse(line) as never)
  }

  async *#input(): AsyncGenerator<Uint8Array> {
    for (;;) {
      for (const part of this.#pending.splice(0)) yield part
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}

async function get(task: Task, path: string, signal?: AbortSignal): Promise<string> {
  const endpoint = await task.endpoint?.()
  if (endpoint === undefined) throw new Error('no endpoint')
  const sent = request({ ...endpoint, path, agent: false, ...(signal && { signal }) }).end()
  const [response] = (await once(sent, 'response')) as [AsyncIterable<Buffer>]
  const parts: Buffer[] = []
  for await (const part of response) parts.push(part)
  return Buffer.concat(parts).toString()
}

describe.skipIf(!isLocal || !(await hasPython()))('a model that is kept', () => {
  let executor: Executor
  let pool: KeptPool<Lines | undefined>

  beforeAll(async () => {
    if (engine === undefined) return
    await buildPythonImage(engine, IMAGE, MODEL)
    const processName = `test-${crypto.randomUUID()}`
    executor = createDockerExecutor({ engine, processName, log, environment: {} })
  })
  beforeEach(() => {
    pool = createKeptPool({ executor, maxWarm: { gpu: 1, cpu: 3 }, clock: systemClock, log })
  })
  afterEach(async () => {
    await pool.close()
  })
  afterAll(async () => {
    await executor.close()
    await engine?.json('DELETE', `/images/${encodeURIComponent(IMAGE)}`, { query: { force: '1' } })
    engine?.close()
  })

  function spec(mode: string, memoryBytes?: number): KeptSpec<Lines | undefined> {
    return {
      key: mode,
      task: {
        kind: 'test',
        image: IMAGE,
        command: ['/usr/bin/python3', '/app/main.py', mode],
        environment: {},
        limits: { network: 'none', ...(memoryBytes === undefined ? {} : { memoryBytes }) },
        keep: false,
        ...(mode === 'lines' ? {} : { server: { socketPath: SOCKET } }),
      },
      name: () => taskName('test', 'kept'),
      maxConcurrency: 4,
      keepAliveMs: Infinity,
      startupTimeoutMs: 60_000,
      open: (task) => (mode === 'lines' ? new Lines(task) : undefined),
      isReady: async (task, signal, session) => {
        if (session !== undefined) return session.seen.some(({ ready }) => ready) ? 'ready' : 'loading'
        return await get(task, '/health', signal).then(
          () => 'ready',
          () => 'loading',
        )
      },
      isIdle: () => Promise.resolve(true),
    }
  }

  it('answers a second call without the engine', async () => {
    const first = await pool.acquire(spec('serve'), never)
    expect([first.isWarm, await get(first.task, '/')]).toEqual([false, '1'])
    expect(first.coldStartMs).toBeGreaterThan(300)
    expect(first.logsTail()).toMatch(/^x*\nloading\n$/)
    first.release('ok')
    const asked = vi.spyOn(engine as Engine, 'open')
    const second = await pool.acquire(spec('serve'), never)
    expect([second.isWarm, await get(second.task, '/')]).toEqual([true, '2'])
    second.release('ok')
    expect(asked).not.toHaveBeenCalled()
  })

  it('is missed at once when it dies under a call', async () => {
    const call = await pool.acquire(spec('serve'), never)
    await expect(get(call.task, '/crash')).rejects.toThrow()
    if (!call.died.aborted) await once(call.died, 'abort')
    const death = call.died.reason as KeptDeath
    expect([death.exitCode, death.oomKilled]).toEqual([7, false])
    expect(death.logsTail).toMatch(/about to crash\n$/)
    call.release('broken')
    const next = await pool.acquire(spec('serve'), never)
    expect([next.isWarm, await get(next.task, '/')]).toEqual([false, '1'])
    next.release('ok')
  })

  it('that dies while it loads fails with what it said last', async () => {
    const error = await pool.acquire(spec('die-loading'), never).catch((each: unknown) => each)
    expect(error).toBeInstanceOf(KeptFailure)
    expect(error).toMatchObject({ reason: 'setup_failed' })
    expect((error as KeptFailure).logsTail).toMatch(/loading\nweights are missing\n$/)
  })

  it('that takes too much memory while it loads says so', async () => {
    const error = await pool.acquire(spec('hog', 50_000_000), never).catch((each: unknown) => each)
    expect(error).toMatchObject({ name: 'KeptFailure', reason: 'oom_killed' })
  })

  it('takes lines and gives lines, without a network', async () => {
    const call = await pool.acquire(spec('lines'), never)
    const { session } = call
    for (const id of ['a', 'b']) session?.write({ id, text: `text of ${id}` })
    await vi.waitFor(() => {
      expect(session?.seen.slice(1)).toEqual([
        { id: 'a', output: 'a fo txet' },
        { id: 'b', output: 'b fo txet' },
      ])
    })
    expect(call.logsTail()).toBe('loading\n')
    call.release('ok')
  })
})
