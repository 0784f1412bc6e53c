import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RetryableError } from '../../../src/core/errors.ts'
import { assertModelReady } from '../../../src/kinds/inference/ready.ts'
import { requireEngine } from '../../support/engine.ts'
import { buildPythonImage, hasPython } from '../../support/images.ts'
import { MODEL } from './models.ts'
import { openWorld, text, type World } from './world.ts'

const engine = await requireEngine()
const isRunnable = engine !== undefined && (await hasPython())
const TAG = 'opthub-runner-test/inference:1'
const LABELLED = 'opthub-runner-test/inference-labelled:1'
const LABELS = ['LABEL opthub-runner.ready=line', 'LABEL opthub-runner.socket=/run/model/model.sock']
const COMMAND = ['python3', '-u', '/app/main.py']
describe.skipIf(!isRunnable)('a model in an image', () => {
  let world: World
  beforeAll(async () => {
    if (engine === undefined) return
    await buildPythonImage(engine, TAG, MODEL)
    world = await openWorld(TAG)
  })
  afterAll(async () => {
    await world[Symbol.asyncDispose]()
  })
  const args = (...words: string[]) => ({ args: [...COMMAND, ...words] })

  test('answers once', async () => {
    const outcome = await world.call({ prompt: 'def', server: args('oneshot') })
    expect(outcome).toMatchObject({ status: 'succeeded', usage: { totalTokens: 3 }, logsTail: 'reading' })
    expect(text(outcome)).toBe('def!')
    expect(text(await world.call({ prompt: 'network', server: args('oneshot') }))).toBe('lo!')
  })

  test('answers line by line, and stays', async () => {
    const jsonl = { mode: 'jsonl', server: args('jsonl') }
    const first = await world.call({ ...jsonl, prompt: 'who' })
    const second = await world.call({ ...jsonl, prompt: 'who' })
    expect([first.runtime?.isWarm, second.runtime?.isWarm]).toEqual([false, true])
    expect([text(first), text(second)]).toEqual(['1 1!', '1 2!'])
    expect(text(await world.call({ ...jsonl, prompt: 'network' }))).toBe('lo!')
  })

  test.each([
    ['noise', 'that is no JSON object'],
    ['wrong id', 'the id of no call'],
    ['error', 'no idea'],
  ])('whose line is %s fails, and the next call is right', async (prompt, why) => {
    const jsonl = { mode: 'jsonl', server: args('jsonl') }
    const outcome = await world.call({ ...jsonl, prompt })
    expect(outcome.error?.type).toBe('generation')
    expect(outcome.error?.message).toContain(why)
    expect(text(await world.call({ ...jsonl, prompt: 'next' }))).toBe('next!')
  })

  test('that is silent times out, is replaced, and the next call is right', async () => {
    const jsonl = { mode: 'jsonl', server: args('jsonl') }
    const outcome = await world.call({ ...jsonl, prompt: 'silence', timeout_s: 0.3 })
    expect(outcome.error?.type).toBe('timeout')
    expect(text(await world.call({ ...jsonl, prompt: 'who' }))).toBe('1 1!')
  })

  test('serves, stays, survives a hung call and is replaced after a crash', async () => {
    const server = { mode: 'server', server: args('server') }
    const first = await world.call({ ...server, prompt: 'who' })
    expect(first).toMatchObject({ status: 'succeeded', response: { statusCode: 200 } })
    const second = await world.call({ ...server, prompt: 'who' })
    expect(second.runtime?.isWarm).toBe(true)
    expect((await world.call({ ...server, prompt: 'refuse' })).error).toMatchObject({
      type: 'validation',
    })
    expect((await world.call({ ...server, prompt: 'hang', timeout_s: 0.3 })).error?.type).toBe('timeout')
    expect(text(await world.call({ ...server, prompt: 'next' }))).toBe('next!')
    const crashed = await world.call({ ...server, prompt: 'crash' })
    expect(crashed.error?.type).toBe('generation')
    expect(crashed.logsTail).toContain('it dies now')
    expect(text(await world.call({ ...server, prompt: 'who' }))).toBe('1 1!')
  })

  test('that dies while it loads fails at once, with the end of its log', async () => {
    const since = performance.now()
    const outcome = await world.call({ mode: 'server', prompt: 'x', server: args('dies') })
    expect(outcome.error?.type).toBe('setup_failed')
    expect(outcome.logsTail).toContain('no weights found')
    expect(outcome.error?.message).toMatch(/exit code 4, before it was ready[^]*\nno weights found$/)
    expect(performance.now() - since).toBeLessThan(20_000)
  })

  test('that loads for too long fails', async () => {
    const server = { ...args('server'), env: { LOADING: '600' }, startup_timeout_s: 1 }
    const outcome = await world.call({ mode: 'server', prompt: 'x', server })
    expect(outcome.error?.type).toBe('startup_timeout')
  })

  test('that still loads at the deadline, or when nobody wants it any more, ends its call at once', async () => {
    const server = { ...args('server', '/tmp/late.sock'), env: { LOADING: '600' } }
    const deadline = new Date(Date.now() + 1000).toISOString()
    const late = await world.call({ mode: 'server', prompt: 'x', server, deadline })
    expect(late).toMatchObject({ status: 'aborted', error: { type: 'deadline_exceeded' }, predictMs: null })
    const cancel = AbortSignal.timeout(300)
    const unwanted = await world.call({ mode: 'server', prompt: 'x', server }, cancel)
    expect(unwanted).toMatchObject({ status: 'canceled', error: { type: 'canceled' }, predictMs: null })
  })

  test('that works at the deadline is asked no longer', async () => {
    const server = { mode: 'server', server: args('server') }
    await world.call({ ...server, prompt: 'x' })
    const deadline = new Date(Date.now() + 1000).toISOString()
    const cut = await world.call({ ...server, prompt: 'hang', deadline })
    expect(cut).toMatchObject({ status: 'aborted', error: { type: 'deadline_exceeded' } })
    expect(cut.runtime?.isWarm).toBe(true)
    expect(cut.predictMs).not.toBeNull()
  })

  test('may say by labels where it listens, and that it tells when it has loaded', async () => {
    if (engine !== undefined) await buildPythonImage(engine, LABELLED, MODEL, { changes: LABELS })
    const env = { LOADING: '1.5' }
    const slow = { image: LABELLED, mode: 'jsonl', server: { ...args('jsonl'), env }, timeout_s: 1 }
    const outcome = await world.call({ ...slow, prompt: 'x' })
    expect([outcome.status, text(outcome)]).toEqual(['succeeded', 'x!'])
    expect(outcome.coldStartMs).toBeGreaterThan(1500)
    expect(outcome.predictMs).toBeLessThan(1000)
    const stuck = { ...slow.server, env: { LOADING: '600' }, startup_timeout_s: 1 }
    expect((await world.call({ ...slow, server: stuck, prompt: 'x' })).error?.type).toBe('startup_timeout')
    const server = { image: LABELLED, mode: 'server', server: args('server', '/run/model/model.sock') }
    expect(text(await world.call({ ...server, prompt: 'network' }))).toBe('lo!')
  })

  test('that serves a unix socket needs no network', async () => {
    const socket = '/run/model/model.sock'
    await using other = await openWorld(TAG, { 'inference.server.socket': socket })
    const server = { mode: 'server', server: args('server', socket) }
    expect(text(await other.call({ ...server, prompt: 'network' }))).toBe('lo!')
  })
})

describe.skipIf(!isRunnable)('the model of the config', () => {
  test('that never becomes ready is the surroundings’ fault', async () => {
    if (engine !== undefined) await buildPythonImage(engine, TAG, MODEL)
    await using world = await openWorld(TAG, { 'inference.image': TAG, 'inference.mode': 'server' })
    world.models.engine.settings.args = [...COMMAND, 'dies']
    const signal = new AbortController().signal
    const ready = assertModelReady(world.models.engine, signal)
    await expect(ready).rejects.toMatchObject({ surrounding: 'model' })
    await expect(ready).rejects.toThrow('no weights found')
    await expect(world.call({ image: undefined, prompt: 'x' })).rejects.toBeInstanceOf(RetryableError)
  })

  test('is loaded ahead, and then warm', async () => {
    await using world = await openWorld(TAG, { 'inference.image': TAG, 'inference.mode': 'server' })
    world.models.engine.settings.args = [...COMMAND, 'server']
    await assertModelReady(world.models.engine, new AbortController().signal)
    const outcome = await world.call({ image: undefined, prompt: 'x' })
    expect(outcome).toMatchObject({ status: 'succeeded', runtime: { isWarm: true }, coldStartMs: 0 })
  })
})
