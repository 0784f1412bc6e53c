import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatJson } from '../../../src/core/json.ts'
import { importHostNodeImage } from '../../../src/executors/docker/images/host-image.ts'
import type { InferenceOutcome } from '../../../src/records/inference.ts'
import { requireEngine } from '../../support/engine.ts'
import { openWorld, text, type World } from './world.ts'

const engine = await requireEngine()
const TAG = 'opthub-runner-test/inference-stand-in:1'
const SCRIPT = join(import.meta.dirname, '../../support/models/stand-in.mjs')
const LISTEN = { port: 8000, host: '0.0.0.0' }

interface Settings {
  protocol: string
  [key: string]: unknown
}

/** A message to a container of these settings. */
function asked({ protocol, ...more }: Settings, message: object = { prompt: 'x' }): object {
  const settings = JSON.stringify({ protocol, listen: LISTEN, ...more })
  const server = { args: ['/usr/bin/node', '/app/stand-in.mjs', settings], startup_timeout_s: 30 }
  return { mode: 'server', protocol, server, ...message }
}

describe.skipIf(engine === undefined)('a server in a container', () => {
  let world: World
  const call = (settings: Settings, message?: object): Promise<InferenceOutcome> =>
    world.call(asked(settings, message))

  beforeAll(async () => {
    if (engine === undefined) return
    await importHostNodeImage(engine, {
      tag: TAG,
      files: { '/app/stand-in.mjs': await readFile(SCRIPT, 'utf8') },
      command: ['/usr/bin/node', '/app/stand-in.mjs'],
      nodePath: process.execPath,
    })
    world = await openWorld(TAG)
  })
  afterAll(async () => {
    await world[Symbol.asyncDispose]()
  })

  test.each([
    ['openai', { prompt: 'x' }, 'x…done'],
    ['openai', { messages: [{ role: 'user', content: 'x' }] }, '"finish_reason":"stop"'],
    ['kserve', { prompt: 'x' }, 'x…done'],
    ['triton-generate', { prompt: 'x' }, 'x…done'],
    ['cog', { input: { prompt: 'x' } }, 'done'],
    ['raw', { body: { any: 'x' }, path: '/ask' }, '{"echo":{"any":"x"}}'],
  ])('that speaks %s answers %j', async (protocol, message, answer) => {
    const health = protocol === 'raw' ? { health_path: '/ready' } : {}
    const { server, ...rest } = asked({ protocol }, message) as { server: object }
    const outcome = await world.call({ ...rest, server: { ...server, ...health } })
    expect(outcome.status).toBe('succeeded')
    expect(formatJson(outcome.output)).toContain(answer)
  })

  test('that loads slowly is waited for, once', async () => {
    const slow = { protocol: 'openai', loadMs: 1500 }
    const [first, second] = await Promise.all([call(slow), call(slow)])
    expect(first.coldStartMs).toBeGreaterThan(1000)
    expect([text(first), text(second)]).toEqual(['x…done', 'x…done'])
    expect((await call(slow)).runtime?.isWarm).toBe(true)
  })

  test('that fails while it loads says why', async () => {
    const outcome = await call({ protocol: 'openai', loadMs: 300, failLoad: 4 })
    expect(outcome.error?.type).toBe('setup_failed')
    expect(outcome.logsTail).toContain('could not load the weights')
  })

  test('that crashes at its second call is replaced for the third', async () => {
    const fragile = { protocol: 'openai', crashAt: 2 }
    expect((await call(fragile)).status).toBe('succeeded')
    expect((await call(fragile)).error?.type).toBe('generation')
    expect((await call(fragile)).runtime?.isWarm).toBe(false)
  })

  test.each([
    ['hang', 'timeout'],
    ['empty', 'generation'],
    ['error', 'generation'],
    ['half', 'generation'],
    ['cut', 'generation'],
    ['huge', 'output_too_large'],
  ])('whose answer is %s: %s', async (behaviour, type) => {
    const outcome = await call({ protocol: 'openai', behaviour }, { prompt: 'x', timeout_s: 2 })
    expect(outcome).toMatchObject({ status: 'failed', error: { type } })
  })

  test('that is busy may be asked again', async () => {
    const busy = { protocol: 'openai', behaviour: 'busy' }
    await expect(call(busy)).rejects.toMatchObject({ type: 'overloaded', retryAfterSeconds: 2 })
    const next = await call(busy)
    expect([text(next), next.runtime?.isWarm]).toEqual(['x…done', true])
  })

  test.each([
    ['READY', 'succeeded', undefined],
    ['BUSY', 'succeeded', undefined],
    ['STARTING', 'failed', 'startup_timeout'],
    ['UNHEALTHY', 'failed', 'startup_timeout'],
    ['SETUP_FAILED', 'failed', 'setup_failed'],
    ['DEFUNCT', 'failed', 'setup_failed'],
  ])('that says %s has %s', async (state, status, type) => {
    const { server, ...rest } = asked({ protocol: 'cog', state }, { input: { prompt: 'x' } }) as {
      server: object
    }
    const startup = type === 'startup_timeout' ? { startup_timeout_s: 2 } : {}
    const outcome = await world.call({ ...rest, server: { ...server, ...startup } })
    expect([outcome.status, outcome.error?.type]).toEqual([status, type])
  })
})
