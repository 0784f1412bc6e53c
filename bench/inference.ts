import http from 'node:http'
import { runRunner } from '../src/app.ts'
import { configSchema } from '../src/config/schema.ts'
import { systemClock } from '../src/core/clock.ts'
import { createLogger } from '../src/core/log.ts'
import type { WorkerObserver } from '../src/core/observer.ts'
import { createStop } from '../src/core/stop.ts'
import { connectEngine } from '../src/executors/docker/api/connect.ts'
import { createSqsQueue } from '../src/queues/sqs/sqs-queue.ts'
import { buildPythonImage } from '../test/support/images.ts'
import { median, printTable, quantile, time, type Print } from './measure.ts'
import { Stage } from './stage.ts'

const IMAGE = 'opthub-runner-bench/model'
const PORT = 8000
/** Calls one after the other. */
const ALONE = 100
const ALONE_MS = 20
/** Calls at the same time. */
const SLOTS = 32
const CROWD = 320
const CROWD_MS = 500

/** A server that takes as long as the prompt says. */
const PROGRAM = `import json, socketserver, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer({"object": "list", "data": [{"id": "stub", "object": "model"}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(float(asked["prompt"]) / 1000)
        self.answer({"choices": [{"index": 0, "text": "done", "finish_reason": "stop"}]})

    def log_message(self, *_):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 128

Server(("0.0.0.0", ${PORT}), Handler).serve_forever()
`

/** What a call costs beyond the server's own time, on a warm container, from received to stored. */
export async function benchInference(print: Print): Promise<void> {
  const engine = await connectEngine({ environment: process.env })
  await buildPythonImage(engine, IMAGE, PROGRAM)
  engine.close()
  const alone = await runnerCalls({ calls: ALONE, slots: 1, serverMs: ALONE_MS })
  // What the runner finds is warm from the second call on.
  const added = alone.each.slice(1).map((ms) => ms - ALONE_MS)
  printTable(
    print,
    ['calls, one after the other', 'the server takes', 'added: median', '95 %'],
    [[ALONE, `${ALONE_MS} ms`, `${median(added).toFixed(1)} ms`, `${quantile(added, 0.95).toFixed(1)} ms`]],
  )
  const plain = await plainCalls()
  const runner = await runnerCalls({ calls: CROWD, slots: SLOTS, serverMs: CROWD_MS })
  printTable(
    print,
    [`${CROWD} calls of ${CROWD_MS} ms, ${SLOTS} at a time`, 'seconds', 'of a plain client'],
    [
      ['plain HTTP client', (plain / 1000).toFixed(2), '1.00 ×'],
      ['runner', (runner.ms / 1000).toFixed(2), `${(runner.ms / plain).toFixed(2)} ×`],
    ],
  )
  print('One container in both cases, and the embedded servers in a process of their own.')
}

interface Calls {
  /** Of each, from received to stored, in the order of their ends. */
  each: number[]
  /** Of all but the first `slots`, which wait for the container. */
  ms: number
}

/** Works so many calls with the production runner, on one container. */
async function runnerCalls(asked: { calls: number; slots: number; serverMs: number }): Promise<Calls> {
  const { calls, slots, serverMs } = asked
  await using stage = await Stage.open()
  const { info } = stage
  const queue = createSqsQueue({
    endpoint: info.endpoints.sqs,
    region: info.region,
    credentials: info,
    queueUrl: info.queues.inference,
    waitSeconds: 1,
    visibilitySeconds: 60,
    clock: systemClock,
  })
  const total = calls + slots
  for (let n = 0; n < total; n += 1) {
    await queue.send(JSON.stringify({ id: `call-${n}`, prompt: String(serverMs) }))
  }
  queue.close()
  const each: number[] = []
  const ends: number[] = []
  const observer: WorkerObserver = {
    jobStarted: () => undefined,
    stateChanged: () => undefined,
    jobEnded: (view, outcome) => {
      if (outcome !== 'succeeded') throw new Error(`A call ended as ${outcome}`)
      const now = systemClock.now()
      ends.push(now)
      // The message is deleted by now: what came after the answer was stored is left out, to the millisecond.
      const { finishedAt } = view.timeline
      const afterAnswer = finishedAt === undefined ? 0 : systemClock.date().getTime() - finishedAt.getTime()
      each.push(now - view.since - afterAnswer + (view.timeline.phases().write ?? 0))
    },
  }
  await runRunner({
    kind: 'inference',
    config: configSchema.parse({
      pull_policy: 'never',
      inference: { image: IMAGE, mode: 'server', server: { port: PORT, max_concurrency: slots } },
    }),
    local: true,
    dataDir: stage.home,
    log: createLogger((record) => {
      console.error(record.msg, record.fields)
    }, 'ERROR'),
    command: undefined,
    processName: 'bench',
    environment: process.env,
    drainQueue: false,
    num: total,
    concurrency: slots,
    stop: createStop({ graceMs: 60_000 }),
    observer,
  })
  return { each: each.slice(slots), ms: (ends.at(-1) ?? NaN) - (ends[slots - 1] ?? NaN) }
}

/** Milliseconds that a plain client takes for the same calls to the same server. */
async function plainCalls(): Promise<number> {
  const engine = await connectEngine({ environment: process.env })
  const agent = new http.Agent({ keepAlive: true, maxSockets: SLOTS })
  const published = `${PORT}/tcp`
  const { Id: id } = (await engine.json('POST', '/containers/create', {
    body: {
      Image: IMAGE,
      ExposedPorts: { [published]: {} },
      HostConfig: { PortBindings: { [published]: [{ HostIp: '127.0.0.1', HostPort: '' }] } },
    },
  })) as { Id: string }
  try {
    await engine.json('POST', `/containers/${id}/start`)
    const { NetworkSettings: network } = (await engine.json('GET', `/containers/${id}/json`)) as {
      NetworkSettings: { Ports: Record<string, { HostPort: string }[]> }
    }
    const port = Number(network.Ports[published]?.[0]?.HostPort)
    const call = (ms: number): Promise<void> => post(agent, port, JSON.stringify({ prompt: String(ms) }))
    for (let n = 0; n < 100; n += 1) {
      const isUp = await call(0).then(
        () => true,
        () => false,
      )
      if (isUp) break
      await systemClock.sleep(50)
    }
    let left = CROWD
    async function lane(): Promise<void> {
      while (left > 0) {
        left -= 1
        await call(CROWD_MS)
      }
    }
    return await time(() => Promise.all(Array.from({ length: SLOTS }, lane)))
  } finally {
    agent.destroy()
    await engine.json('DELETE', `/containers/${id}`, { query: { force: '1', v: '1' } })
    engine.close()
  }
}

async function post(agent: http.Agent, port: number, body: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const request = http.request(
      { agent, port, host: '127.0.0.1', method: 'POST', path: '/v1/completions', headers },
      (answer) => {
        answer.resume()
        answer.once('end', resolve)
        answer.once('error', reject)
      },
    )
    request.once('error', reject)
    request.end(body)
  })
}
