import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { protocolOf } from '../../../src/app/models.ts'
import { fromPlain, parseJson, toPlain } from '../../../src/core/json.ts'
import {
  ModelError,
  type ModelCall,
  type ModelServer,
  type Payload,
  type ProtocolName,
  type ServerOptions,
} from '../../../src/models/protocol.ts'
import { startStandIn, type StandIn } from '../../support/models/stand-in.ts'

const open: (() => PromiseLike<void> | void)[] = []
const never = new AbortController().signal

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

async function start(
  protocol: ProtocolName,
  settings: object = {},
  options: Partial<ServerOptions> = {},
): Promise<{ standIn: StandIn; server: ModelServer }> {
  const standIn = await startStandIn({ protocol, ...settings })
  open.push(() => standIn[Symbol.asyncDispose]())
  const server = protocolOf(protocol).connect(standIn.endpoint, { maxBytes: 1_000_000, ...options })
  open.push(() => {
    server.close()
  })
  return { standIn, server }
}

function call(payload: Payload, more: Partial<ModelCall> = {}): ModelCall {
  return { id: 'req-1', headers: {}, payload, ...more }
}

async function errorOf(promise: Promise<unknown>): Promise<ModelError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof ModelError)) throw new Error(`no ModelError: ${String(error)}`)
  return error
}

const PROMPT: Payload = { prompt: 'def hello' }

