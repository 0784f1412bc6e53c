// A model server for tests that does what it is told, and otherwise is as well-behaved as its protocol asks.
// usage: node stand-in.mjs '{"protocol":"openai", "listen":{"port":8000} or {"path":"/sockets/m.sock"}, …}'
// The settings can be changed while it runs: PUT /settings with some of them. GET /seen lists the calls, GET / nothing.
import { createServer } from 'node:http'
import { chmodSync, rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

const settings = {
  protocol: 'openai',
  listen: { port: 0, host: '127.0.0.1' },
  model: 'stand-in',
  // Milliseconds after the start during which it loads; Infinity as -1.
  loadMs: 0,
  // It ends with this code while it loads, or at its nth call.
  failLoad: undefined,
  crashAt: undefined,
  // What calls get: ok, hang, empty, error, half, cut, huge, busy (429 with Retry-After, then ok), status, text, stream
  behaviour: 'ok',
  status: 500,
  reply: undefined,
  answerMs: 0,
  // For cog: what its health says.
  state: undefined,
  health: true,
  metrics: undefined,
  ...JSON.parse(process.argv[2] ?? '{}'),
}
const startedAt = Date.now()
const seen = []
const canceled = new Set()
const running = new Map()
let calls = 0

if (settings.failLoad !== undefined) {
  console.error('loading the weights')
  setTimeout(() => {
    console.error('could not load the weights: no such file')
    process.exit(settings.failLoad)
  }, settings.loadMs)
}

const isLoading = () => settings.loadMs === -1 || Date.now() - startedAt < settings.loadMs
const text = (body) => `${body?.prompt ?? body?.text_input ?? body?.input?.prompt ?? ''}…done`

function send(response, status, body, headers = {}) {
  const content = typeof body === 'string' ? body : JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(content),
    ...headers,
  })
  response.end(content)
}

const PROTOCOLS = {
  openai: {
    get: (path) => {
      if (path === '/health') return settings.health ? [isLoading() ? 503 : 200, {}] : undefined
      if (path === '/metrics' && settings.metrics !== undefined) return [200, settings.metrics]
      if (path === '/v1/models') {
        return [isLoading() ? 503 : 200, { object: 'list', data: [{ id: settings.model, object: 'model' }] }]
      }
    },
    answer: (path, body) => ({
      id: 'x',
      object: 'completion',
      model: body.model,
      choices: [
        path.endsWith('/chat/completions')
          ? {
              index: 0,
              message: { role: 'assistant', content: text(body) },
              finish_reason: 'stop',
              logprobs: null,
            }
          : { index: 0, text: text(body), finish_reason: 'length', logprobs: null },
      ],
      usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
    }),
    empty: { choices: [] },
  },
  kserve: {
    get: (path) => {
      if (path === '/v2/health/ready') return [isLoading() ? 400 : 200, '']
      if (path === `/v2/models/${settings.model}/ready`) return [isLoading() ? 400 : 200, '']
      if (path === `/v2/models/${settings.model}`) {
        return [
          200,
          {
            name: settings.model,
            inputs: [
              { name: 'text_input', datatype: 'BYTES', shape: [-1, 1] },
              { name: 'max_tokens', datatype: 'INT32', shape: [-1, 1] },
            ],
            outputs: [{ name: 'text_output', datatype: 'BYTES', shape: [-1, 1] }],
          },
        ]
      }
    },
    index: () => [{ name: settings.model, version: '1', state: 'READY' }],
    answer: (path, body) => ({
      model_name: settings.model,
      outputs: [
        {
          name: 'text_output',
          datatype: 'BYTES',
          shape: [1, 1],
          data: [`${String(body.inputs[0].data[0])}…done`],
        },
      ],
    }),
    empty: { outputs: [] },
  },
  'triton-generate': {
    get: (path) => PROTOCOLS.kserve.get(path),
    index: () => PROTOCOLS.kserve.index(),
    answer: (path, body) => ({ model_name: settings.model, model_version: '1', text_output: text(body) }),
    empty: { model_name: settings.model },
  },
  cog: {
    get: (path) => {
      if (path === '/health-check') {
        const busy = running.size > 0 ? 'BUSY' : 'READY'
        const setup = { status: 'failed', logs: 'no weights here' }
        return [200, { status: settings.state ?? (isLoading() ? 'STARTING' : busy), setup }]
      }
      const id = /^\/predictions\/([^/]+)$/.exec(path)?.[1]
      if (id !== undefined && running.has(id)) return [200, { id, status: 'processing' }]
    },
    answer: (path, body) => ({
      id: path.split('/')[2],
      status: 'succeeded',
      output: [text(body).slice(0, 2), text(body).slice(2)],
    }),
    empty: { status: 'succeeded' },
  },
  raw: {
    get: (path) => (path === '/ready' ? [isLoading() ? 503 : 200, ''] : undefined),
    answer: (path, body) => ({ echo: body }),
    empty: '',
  },
}

