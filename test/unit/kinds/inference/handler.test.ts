import { describe, expect, test } from 'vitest'
import { RetryableError } from '../../../../src/core/errors.ts'
import { toPlain } from '../../../../src/core/json.ts'
import { requestCancel } from '../../../../src/kinds/cancel.ts'
import { ModelError, type ModelServer } from '../../../../src/models/protocol.ts'
import { FINAL_INFERENCE_STATUSES, inferenceKey } from '../../../../src/records/inference.ts'
import type { Item } from '../../../../src/stores/store.ts'
import { createWorld, ECHO } from './harness.ts'

function plain(item: Item | undefined): Record<string, unknown> {
  return toPlain(new Map(Object.entries(item ?? {}))) as Record<string, unknown>
}

function errorOf(item: Item | undefined): unknown {
  return plain(item)['Error']
}

describe('a call in a container of its own', () => {
  test('is answered, and its item tells all of it', async () => {
    const world = createWorld({ echo: ECHO })
    expect(await world.deliver({ prompt: 'def', metadata: { user: 'é', n: 1.5 } })).toBe('succeeded')
    expect(plain(world.item())).toMatchObject({
      ID: 'Inferences#a',
      Trial: 'Job',
      Status: 'succeeded',
      Output: { choices: [{ index: 0, text: 'def!', finish_reason: null }] },
      Usage: null,
      Response: null,
      Error: null,
      Runtime: { Worker: 'tester', ImageDigest: 'sha256:echo', GpuIds: [], Warm: false, Attempt: 1 },
      LogsTail: 'loaded',
      OutputLocation: null,
      Metadata: { user: 'é', n: 1.5 },
      IgnoreStream: true,
    })
    expect(world.executor.present.size).toBe(0)
    expect(world.executor.started[0]).toMatchObject({ kind: 'inference', limits: { network: 'none' } })
  })

  test('gets its body as it is', async () => {
    const seen: string[] = []
    const world = createWorld({
      echo: (input) => {
        seen.push(input)
        return { stdout: '{"ok": true}' }
      },
    })
    await world.deliver({ body: { big: 1, text: '\u2028ü' } })
    expect(seen).toEqual(['{"big":1,"text":"\u2028ü"}\n'])
    expect(plain(world.item())['Output']).toEqual({ ok: true })
  })

  test.each([
    ['generation', { stdout: '{"error": "no"}' }],
    ['generation', { stdout: 'no json' }],
    ['generation', { exitCode: 3 }],
    ['oom_killed', { exitCode: 137, oomKilled: true }],
    ['gpu_oom', { exitCode: 1, stderr: 'torch.cuda.OutOfMemoryError: CUDA out of memory' }],
    ['output_too_large', { stdout: `{"choices": [{"text": "${'x'.repeat(500_000)}"}]}` }],
  ])('fails with %s', async (type, run) => {
    const world = createWorld({ echo: () => run })
    await world.deliver({ prompt: 'x' })
    expect(plain(world.item())['Status']).toBe('failed')
    expect(errorOf(world.item())).toMatchObject({ Type: type, Retriable: false })
  })

  test('ends at its timeout', async () => {
    const world = createWorld({ echo: () => ({ neverEnds: true }) })
    await world.deliver({ prompt: 'x', timeout_s: 0.05 })
    expect(errorOf(world.item())).toMatchObject({ Type: 'timeout' })
    expect(world.executor.present.size).toBe(0)
  })

  test('is aborted at its deadline, and not started after it', async () => {
    const world = createWorld({ echo: () => ({ neverEnds: true }) })
    await world.deliver({ prompt: 'x', deadline: '2020-01-01T00:00:00Z' })
    expect(plain(world.item())).toMatchObject({ Status: 'aborted', Error: { Type: 'deadline_exceeded' } })
    expect(world.executor.started).toEqual([])
    await world.deliver({ id: 'b', prompt: 'x', deadline: new Date(Date.now() + 100).toISOString() })
    expect(plain(world.item('b'))).toMatchObject({ Status: 'aborted', Error: { Type: 'deadline_exceeded' } })
    expect(world.executor.started).toHaveLength(1)
  })

  test('is ended when its owner wants it no more, and never run again', async () => {
    const world = createWorld({ echo: () => ({ neverEnds: true }) })
    const delivered = world.deliver({ prompt: 'x' })
    while (world.executor.started.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    await requestCancel(world.store, inferenceKey('a'), FINAL_INFERENCE_STATUSES)
    await delivered
    expect(plain(world.item())).toMatchObject({ Status: 'canceled', Error: { Type: 'canceled' } })
    expect(await world.deliver({ prompt: 'x' })).toBe('settled')
    await requestCancel(world.store, inferenceKey('b'), FINAL_INFERENCE_STATUSES)
    await world.deliver({ id: 'b', prompt: 'x' })
    expect(plain(world.item('b'))['Status']).toBe('canceled')
    expect(world.executor.started).toHaveLength(1)
  })

  test('an image that does not exist is the fault of whoever names it', async () => {
    const world = createWorld({})
    await world.deliver({ image: 'nosuch', prompt: 'x' })
    expect(errorOf(world.item())).toMatchObject({
      Type: 'validation',
      Message: 'Image nosuch does not exist',
    })
    const pinned = createWorld({}, { image: 'mine' })
    await expect(pinned.deliver({ image: undefined, prompt: 'x' })).rejects.toMatchObject({
      surrounding: 'model',
    })
    expect(plain(pinned.item())['Status']).toBe('starting')
  })

  test('the image of the config is the operator’s to mend, unless the message has it used in another way', async () => {
    const world = createWorld({}, { image: 'mine' })
    const own = { image: undefined, prompt: 'x' }
    await expect(world.deliver(own)).rejects.toMatchObject({ surrounding: 'model' })
    await expect(world.deliver({ ...own, server: { keep_alive_s: 1 } })).rejects.toMatchObject({
      surrounding: 'model',
    })
    for (const [id, changed] of Object.entries({ b: { mode: 'jsonl' }, c: { server: { args: ['x'] } } })) {
      await world.deliver({ ...own, ...changed, id })
      expect(plain(world.item(id))).toMatchObject({ Status: 'failed', Error: { Type: 'validation' } })
    }
  })

  test('an engine that is down is recorded nowhere', async () => {
    const world = createWorld({ echo: ECHO })
    world.executor.failure = new RetryableError('engine', 'down')
    await expect(world.deliver({ prompt: 'x' })).rejects.toThrow('down')
    expect(plain(world.item())['Status']).toBe('starting')
    world.executor.failure = undefined
    await world.deliver({ prompt: 'x' }, { attempt: 2 })
    expect(plain(world.item())).toMatchObject({ Status: 'succeeded', Runtime: { Attempt: 2 } })
  })
})

describe('a message that is wrong', () => {
  test.each([
    [{ prompt: 'x', foo: 1, Bar: 2 }, 'unknown keys foo, Bar'],
    [{}, 'no input is given'],
    [{ prompt: 'x', input: {} }, 'prompt and input exclude each other'],
    [{ prompt: 3 }, 'prompt must be text'],
    [{ messages: [] }, 'messages must hold'],
    [{ prompt: 'x', mode: 'stream' }, 'mode must be one of'],
    [{ prompt: 'x', timeout_s: 0 }, 'timeout_s must be'],
    [{ prompt: 'x', timeout_s: 43_200 }, 'timeout_s is 43200, and at most 39600 is allowed'],
    [
      { prompt: 'x', mode: 'jsonl', timeout_s: 20_000, server: { startup_timeout_s: 20_000 } },
      'server.startup_timeout_s plus timeout_s is 40000, and at most 39600 is allowed',
    ],
    [{ prompt: 'x', resources: { gpus: 0.5 } }, 'resources.gpus must be a whole number'],
    [{ prompt: 'x', resources: { memory_mb: 9000 } }, 'resources.memory_mb is 9000, and at most 4096'],
    [{ prompt: 'x', server: { port: 8000 } }, 'server.port need mode server'],
    [{ prompt: 'x', server: { keep: 1 } }, 'unknown key server.keep'],
    [{ prompt: 'x', mode: 'server', headers: { Host: 'x' } }, 'headers.Host is not allowed'],
    [{ prompt: 'x', mode: 'jsonl', inputs: [{ path: 'a', url: 's3://b/c' }] }, 'inputs and outputs need'],
    [{ prompt: 'x', inputs: [{ path: '../a', url: 's3://b/c' }] }, 'inputs[0].path must be'],
    [{ input_location: 'ftp://x' }, 'input_location must be an address'],
    [{ input_location: 's3://bucket/missing' }, 's3://bucket/missing does not exist'],
    [{ image: 'bad image', prompt: 'x' }, 'image must be'],
    [{ mode: 'jsonl', body: [1] }, 'body must be an object in jsonl mode'],
    [{ prompt: 'x', resources: { gpu_memory_mb: 1 } }, 'resources.gpu_memory_mb needs a GPU'],
  ])('%j fails, saying why, and nothing is started', async (fields, why) => {
    const world = createWorld({ echo: ECHO }, { maxSizes: { memoryBytes: 4096 * 1024 ** 2 } })
    await world.deliver({ metadata: { keep: 'me' }, ...fields })
    const item = plain(world.item())
    expect(item).toMatchObject({ Status: 'failed', Error: { Type: 'validation' }, Metadata: { keep: 'me' } })
    expect((item['Error'] as { Message: string }).Message).toContain(why)
    expect(world.executor.started).toEqual([])
  })
})

describe('large inputs and outputs', () => {
  test('come from and go to their locations', async () => {
    const world = createWorld({
      echo: (input) => ({
        stdout: JSON.stringify({ choices: [{ text: input.slice(0, 20).repeat(30_000) }] }),
      }),
    })
    world.places.set('s3://b/in.json', '{"prompt": "from afar"}')
    const locations = {
      input_location: 's3://b/in.json',
      output_location: 'https://x.example/out?sig=secret',
    }
    await world.deliver(locations)
    expect(plain(world.item())).toMatchObject({
      Status: 'succeeded',
      Output: null,
      OutputLocation: 'https://x.example/out',
    })
    expect(world.places.get(locations.output_location)).toContain('from afar')
  })
})

describe('a server that runs already', () => {
  const existing = {
    endpoint: { host: '127.0.0.1', port: 1 },
    name: 'the server',
    protocol: 'openai',
    isTls: false,
    headers: {},
  } as const

  function serverThat(call: ModelServer['call']): ModelServer {
    return {
      readiness: () => Promise.resolve('ready'),
      isIdle: () => Promise.resolve(true),
      call,
      close: () => undefined,
    }
  }

  test('answers, and its response is kept as far as there is room', async () => {
    const body = 'ü'.repeat(400_000)
    const server = serverThat(({ payload }) =>
      Promise.resolve({
        output: new Map([['choices', ['prompt' in payload ? payload.prompt : '']]]),
        usage: { promptTokens: 1, totalTokens: 3 },
        response: { statusCode: 200, body },
      }),
    )
    const world = createWorld({}, { existing }, server)
    await world.deliver({ image: undefined, prompt: 'x' })
    const item = plain(world.item())
    expect(item).toMatchObject({
      Status: 'succeeded',
      Output: { choices: ['x'] },
      Usage: { prompt_tokens: 1, total_tokens: 3 },
      Response: { StatusCode: 200, BodyTruncated: true },
      Runtime: { ImageDigest: null, Warm: true },
    })
    const kept = (item['Response'] as { Body: string }).Body
    expect(body.startsWith(kept)).toBe(true)
    expect(Buffer.byteLength(kept)).toBeGreaterThan(300_000)
  })

  test.each([
    [new ModelError('overloaded', 'busy', { retryAfterSeconds: 7 }), { retryAfterSeconds: 7 }],
    [new ModelError('overloaded', 'busy'), { retryAfterSeconds: 30, isShortage: true }],
    [new ModelError('model_unavailable', 'gone'), { surrounding: 'model' }],
    [new ModelError('generation', 'cut', { isCut: true }), { surrounding: 'model' }],
  ])('is tried again after %s', async (error, thrown) => {
    const world = createWorld(
      {},
      { existing },
      serverThat(() => Promise.reject(error)),
    )
    await expect(world.deliver({ image: undefined, prompt: 'x' })).rejects.toMatchObject(thrown)
    expect(plain(world.item())['Status']).toBe('processing')
  })

  test('that refuses a request fails it', async () => {
    const error = new ModelError('validation', 'too long', { response: { statusCode: 400, body: '{}' } })
    const world = createWorld(
      {},
      { existing },
      serverThat(() => Promise.reject(error)),
    )
    await world.deliver({ image: undefined, prompt: 'x' })
    expect(plain(world.item())).toMatchObject({
      Status: 'failed',
      Error: { Type: 'validation', Message: 'too long' },
      Response: { StatusCode: 400, Body: '{}' },
    })
  })

  test('runs no images', async () => {
    const world = createWorld(
      {},
      { existing },
      serverThat(() => Promise.reject(new Error('asked'))),
    )
    await world.deliver({ image: 'echo', prompt: 'x' })
    expect(errorOf(world.item())).toMatchObject({ Type: 'validation' })
  })
})

describe('one result', () => {
  test('is that of the first of two messages of one id that is answered', async () => {
    let second: ReturnType<typeof world.deliver> | undefined
    let finishSecond: () => void = () => undefined
    const isFirstDone = new Promise<void>((resolve) => (finishSecond = resolve))
    const world = createWorld({
      echo: async () => {
        if (second === undefined) {
          second = world.deliver({ prompt: 'x' }, { attempt: 2 })
          await expect.poll(() => world.executor.started.length).toBe(2)
          return { stdout: '{"choices": [{"text": "first"}]}' }
        }
        await isFirstDone
        return { stdout: '{"choices": [{"text": "second"}]}' }
      },
    })
    expect(await world.deliver({ prompt: 'x' })).toBe('succeeded')
    const stored = plain(world.item())
    expect(stored).toMatchObject({ Status: 'succeeded', Output: { choices: [{ text: 'first' }] } })
    finishSecond()
    expect(await second).toBe('settled')
    expect(plain(world.item())).toEqual(stored)
  })

  test('an attempt that lost its job to another tells no more of it', async () => {
    const world = createWorld({ echo: ECHO })
    const statuses: unknown[] = []
    const taken = { ...inferenceKey('a'), Status: 'starting', Token: 'other' }
    let updates = 0
    world.store.before = (call) => {
      if (call !== 'update') return
      updates += 1
      // The second write: that the model is asked.
      if (updates === 2) world.store.add(taken)
      if (updates === 3) statuses.push(world.item()?.['Status'], world.item()?.['Token'])
    }
    expect(await world.deliver({ prompt: 'x' })).toBe('succeeded')
    expect(statuses).toEqual(['starting', 'other'])
  })

  test('news of the call that come late never take its place', async () => {
    const world = createWorld({ echo: ECHO })
    let letGo: () => void = () => undefined
    const late = new Promise<void>((resolve) => (letGo = resolve))
    let updates = 0
    world.store.before = (call) => {
      if (call !== 'update') return
      updates += 1
      // The second write of the first attempt: that the model is asked.
      return updates === 2 ? late : undefined
    }
    const first = world.deliver({ prompt: 'slow' })
    await expect.poll(() => updates).toBe(2)
    expect(await world.deliver({ prompt: 'quick' }, { attempt: 2 })).toBe('succeeded')
    const stored = plain(world.item())
    letGo()
    expect(await first).toBe('settled')
    expect(stored).toMatchObject({ Status: 'succeeded', Runtime: { Attempt: 2 } })
    expect(plain(world.item())).toEqual(stored)
  })

  test('is that of one of two runners that have the same message at the same time', async () => {
    const world = createWorld({ echo: async (...given) => ({ ...(await ECHO(...given)), delayMs: 20 }) })
    const runs = await Promise.all([
      world.deliver({ prompt: 'x' }),
      world.deliver({ prompt: 'x' }, { attempt: 2 }),
    ])
    expect(runs.sort()).toEqual(['settled', 'succeeded'])
    expect(plain(world.item())).toMatchObject({ Status: 'succeeded', Error: null })
  })

  test('of a job that was canceled before anybody knew it: it never runs', async () => {
    const world = createWorld({ echo: ECHO })
    expect(await requestCancel(world.store, inferenceKey('a'), FINAL_INFERENCE_STATUSES)).toBe('written')
    await world.deliver({ prompt: 'x', metadata: { user: 1 } })
    expect(plain(world.item())).toMatchObject({
      Status: 'canceled',
      Error: { Type: 'canceled' },
      Metadata: { user: 1 },
      StartedAt: null,
    })
    expect(world.executor.started).toEqual([])
  })

  test('a second delivery finds it', async () => {
    const world = createWorld({ echo: ECHO })
    await world.deliver({ prompt: 'x' })
    expect(await world.deliver({ prompt: 'y' })).toBe('settled')
    expect(world.executor.started).toHaveLength(1)
  })
})