describe('openai', () => {
  it('completes a prompt with the model that the server names', async () => {
    const { standIn, server } = await start('openai')
    expect(await server.readiness(never)).toBe('ready')
    const answer = await server.call(call(PROMPT), never)
    expect(toPlain(answer.output)).toEqual({
      choices: [{ index: 0, text: 'def hello…done', finish_reason: 'length' }],
    })
    expect(answer.usage).toEqual({ promptTokens: 3, completionTokens: 2, totalTokens: 5 })
    expect(answer.response.statusCode).toBe(200)
    expect(JSON.parse(answer.response.body)).toMatchObject({ object: 'completion' })
    const [seen] = (await standIn.state()).seen
    expect(seen).toMatchObject({ method: 'POST', path: '/v1/completions' })
    expect(JSON.parse(seen?.raw ?? '')).toEqual({ prompt: 'def hello', model: 'stand-in' })
  })

  it('chats', async () => {
    const { standIn, server } = await start('openai')
    const answer = await server.call(call({ messages: [fromPlain({ role: 'user', content: 'hi' })] }), never)
    expect(toPlain(answer.output)).toEqual({
      choices: [{ index: 0, message: { role: 'assistant', content: '…done' }, finish_reason: 'stop' }],
    })
    expect((await standIn.state()).seen[0]?.path).toBe('/v1/chat/completions')
  })

  it('sends a body as it is, but never streams', async () => {
    const { standIn, server } = await start('openai')
    const body = parseJson(
      '{"model": "m", "prompt": "ü \\u2028", "seed": 12345678901234567890, "stream": true, "stream_options": {"a": 1}}',
    )
    await server.call(call({ body }, { path: '/v1/completions?x=1', headers: { 'X-Trace': 'a' } }), never)
    const [seen] = (await standIn.state()).seen
    expect(seen?.raw).toBe('{"model":"m","prompt":"ü \u2028","seed":12345678901234567890,"stream":false}')
    expect(seen?.headers).toMatchObject({ 'x-trace': 'a', 'content-type': 'application/json' })
  })

  it('is loading until its health says otherwise, and goes by its models where it has none', async () => {
    const { standIn, server } = await start('openai', { loadMs: -1 })
    expect(await server.readiness(never)).toBe('loading')
    await standIn.set({ loadMs: 0 })
    expect(await server.readiness(never)).toBe('ready')
    await standIn.set({ health: false })
    expect(await server.readiness(never)).toBe('ready')
    await standIn.set({ loadMs: -1 })
    expect(await server.readiness(never)).toBe('loading')
    await standIn[Symbol.asyncDispose]()
    expect(await server.readiness(never)).toBe('loading')
  })

  it('takes an answer without choices, or with an error under 200, for a failure', async () => {
    const { standIn, server } = await start('openai', { behaviour: 'empty' })
    expect(await errorOf(server.call(call(PROMPT), never))).toMatchObject({
      type: 'generation',
      isRetriable: false,
      message: "the server's answer has no choices",
      response: { statusCode: 200, body: '{"choices":[]}' },
    })
    await standIn.set({ behaviour: 'error' })
    expect((await errorOf(server.call(call(PROMPT), never))).message).toBe(
      'the server answered 200 with an error: the model gave up',
    )
    await standIn.set({ behaviour: 'stream' })
    expect(await errorOf(server.call(call(PROMPT), never))).toMatchObject({ type: 'generation' })
    await standIn.set({ behaviour: 'reply', reply: { choices: [{ index: 0 }] } })
    expect((await errorOf(server.call(call(PROMPT), never))).message).toContain(
      'neither a text nor a message',
    )
  })

  it('is overloaded once, then answers', async () => {
    const { server } = await start('openai', { behaviour: 'busy' })
    expect(await errorOf(server.call(call(PROMPT), never))).toMatchObject({
      type: 'overloaded',
      isRetriable: true,
      retryAfterSeconds: 2,
      message: 'the server answered 429: too many requests',
    })
    expect((await server.call(call(PROMPT), never)).response.statusCode).toBe(200)
  })

  it.each([
    [400, { error: { message: 'bad prompt' } }, 'validation', 'the server answered 400: bad prompt'],
    [
      422,
      { detail: [{ loc: ['body', 'n'], msg: 'too many' }] },
      'validation',
      'the server answered 422: body.n: too many',
    ],
    [302, 'elsewhere', 'generation', 'the server answered 302: elsewhere'],
    [500, { message: 'oops' }, 'generation', 'the server answered 500: oops'],
    [500, { error: 'CUDA out of memory. Tried to allocate 2 GiB' }, 'gpu_oom', /CUDA out of memory/],
    [500, 'torch.cuda.OutOfMemoryError: CUDA error', 'gpu_oom', /OutOfMemoryError/],
    [500, 'Failed to initialize NVML: Unknown Error', 'gpu_unavailable', /NVML/],
    [400, 'complete this: CUDA out of memory', 'validation', /complete this/],
    [503, 'Loading model', 'overloaded', 'the server answered 503: Loading model'],
    [502, '', 'model_unavailable', 'the server answered 502'],
  ])('says what status %i with %j means', async (status, reply, type, message) => {
    const { server } = await start('openai', { behaviour: 'status', status, reply })
    const error = await errorOf(server.call(call(PROMPT), never))
    expect(error.type).toBe(type)
    expect(error.message).toMatch(message)
    expect(error.response?.statusCode).toBe(status)
    expect(error.shouldReplace).toBe(type.startsWith('gpu_'))
  })

  it('knows half an answer, and none', async () => {
    const { standIn, server } = await start('openai', { behaviour: 'half' })
    expect(await errorOf(server.call(call(PROMPT), never))).toMatchObject({
      type: 'generation',
      isCut: true,
      message: 'the answer broke off after 17 of 1000 bytes',
    })
    await standIn.set({ behaviour: 'cut' })
    expect(await errorOf(server.call(call(PROMPT), never))).toMatchObject({ type: 'generation', isCut: true })
    const { calls } = await standIn.state()
    // A completion is never sent twice.
    expect(calls).toBe(2)
  })

  it('knows a server that crashes at its third call', async () => {
    const { server } = await start('openai', { crashAt: 3 })
    await server.call(call(PROMPT), never)
    await server.call(call(PROMPT), never)
    expect(await errorOf(server.call(call(PROMPT), never))).toMatchObject({ isCut: true })
    // Its port may outlive its connections for a moment.
    await expect
      .poll(() => errorOf(server.call(call(PROMPT), never)))
      .toMatchObject({ type: 'model_unavailable', isRetriable: true })
  })

  it('reads no more than it may of 100 MB', async () => {
    const { standIn, server } = await start('openai', { behaviour: 'huge' })
    const before = process.memoryUsage().rss
    expect(await errorOf(server.call(call(PROMPT), never))).toMatchObject({
      type: 'output_too_large',
      message: 'the answer is larger than 1000000 bytes',
    })
    expect(process.memoryUsage().rss - before).toBeLessThan(50e6)
    expect((await standIn.state()).settings['sentMebibytes']).toBeLessThan(50)
  })

  it('leaves a call that hangs, as its server sees', async () => {
    const { standIn, server } = await start('openai', { behaviour: 'hang' })
    const stop = new AbortController()
    const reason = new Error('enough')
    const promise = server.call(call(PROMPT), stop.signal)
    promise.catch(() => undefined)
    while ((await standIn.state()).calls === 0) await delay(10)
    stop.abort(reason)
    await expect(promise).rejects.toBe(reason)
    await expect.poll(async () => (await standIn.state()).seen[0]?.closed).toBe(true)
    await expect(server.call(call(PROMPT), stop.signal)).rejects.toBe(reason)
  })

  it('proves itself idle by its metrics, else by one token', async () => {
    const { standIn, server } = await start('openai')
    expect(await server.isIdle(never)).toBe(true)
    expect(JSON.parse((await standIn.state()).seen[0]?.raw ?? '')).toMatchObject({ max_tokens: 1 })
    await standIn.set({
      metrics: '# HELP x\nvllm:num_requests_running{engine="0"} 1.0\nvllm:num_requests_waiting 0\n',
    })
    expect(await server.isIdle(never)).toBe(false)
    await standIn.set({ metrics: 'vllm:num_requests_running{engine="0"} 0.0\n' })
    expect(await server.isIdle(never)).toBe(true)
    expect((await standIn.state()).calls).toBe(1)
    await standIn.set({ metrics: undefined, behaviour: 'status', status: 500 })
    await standIn.set({ metrics: 'nothing 1\n' })
    expect(await server.isIdle(never)).toBe(false)
    await standIn.set({ behaviour: 'hang' })
    await expect(server.isIdle(AbortSignal.timeout(100))).rejects.toThrow(/timeout/)
  })

  it('keeps one connection for calls after each other', async () => {
    const { standIn, server } = await start('openai')
    for (let index = 0; index < 5; index += 1) await server.call(call(PROMPT), never)
    const { seen } = await standIn.state()
    expect(seen).toHaveLength(5)
    expect(new Set(seen.map((entry) => entry.peer)).size).toBe(1)
  })

  it('refuses what can not be sent', async () => {
    const { server } = await start('openai')
    const wrong: [Payload, Partial<ModelCall>, RegExp][] = [
      [{ body: [] }, {}, /body must be an object/],
      [PROMPT, { path: 'v1' }, /begin with a slash/],
      [PROMPT, { path: '/a b' }, /can't be sent/],
      [PROMPT, { headers: { 'Content-Length': '1' } }, /content-length can't be set/],
      [PROMPT, { headers: { x: 'a\r\nb: c' } }, /can't be sent/],
    ]
    for (const [payload, more, message] of wrong) {
      const error = await errorOf(server.call(call(payload, more), never))
      expect(error.type).toBe('validation')
      expect(error.message).toMatch(message)
    }
  })

  it('sends its own headers with every request, below its own path', async () => {
    const { standIn, server } = await start(
      'openai',
      {},
      { basePath: '/base', headers: { authorization: 'k' } },
    )
    expect(await server.readiness(never)).toBe('loading')
    await server.call(call(PROMPT, { headers: { 'X-A': 'b' } }), never)
    const [seen] = (await standIn.state()).seen
    expect(seen).toMatchObject({ path: '/base/v1/completions', headers: { authorization: 'k', 'x-a': 'b' } })
  })

  it.runIf(process.platform === 'linux')('speaks over a unix socket', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'models-'))
    open.push(() => rm(folder, { recursive: true }))
    const { server } = await start('openai', { listen: { path: join(folder, 'm.sock') } })
    expect(await server.readiness(never)).toBe('ready')
    expect(toPlain((await server.call(call(PROMPT), never)).output)).toMatchObject({
      choices: [{ index: 0 }],
    })
    expect(await server.isIdle(never)).toBe(true)
  })
})

