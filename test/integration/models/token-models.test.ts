import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { loadTokenizer, protocolOf } from '../../../src/app/models.ts'
import { fromPlain, toPlain } from '../../../src/core/json.ts'
import type { ModelServer, Payload, ServerOptions, Tokenizer } from '../../../src/models/protocol.ts'
import { tinyTokenizer } from '../../support/models/tiny-tokenizer.ts'
import { startTokenModel, type TokenModel } from '../../support/models/token-model.ts'

const TEXT = 'def fib(n):\n return'
const never = new AbortController().signal
let folder: string
let tokenizer: Tokenizer
/** Which token comes after which, so that `def f` is continued as in TEXT. */
let next: Record<number, number>
const open: (() => PromiseLike<void> | void)[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tokens-'))
  const path = join(folder, 'tokenizer.json')
  await writeFile(path, JSON.stringify(tinyTokenizer()))
  tokenizer = await loadTokenizer(path)
  const ids = tokenizer.encode(TEXT, true)
  next = Object.fromEntries(ids.slice(1).map((id, index): [number, number] => [ids[index] ?? 0, id]))
})

afterAll(async () => {
  await rm(folder, { recursive: true })
})

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

async function start(
  carrier: 'http' | 'grpc',
  settings: object = {},
  options: Partial<ServerOptions> = {},
): Promise<{ model: TokenModel; server: ModelServer }> {
  const model = await startTokenModel({ next, ...settings })
  open.push(() => model[Symbol.asyncDispose]())
  const protocol = protocolOf(carrier === 'http' ? 'kserve' : 'kserve-grpc')
  const base = { maxBytes: 1_000_000, model: 'fastertransformer', tokenizer }
  const server = protocol.connect(model[carrier], { ...base, ...options })
  open.push(() => {
    server.close()
  })
  return { model, server }
}

function completion(members: object): Payload {
  return { body: fromPlain({ prompt: 'def f', ...members }) }
}

function call(payload: Payload) {
  return { id: 'req-1', headers: {}, payload }
}

describe.each(['http', 'grpc'] as const)('a model of token ids over %s', (carrier) => {
  it('is ready when it says so', async () => {
    const { model, server } = await start(carrier, { ready: false })
    expect(await server.readiness(never)).toBe('loading')
    await model.set({ ready: true })
    expect(await server.readiness(never)).toBe('ready')
  })

  it('completes a prompt', async () => {
    const { model, server } = await start(carrier)
    const answer = await server.call(
      call({ prompt: 'def f', parameters: new Map([['max_tokens', fromPlain(4)]]) }),
      never,
    )
    expect(toPlain(answer.output)).toEqual({ choices: [{ index: 0, text: 'ib(n', finish_reason: 'length' }] })
    expect(answer.usage).toEqual({ promptTokens: 3, completionTokens: 4, totalTokens: 7 })
    const [inputs] = await model.seen()
    expect(inputs).toMatchObject({
      input_ids: { shape: [1, 3], data: tokenizer.encode('def f', true) },
      input_lengths: { shape: [1, 1], data: [3] },
      request_output_len: { shape: [1, 1], data: [4] },
      temperature: { shape: [1, 1], data: [1] },
      runtime_top_p: { data: [1] },
      is_return_log_probs: { data: [false] },
      start_id: { data: [0] },
      end_id: { data: [0] },
      bad_words_list: { shape: [1, 2, 1], data: [0, -1] },
      stop_words_list: { shape: [1, 2, 1], data: [0, -1] },
    })
    // The model has no such inputs.
    expect(inputs).not.toHaveProperty('len_penalty')
  })

  it('ends where the model ends', async () => {
    const { server } = await start(carrier)
    const answer = await server.call(call(completion({ max_tokens: 100 })), never)
    expect(toPlain(answer.output)).toEqual({
      choices: [{ index: 0, text: TEXT.slice('def f'.length), finish_reason: 'stop' }],
    })
  })

  it('cuts at the first stop, which the model is told', async () => {
    const { model, server } = await start(carrier)
    const answer = await server.call(
      call(completion({ max_tokens: 50, stop: ['):', '\n    r', 'n'] })),
      never,
    )
    expect(toPlain(answer.output)).toEqual({ choices: [{ index: 0, text: 'ib(', finish_reason: 'stop' }] })
    const [inputs] = await model.seen()
    const words = ['):', '\n    r', 'n'].map((word) => tokenizer.encode(word, false))
    const flat = words.flat()
    expect(inputs === 'closed' ? [] : inputs?.['stop_words_list']?.data).toEqual([
      ...flat,
      ...words.map((_, index) => words.slice(0, index + 1).flat().length),
      ...Array<number>(flat.length - words.length).fill(-1),
    ])
  })

  it('makes several completions of several prompts', async () => {
    const { model, server } = await start(carrier)
    const body = { prompt: ['def f', 'fib(n'], n: 2, max_tokens: 2, temperature: 0, top_p: 0.5, seed: 7 }
    const answer = await server.call(call(completion(body)), never)
    const choices = (toPlain(answer.output) as { choices: { index: number; text: string }[] }).choices
    expect(choices.map(({ index, text }) => [index, text])).toEqual([
      [0, 'ib'],
      [1, 'ib'],
      [2, '):'],
      [3, '):'],
    ])
    expect(answer.usage).toEqual({ promptTokens: 8, completionTokens: 8, totalTokens: 16 })
    expect((await model.seen())[0]).toMatchObject({
      input_ids: { shape: [2, 3] },
      temperature: { data: [1, 1] },
      runtime_top_k: { data: [1, 1] },
      runtime_top_p: { data: [0.5, 0.5] },
      random_seed: { data: [7, 8] },
    })
  })

  it('proves itself idle by one token, where it stands behind a container', async () => {
    const { model, server } = await start(carrier)
    expect(await server.isIdle(never)).toBe(carrier === 'http')
    if (carrier === 'grpc') return
    expect((await model.seen())[0]).toMatchObject({ request_output_len: { data: [1] } })
    await model.set({ ready: false })
    expect(await server.isIdle(never)).toBe(false)
  })

  it('sends tensors as they are', async () => {
    const { server } = await start(carrier)
    const ids = tokenizer.encode('def f', true)
    const body = fromPlain({
      inputs: [
        { name: 'input_ids', datatype: 'UINT32', shape: [1, ids.length], data: ids },
        { name: 'input_lengths', datatype: 'UINT32', shape: [1, 1], data: [ids.length] },
        { name: 'request_output_len', datatype: 'UINT32', shape: [1, 1], data: [1] },
      ],
    })
    const answer = await server.call(call({ body }), never)
    const i = tokenizer.encode('i', false)
    expect(toPlain(answer.output)).toMatchObject({
      outputs: [{ name: 'output_ids', shape: [1, 1, ids.length + 1], data: [...ids, ...i] }, { data: [4] }],
    })
  })

  it('says what is wrong with a request', async () => {
    const { server } = await start(carrier)
    const wrong: [object, RegExp][] = [
      [{ prompt: 5 }, /^prompt must be/],
      [{ prompt: '' }, /^prompt: it has no token/],
      [{ max_tokens: 0 }, /^max_tokens must be an integer/],
      [{ temperature: 'hot' }, /^temperature must be a number/],
      [{ n: 1000 }, /^n must be/],
      [{ echo: true }, /^echo:/],
      [{ stop: [1] }, /^stop must be/],
    ]
    for (const [members, message] of wrong) {
      const promise = server.call(call(completion(members)), never)
      await expect(promise).rejects.toMatchObject({
        type: 'validation',
        message: expect.stringMatching(message) as string,
      })
    }
    const body = fromPlain({ inputs: [{ name: 'x', datatype: 'UINT32', shape: [1], data: [1] }] })
    await expect(server.call(call({ body }), never)).rejects.toMatchObject({
      type: 'validation',
      message: expect.stringContaining("unexpected inference input 'x'") as string,
    })
  })

  it('needs a tokenizer for a prompt', async () => {
    const model = await startTokenModel({ next })
    open.push(() => model[Symbol.asyncDispose]())
    const protocol = protocolOf(carrier === 'http' ? 'kserve' : 'kserve-grpc')
    const server = protocol.connect(model[carrier], { maxBytes: 1e6, model: 'fastertransformer' })
    open.push(() => {
      server.close()
    })
    await expect(server.call(call(completion({})), never)).rejects.toMatchObject({
      type: 'validation',
      message: expect.stringContaining('set tokenizer') as string,
    })
  })
})

