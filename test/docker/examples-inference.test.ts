import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import * as programs from '../../src/executors/docker/images/host-programs.ts'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { importImage } from '../../src/executors/docker/images/import-image.ts'
import type { Endpoint } from '../../src/executors/executor.ts'
import { requireEngine } from '../support/engine.ts'
import { hasPython } from '../support/images.ts'
import { setUp } from './executor/harness.ts'

const SCRIPT = join(resolve(import.meta.dirname, '../..'), 'scripts/example-model-image.mjs')
const TAG = `opthub-runner-test/inference-example:${process.pid}`
const engine = await requireEngine()

const { makeModelImage } = (await import(pathToFileURL(SCRIPT).href)) as {
  makeModelImage: (engine: Engine, tag: string, parts: object) => Promise<{ made: boolean }>
}

async function docker(...args: string[]): Promise<string> {
  return (await promisify(execFile)('docker', args)).stdout.trim()
}

async function pipe(args: readonly string[], input: string): Promise<unknown[]> {
  const child = spawn('docker', ['run', '--rm', '-i', '--network', 'none', '--read-only', TAG, ...args])
  child.stdin.end(input)
  const closed = once(child, 'close')
  const text = (await child.stdout.setEncoding('utf8').toArray()).join('')
  expect(await closed).toEqual([0, null])
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
}

describe.skipIf(engine === undefined || !(await hasPython()))('the image of examples/inference', () => {
  beforeAll(async () => {
    if (engine === undefined) return
    expect(await makeModelImage(engine, TAG, { importImage, ...programs })).toMatchObject({ made: true })
    // Of the same corpus it is the same image.
    expect(await makeModelImage(engine, TAG, { importImage, ...programs })).toMatchObject({ made: false })
  })
  afterAll(async () => {
    await docker('rmi', TAG)
    engine?.close()
  })

  test.each([[['oneshot']], [['jsonl']], [[]]])(
    'answers its standard input with arguments %j',
    async (args) => {
      const [answer] = await pipe(args, '{"id": "a", "prompt": "def fib("}\n')
      expect(answer).toMatchObject({
        id: 'a',
        choices: [{ text: expect.stringContaining('return fib(n - 1) + fib(n - 2)') as string }],
      })
    },
  )

  test.each([
    ['a unix socket without a network', { socketPath: '/run/model/model.sock' }, 'none'],
    ['a port', { port: 8000 }, 'default'],
  ] as const)('serves HTTP on %s when it has no input', async (_, server, network) => {
    if (engine === undefined) return
    const bench = setUp(engine, TAG)
    try {
      const command: string[] = []
      const spec = bench.spec('', { command, server, limits: { network, readOnly: true } })
      const task = await bench.executor.start(spec, new AbortController().signal)
      const endpoint = await task.endpoint?.()
      if (endpoint === undefined) throw new Error('no endpoint')
      expect(await untilAnswered(endpoint)).toContain('return fib(n - 1) + fib(n - 2)')
      await task[Symbol.asyncDispose]()
    } finally {
      await bench.close()
    }
  })

  test('names its socket, and ends at once when it is told', async () => {
    const label = '{{index .Config.Labels "opthub-runner.socket"}}'
    expect(await docker('image', 'inspect', '--format', label, TAG)).toBe('/run/model/model.sock')
    const id = await docker('run', '-d', '--network', 'none', TAG, 'server')
    try {
      await vi.waitFor(async () => {
        expect(await logs(id)).toContain('serves tiny-python')
      }, 30_000)
      await docker('stop', '--time', '60', id)
      // 137 would be the engine's kill.
      expect(await docker('inspect', '--format', '{{.State.ExitCode}}', id)).toBe('0')
    } finally {
      await docker('rm', '-f', id)
    }
  })
})

async function logs(id: string): Promise<string> {
  return (await promisify(execFile)('docker', ['logs', id])).stderr
}

async function untilAnswered(endpoint: Endpoint): Promise<string> {
  for (let left = 100; ; left -= 1) {
    try {
      // A connection to a published port from before the server listens may never be answered.
      const signal = AbortSignal.timeout(1000)
      const call = request({ ...endpoint, path: '/v1/completions', method: 'POST', agent: false, signal })
      call.end('{"prompt": "def fib("}')
      const [response] = (await once(call, 'response')) as [IncomingMessage]
      return (await response.setEncoding('utf8').toArray()).join('')
    } catch (error) {
      if (left === 0) throw error
      await delay(100)
    }
  }
}