describe('kserve', () => {
  it('puts a prompt into the text input, with the parameters that the model has', async () => {
    const { standIn, server } = await start('kserve')
    const parameters = new Map([
      ['max_tokens', fromPlain(7)],
      ['best_of', fromPlain(2)],
    ])
    const answer = await server.call(call({ prompt: 'def x', parameters }), never)
    expect(toPlain(answer.output)).toEqual({
      choices: [{ index: 0, text: 'def x…done', finish_reason: null }],
    })
    const [seen] = (await standIn.state()).seen
    expect(seen?.path).toBe('/v2/models/stand-in/infer')
    expect(JSON.parse(seen?.raw ?? '')).toEqual({
      inputs: [
        { name: 'text_input', datatype: 'BYTES', shape: [1, 1], data: ['def x'] },
        { name: 'max_tokens', datatype: 'INT32', shape: [1, 1], data: [7] },
      ],
    })
  })

  it('sends a body as it is', async () => {
    const { server } = await start('kserve', {}, { model: 'stand-in' })
    const body = fromPlain({ inputs: [{ name: 'a', datatype: 'BYTES', shape: [1], data: ['q'] }] })
    const answer = await server.call(call({ body }), never)
    expect(toPlain(answer.output)).toMatchObject({ outputs: [{ data: ['q…done'] }] })
  })

  it('is ready when its model is', async () => {
    const { standIn, server } = await start('kserve', { loadMs: -1 }, { model: 'stand-in' })
    expect(await server.readiness(never)).toBe('loading')
    await standIn.set({ loadMs: 0 })
    expect(await server.readiness(never)).toBe('ready')
    await standIn.set({ model: 'another' })
    expect(await server.readiness(never)).toBe('loading')
  })

  it('fails with what the server says', async () => {
    const { server } = await start('kserve', { behaviour: 'error', reply: 'unexpected shape' })
    expect((await errorOf(server.call(call(PROMPT), never))).message).toContain('unexpected shape')
    const messages = { messages: [] }
    expect((await errorOf(server.call(call(messages), never))).type).toBe('validation')
  })
})