describe('gRPC', () => {
  it('reads tensors that come as lists', async () => {
    const { server } = await start('grpc', { listed: true })
    const answer = await server.call(call(completion({ max_tokens: 3 })), never)
    expect(toPlain(answer.output)).toMatchObject({ choices: [{ text: 'ib(' }] })
  })

  it.each([
    [[3, 'wrong shape'], 'validation', 400],
    [[5, 'no such model'], 'validation', 404],
    [[8, 'queue is full'], 'overloaded', 429],
    [[13, 'CUDA out of memory'], 'gpu_oom', 500],
    [[14, 'Failed to initialize NVML'], 'gpu_unavailable', 503],
    [[13, 'went wrong'], 'generation', 500],
    [[14, 'going down'], 'model_unavailable', undefined],
  ])('says what %j means', async (fail, type, statusCode) => {
    const { server } = await start('grpc', { fail })
    const error: unknown = await server.call(call(completion({})), never).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ type, message: expect.stringContaining(String(fail[1])) as string })
    expect((error as { response?: { statusCode: number } }).response?.statusCode).toBe(statusCode)
  })

  it('leaves a call that hangs, as its server sees', async () => {
    const { model, server } = await start('grpc', { hang: true })
    const stop = new AbortController()
    const promise = server.call(call(completion({})), stop.signal)
    setTimeout(() => {
      stop.abort(new Error('enough'))
    }, 300)
    await expect(promise).rejects.toThrow('enough')
    await expect.poll(() => model.seen()).toEqual(['closed'])
  })

  it('reads no more than it may', async () => {
    const { server } = await start('grpc', {}, { maxBytes: 2000 })
    await expect(server.call(call(completion({ max_tokens: 1000 })), never)).rejects.toMatchObject({
      type: 'output_too_large',
    })
  })

  it('knows when nobody is there', async () => {
    const { model, server } = await start('grpc')
    await model[Symbol.asyncDispose]()
    open.splice(0, 1)
    expect(await server.readiness(never)).toBe('loading')
    await expect(server.call(call(completion({})), never)).rejects.toMatchObject({
      type: 'model_unavailable',
      isRetriable: true,
    })
  })
})

describe('a tokenizer', () => {
  it('turns text into ids and back', () => {
    expect(tokenizer.decode(tokenizer.encode(TEXT, true))).toBe(TEXT)
    expect(tokenizer.encode('def', true)).toHaveLength(1)
    expect(tokenizer.decode([])).toBe('')
    expect(tokenizer.endId).toBe(0)
    expect(tokenizer.decode([0])).toBe('')
  })

  it('must be one', async () => {
    const path = join(folder, 'other.json')
    await expect(loadTokenizer(path)).rejects.toThrow(/can't be read/)
    for (const text of ['{', '{}', '{"model": {"type": "none"}}']) {
      await writeFile(path, text)
      await expect(loadTokenizer(path)).rejects.toThrow(/tokenizer .* can't be read/)
    }
  })
})
