import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { currentProcessId } from '../../../src/core/process-id.ts'
import type { Endpoint, Task, TaskSpec } from '../../../src/executors/executor.ts'
import { openai } from '../../../src/models/http/openai.ts'
import { SocketFileAgent } from '../../../src/net/socket-file.ts'
import { requireEngine } from '../../support/engine.ts'
import { buildPythonImage, hasPython } from '../../support/images.ts'
import { setUp, type Bench } from './harness.ts'

const engine = await requireEngine()
const isLocal = process.platform === 'linux' && engine?.label.startsWith('unix://') === true
const IMAGE = `opthub-runner-test/server-${crypto.randomUUID()}:1`
const SOCKET = '/run/model/model.sock'

/** Answers with who it is, and how many networks it has. */
const SERVER = `
import http.server, os, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f'{os.getuid()} {sorted(os.listdir("/sys/class/net"))}'.encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
    def address_string(self): return ''
class Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    def get_request(self):
        connection, _ = super().get_request()
        return connection, ('', 0)
where = sys.argv[1]
if where.isdigit(): http.server.ThreadingHTTPServer(('0.0.0.0', int(where)), Handler).serve_forever()
else:
    os.umask(0)
    Unix(where, Handler).serve_forever()
`

async function get(endpoint: Endpoint): Promise<string> {
  for (let n = 0; ; n += 1) {
    try {
      const agent = 'socketPath' in endpoint && new SocketFileAgent(endpoint.socketPath)
      const sent = request({ ...endpoint, path: '/', agent }).end()
      const [response] = (await once(sent, 'response')) as [AsyncIterable<Buffer>]
      const parts: Buffer[] = []
      for await (const part of response) parts.push(part)
      return Buffer.concat(parts).toString()
    } catch (error) {
      if (n >= 100) throw error
      await delay(100)
    }
  }
}

const folders = async (): Promise<string[]> =>
  (await readdir(tmpdir())).filter(
    (name) => name.startsWith('opthub-s-') && name.includes(`_${process.pid}_`),
  )