describe('triton-generate', () => {
  it('generates', async () => {
    const { standIn, server } = await start('triton-generate', {}, { model: 'stand-in' })
    expect(await server.readiness(never)).toBe('ready')
    const answer = await server.call(call(PROMPT), never)
    expect(toPlain(answer.output)).toEqual({
      choices: [{ index: 0, text: 'def hello…done', finish_reason: null }],
    })
    const path = '/v2/models/stand-in/generate_stream'
    await server.call(call({ body: fromPlain({ text_input: 'a', stream: true }) }, { path }), never)
    const { seen } = await standIn.state()
    expect(seen.map((entry) => entry.path)).toEqual(Array(2).fill('/v2/models/stand-in/generate'))
    expect(seen[1]?.raw).toBe('{"text_input":"a","stream":false}')
    expect(await server.isIdle(never)).toBe(true)
  })

  it('takes an error under 200, and an answer without text, for a failure', async () => {
    const { standIn, server } = await start('triton-generate', {
      behaviour: 'error',
      reply: 'OutOfMemoryError: CUDA',
    })
    expect(await errorOf(server.call(call(PROMPT), never))).toMatchObject({
      type: 'gpu_oom',
      shouldReplace: true,
    })
    await standIn.set({ behaviour: 'empty' })
    expect((await errorOf(server.call(call(PROMPT), never))).message).toContain('no text_output')
  })
})

