import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../../src/core/clock.ts'
import type { TaskInput } from '../../../../src/executors/executor.ts'
import { createKeptPool } from '../../../../src/executors/kept-pool.ts'
import type { ModelSession } from '../../../../src/kinds/inference/session.ts'
import type { InferenceSettings } from '../../../../src/kinds/inference/settings.ts'
import { ModelError } from '../../../../src/models/protocol.ts'
import { signalTraces } from '../../../support/signal-traces.ts'
import { FakeExecutor, recordingLog, type FakeTask } from '../../executors/kept-fakes.ts'
import { createWorld, type World } from './harness.ts'

const NVML = 'Failed to initialize NVML: Unknown Error'

interface Options {
  labels?: Readonly<Record<string, string>>
  /** What the server in a container throws. */
  error?: ModelError
}

/** Containers that stay: those that read lines fail with what they are asked, servers with `error`. */
function open(
  settings: Partial<InferenceSettings>,
  { labels = {}, error }: Options = {},
): World & { containers: FakeExecutor } {
  const containers = new FakeExecutor(['GPU-1'])
  containers.pull = (image) => Promise.resolve({ id: `sha256:${image}`, labels })
  containers.onStart = (task) => {
    Object.assign(task, {
      endpoint: () => Promise.resolve({ host: '127.0.0.1', port: 1 }),
      send: (input: TaskInput) => failLines(task, input),
    })
  }
  const pool = createKeptPool<ModelSession>({
    ...{ executor: containers, maxWarm: { gpu: 1, cpu: 3 }, clock: systemClock, log: recordingLog().log },
  })
  const world = createWorld({}, settings)
  Object.assign(world.services, { executor: containers, pool })
  world.services.protocol = () =>
    Promise.resolve({
      name: 'openai',
      connect: () => ({
        readiness: () => Promise.resolve('ready'),
        isIdle: () => Promise.resolve(true),
        call: () => Promise.reject(error ?? new Error('no server')),
        close: () => undefined,
      }),
    })
  return { ...world, containers }
}

async function failLines(task: FakeTask, input: TaskInput): Promise<void> {
  if (input instanceof Uint8Array) return
  for await (const line of input) {
    const { id, prompt } = JSON.parse(Buffer.from(line).toString()) as { id: string; prompt: string }
    task.print(`${JSON.stringify({ id, error: prompt })}\n`, 'stdout')
  }
}

function errorType(world: World): unknown {
  return (world.item()?.['Error'] as ReadonlyMap<string, unknown> | undefined)?.get('Type')
}

describe('a model that says that it has lost its GPU', () => {
  test('and never had one fails its call', async () => {
    const world = open({ mode: 'jsonl' })
    expect(await world.deliver({ prompt: NVML })).toBe('succeeded')
    expect(errorType(world)).toBe('generation')
  })

  test('and has one is tried again', async () => {
    const world = open({ mode: 'jsonl', sizes: { gpus: 1 } })
    await expect(world.deliver({ prompt: NVML })).rejects.toMatchObject({ surrounding: 'container' })
  })
})

describe('a label that names no socket', () => {
  const labels = { 'opthub-runner.socket': 'model.sock' }

  test('fails the job that names the image', async () => {
    const world = open({ mode: 'server' }, { labels })
    expect(await world.deliver({ prompt: 'x' })).toBe('succeeded')
    expect(errorType(world)).toBe('setup_failed')
    expect(world.containers.tasks).toEqual([])
  })

  test('of the image of the config is the operator’s to mend', async () => {
    const world = open({ mode: 'server', image: 'mine' }, { labels })
    await expect(world.deliver({ image: undefined, prompt: 'x' })).rejects.toMatchObject({
      surrounding: 'model',
    })
  })
})

describe('a server that asks for a pause', () => {
  const error = new ModelError('overloaded', 'busy', { retryAfterSeconds: 7 })

  test('is waited for where the config names it', async () => {
    const world = open({ mode: 'server', image: 'mine' }, { error })
    await expect(world.deliver({ image: undefined, prompt: 'x' })).rejects.toMatchObject({
      name: 'NotYetError',
      retryAfterSeconds: 7,
    })
  })

  test('costs a try where the message names it', async () => {
    const world = open({ mode: 'server' }, { error })
    await expect(world.deliver({ prompt: 'x' })).rejects.toMatchObject({ surrounding: 'container' })
  })
})

test('calls leave nothing in the signals of their container', async () => {
  const world = open({ mode: 'jsonl' })
  const { pool } = world.services
  const died: AbortSignal[] = []
  world.services.pool = {
    ...pool,
    acquire: async (...given) => {
      const call = await pool.acquire(...given)
      died.push(call.died)
      return call
    },
  }
  const traces: number[] = []
  for (const id of ['a', 'b', 'c']) {
    await world.deliver({ id, prompt: 'no' })
    traces.push(signalTraces(died[0] ?? new AbortController().signal))
  }
  expect(new Set(died).size).toBe(1)
  expect(new Set(traces).size).toBe(1)
})