async function answerCall(request, response, path, body) {
  const protocol = PROTOCOLS[settings.protocol]
  calls += 1
  if (calls === settings.crashAt) process.exit(settings.crashCode ?? 1)
  if (settings.answerMs > 0) await delay(settings.answerMs)
  switch (settings.behaviour) {
    case 'hang':
      return
    case 'empty':
      return send(response, 200, protocol.empty)
    case 'error':
      return send(response, 200, { error: settings.reply ?? { message: 'the model gave up', code: 500 } })
    case 'half':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 })
      response.write('{"choices": [{"te')
      return setTimeout(() => request.socket.destroy(), 20)
    case 'cut':
      return request.socket.destroy()
    case 'huge': {
      response.writeHead(200, { 'content-type': 'application/json' })
      const part = Buffer.alloc(1 << 20, 'a')
      response.write('{"choices":[{"text":"')
      for (let mebibytes = 0; mebibytes < 100 && !response.destroyed; mebibytes += 1) {
        settings.sentMebibytes = mebibytes
        if (!response.write(part)) {
          await Promise.race([
            new Promise((resolve) => response.once('drain', resolve)),
            new Promise((resolve) => response.once('close', resolve)),
          ])
        }
      }
      return response.end('"}]}')
    }
    case 'busy':
      settings.behaviour = 'ok'
      return send(response, 429, { error: { message: 'too many requests' } }, { 'retry-after': '2' })
    case 'status':
      return send(response, settings.status, settings.reply ?? { error: { message: 'it went wrong' } })
    case 'reply':
      return send(response, 200, settings.reply)
    case 'stream':
      return send(response, 200, 'data: {"choices":[]}\n\ndata: [DONE]\n\n', {
        'content-type': 'text/event-stream',
      })
    default:
      return send(response, 200, protocol.answer(path, body))
  }
}

async function predict(request, response, path, body) {
  const id = path.split('/')[2]
  if (settings.behaviour === 'later') {
    // As a server that was asked for an answer later: it is to be asked how it goes.
    running.set(id, true)
    setTimeout(() => running.delete(id), 300)
    settings.behaviour = 'ok'
    return send(response, 202, { id, status: 'starting' })
  }
  if (running.size > 0) return send(response, 409, { detail: 'Already running a prediction' })
  running.set(id, response)
  response.once('close', () => {
    // A prediction goes on when its caller leaves, until it is canceled.
    if (response.writableEnded || canceled.has(id)) running.delete(id)
  })
  await answerCall(request, response, path, body)
}

const server = createServer((request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const path = decodeURIComponent((request.url ?? '').split('?')[0])
    const raw = Buffer.concat(chunks).toString()
    if (path === '/settings') {
      Object.assign(settings, JSON.parse(raw))
      return send(response, 200, settings)
    }
    if (path === '/seen') return send(response, 200, { seen, calls, canceled: [...canceled], settings })
    if (request.method === 'GET') {
      const found = PROTOCOLS[settings.protocol].get(path)
      return found === undefined
        ? send(response, 404, { detail: 'Not Found' })
        : send(response, found[0], found[1])
    }
    const entry = {
      method: request.method,
      path,
      headers: request.headers,
      raw,
      peer: request.socket.remotePort,
      closed: false,
    }
    if (path === '/v2/repository/index')
      return send(response, 200, PROTOCOLS[settings.protocol].index?.() ?? [])
    const cancel = /^\/predictions\/([^/]+)\/cancel$/.exec(path)?.[1]
    if (cancel !== undefined) {
      canceled.add(cancel)
      running.get(cancel)?.destroy?.()
      running.delete(cancel)
      return send(response, 200, {})
    }
    seen.push(entry)
    response.on('close', () => (entry.closed = !response.writableEnded))
    let body
    try {
      body = raw === '' ? undefined : JSON.parse(raw)
    } catch {
      return send(response, 400, { detail: 'the body is no JSON' })
    }
    if (settings.protocol === 'cog') return void predict(request, response, path, body)
    void answerCall(request, response, path, body)
  })
})
if (settings.listen.path !== undefined) rmSync(settings.listen.path, { force: true })
server.listen(settings.listen, () => {
  // Whoever is outside a container isn't the user inside.
  if (settings.listen.path !== undefined) chmodSync(settings.listen.path, 0o666)
  console.log(JSON.stringify({ address: server.address() }))
})
process.on('SIGTERM', () => process.exit(0))