describe('cog', () => {
  it('predicts', async () => {
    const { standIn, server } = await start('cog')
    const answer = await server.call(call({ input: fromPlain({ prompt: 'ab' }) }), never)
    expect(toPlain(answer.output)).toEqual(['ab', '…done'])
    const [seen] = (await standIn.state()).seen
    expect(seen).toMatchObject({
      method: 'PUT',
      path: '/predictions/req-1',
      raw: '{"input":{"prompt":"ab"}}',
    })
    const completion = await server.call(call(PROMPT), never)
    expect(toPlain(completion.output)).toMatchObject({ choices: [{ text: 'def hello…done' }] })
  })

  it('knows all six states', async () => {
    const { standIn, server } = await start('cog')
    const seen: Record<string, string> = {}
    for (const state of ['STARTING', 'READY', 'BUSY', 'SETUP_FAILED', 'UNHEALTHY', 'DEFUNCT']) {
      await standIn.set({ state })
      seen[state] = await server.readiness(never).catch((error: unknown) => (error as ModelError).type)
      expect(await server.isIdle(never)).toBe(state === 'READY')
    }
    expect(seen).toEqual({
      STARTING: 'loading',
      READY: 'ready',
      BUSY: 'busy',
      SETUP_FAILED: 'setup_failed',
      UNHEALTHY: 'loading',
      DEFUNCT: 'setup_failed',
    })
    await standIn.set({ state: 'SETUP_FAILED' })
    expect((await errorOf(server.readiness(never))).message).toBe("the model's setup failed: no weights here")
  })

  it.each([
    [{ status: 'failed', error: 'no such style' }, 'generation', 'the prediction failed: no such style'],
    [
      { status: 'failed', error: 'CUDA out of memory' },
      'gpu_oom',
      'the prediction failed: CUDA out of memory',
    ],
    [{ status: 'canceled' }, 'generation', 'the prediction was canceled by the server'],
    [{ status: 'odd' }, 'generation', 'the server\'s answer has an unknown status: "odd"'],
    [{}, 'generation', "the server's answer has no output"],
  ])('takes %j for what it is', async (reply, type, message) => {
    const { server } = await start('cog', { behaviour: 'reply', reply })
    expect(await errorOf(server.call(call(PROMPT), never))).toMatchObject({ type, message })
  })

  it('asks again for an answer that comes later', async () => {
    const { standIn, server } = await start('cog', { behaviour: 'later' })
    const answer = await server.call(call(PROMPT, { headers: { Prefer: 'respond-async' } }), never)
    expect(toPlain(answer.output)).toMatchObject({ choices: [{ text: 'def hello…done' }] })
    expect((await standIn.state()).seen.every((entry) => !('prefer' in entry.headers))).toBe(true)
  })

  it('cancels a prediction that is given up; until then no other one is taken', async () => {
    const { standIn, server } = await start('cog', { behaviour: 'hang' })
    const stop = new AbortController()
    const promise = server.call(call(PROMPT), stop.signal)
    promise.catch(() => undefined)
    await expect.poll(() => server.readiness(never)).toBe('busy')
    expect(await errorOf(server.call(call(PROMPT, { id: 'req-2' }), never))).toMatchObject({
      type: 'overloaded',
    })
    stop.abort(new Error('enough'))
    await expect(promise).rejects.toThrow('enough')
    expect((await standIn.state()).canceled).toEqual(['req-1'])
    expect(await server.isIdle(never)).toBe(true)
  })
})

describe('raw', () => {
  it('takes what comes', async () => {
    const { standIn, server } = await start('raw', {}, { healthPath: '/ready' })
    expect(await server.readiness(never)).toBe('ready')
    const answer = await server.call(call({ body: fromPlain([1]) }, { path: '/x', method: 'PUT' }), never)
    expect(toPlain(answer.output)).toEqual({ echo: [1] })
    expect((await standIn.state()).seen[0]).toMatchObject({ method: 'PUT', path: '/x' })
    await standIn.set({ behaviour: 'stream' })
    expect((await server.call(call(PROMPT), never)).output).toContain('data: [DONE]')
    await standIn.set({ behaviour: 'status', status: 500 })
    expect(await errorOf(server.call(call(PROMPT), never))).toMatchObject({ type: 'generation' })
    expect(await server.isIdle(never)).toBe(false)
  })

  it('is ready by its status, or by knowing nothing of /health', async () => {
    const { standIn, server } = await start('raw', { loadMs: -1 }, { healthPath: '/ready' })
    expect(await server.readiness(never)).toBe('loading')
    const other = protocolOf('raw').connect(standIn.endpoint, { maxBytes: 1000 })
    expect(await other.readiness(never)).toBe('ready')
    other.close()
    const lost = protocolOf('raw').connect(standIn.endpoint, { maxBytes: 1000, healthPath: '/none' })
    expect(await lost.readiness(never)).toBe('loading')
    lost.close()
  })
})