describe.skipIf(!isLocal || !(await hasPython()))('a server in a container', () => {
  const never = new AbortController().signal
  let bench: Bench
  let tasks: Task[]

  beforeAll(async () => {
    if (engine === undefined) return
    await buildPythonImage(engine, IMAGE, SERVER)
    bench = setUp(engine, IMAGE)
    tasks = []
  })
  afterAll(async () => {
    for (const task of tasks) await task[Symbol.asyncDispose]()
    await bench.close()
    await engine?.json('DELETE', `/images/${encodeURIComponent(IMAGE)}`, { query: { force: '1' } })
    engine?.close()
  })

  async function start(where: string, rest: Partial<TaskSpec>): Promise<Task> {
    const command = ['/usr/bin/python3', '/app/main.py', where]
    const task = await bench.executor.start(bench.spec('', { command, ...rest }), never)
    tasks.push(task)
    return task
  }
  async function inspect(task: Task): Promise<{
    HostConfig: { NetworkMode: string; PortBindings: Record<string, unknown> | null }
    NetworkSettings: { Ports: Record<string, unknown> }
  }> {
    return (await engine?.json('GET', `/containers/${task.id}/json`)) as never
  }

  it('is reached on a port of the loopback, in a network of its own', async () => {
    const [one, two] = [
      await start('8000', { server: { port: 8000 } }),
      await start('8000', { server: { port: 8000 } }),
    ]
    const [first, second] = [await one.endpoint?.(), await two.endpoint?.()]
    if (first === undefined || second === undefined) throw new Error('no endpoint')
    expect(first).toMatchObject({ host: '127.0.0.1' })
    expect(first).not.toEqual(second)
    expect(await get(first)).toContain('eth0')
    expect(await get(second)).toContain('eth0')
    const { HostConfig, NetworkSettings } = await inspect(one)
    expect(HostConfig.NetworkMode).not.toMatch(/^container:/)
    expect(NetworkSettings.Ports['8000/tcp']).toEqual([
      { HostIp: '127.0.0.1', HostPort: String((first as { port: number }).port) },
    ])
    await one[Symbol.asyncDispose]()
    expect(await one.endpoint?.()).toBe(first)
  })

  it('is reached by a unix socket without any network, whoever it runs as', async () => {
    const task = await start(SOCKET, {
      server: { socketPath: SOCKET },
      limits: { network: 'none', user: '1234:1234', readOnly: true },
    })
    const endpoint = await task.endpoint?.()
    if (endpoint === undefined) throw new Error('no endpoint')
    expect(await get(endpoint)).toBe("1234 ['lo']")
    expect(await folders()).toHaveLength(1)
    await task[Symbol.asyncDispose]()
    expect(await folders()).toEqual([])
  })

  it('is reached by a unix socket however far down our folders are', async () => {
    const deep = await mkdtemp(join(tmpdir(), 'deep-'))
    try {
      vi.stubEnv('TMPDIR', join(deep, 'x'.repeat(60)))
      await mkdir(tmpdir())
      const task = await start(SOCKET, { server: { socketPath: SOCKET }, limits: { network: 'none' } })
      const endpoint = await task.endpoint?.()
      if (endpoint === undefined) throw new Error('no endpoint')
      expect(await get(endpoint)).toBe("0 ['lo']")
      await task[Symbol.asyncDispose]()
      expect(await readdir(tmpdir())).toEqual([])
    } finally {
      await rm(deep, { recursive: true })
    }
  })

  it('can not have us speak to another socket of this machine by a link in place of its own', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'engine-'))
    let arrived = 0
    const other = createServer((_request, response) => response.end('secret'))
    other.on('connection', () => (arrived += 1))
    try {
      await once(other.listen(join(folder, 'd.sock')), 'listening')
      const script = `import os, time; os.symlink(${JSON.stringify(join(folder, 'd.sock'))}, '${SOCKET}'); time.sleep(600)`
      const task = await start('', {
        command: ['/usr/bin/python3', '-c', script],
        server: { socketPath: SOCKET },
        limits: { network: 'none' },
      })
      const endpoint = await task.endpoint?.()
      if (endpoint === undefined || !('socketPath' in endpoint)) throw new Error('no socket')
      await expect.poll(() => readlink(endpoint.socketPath).catch(() => '')).toBe(join(folder, 'd.sock'))
      const asked = openai.connect(endpoint, { maxBytes: 1000, healthPath: '/' }).readiness(never)
      expect(await asked).toBe('loading')
      expect(arrived).toBe(0)
      await task[Symbol.asyncDispose]()
    } finally {
      other.close()
      await rm(folder, { recursive: true })
    }
  })

  it('that can not be started leaves nothing behind', async () => {
    const started = bench.executor.start(
      bench.spec('', { command: ['/no/such/program'], server: { socketPath: SOCKET } }),
      never,
    )
    await expect(started).rejects.toMatchObject({ name: 'ImageError' })
    expect(await folders()).toEqual([])
  })

  it('of a runner that was killed loses its folder by the reaper of another one', async () => {
    // This process was never started then.
    const owner = (await currentProcessId())?.replace(/\d+$/, (since) => `${Number(since) + 1}`) ?? ''
    const dead = join(tmpdir(), `opthub-s-${owner.replaceAll(':', '_')}_x1y2z3`)
    await mkdir(join(dead, 'r'), { recursive: true })
    const task = await start(SOCKET, { server: { socketPath: SOCKET }, limits: { network: 'none' } })
    await bench.executor.reap(never)
    expect(await readdir(dead).catch(() => 'gone')).toBe('gone')
    expect(await folders()).toHaveLength(1)
    await task[Symbol.asyncDispose]()
  })

  it.each([
    [{ socketPath: 'model.sock' }, {}],
    [{ socketPath: '/model.sock' }, {}],
    [{ socketPath: '/run/../x/model.sock' }, {}],
    [{ port: 8000 }, { network: 'none' }],
  ] as const)('that nobody could reach is refused: %o', async (server, limits) => {
    const started = bench.executor.start(bench.spec('', { server, limits }), never)
    await expect(started).rejects.toMatchObject({ name: 'OperatorError' })
    expect(await folders()).toEqual([])
  })
})
