import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OperatorError } from '../../../src/core/errors.ts'
import { connectEngine } from '../../../src/executors/docker/api/connect.ts'
import type { Engine } from '../../../src/executors/docker/api/engine.ts'
import {
  canStartPrivateEngine,
  requireEngine,
  startPrivateEngine,
  type PrivateEngine,
} from '../../support/engine.ts'
import { hasPython } from '../../support/images.ts'
import { buildWalled, type Walled } from './walled.ts'

const shared = await requireEngine()
const never = new AbortController().signal

describe.skipIf(shared === undefined || !(await hasPython()))('an engine with all that walls need', () => {
  let walled: Walled

  beforeAll(async () => {
    if (shared !== undefined) walled = await buildWalled(shared)
  })
  afterAll(() => walled.executor.close())

  it('passes, with a runtime by its name too', async () => {
    await walled.executor.assertWalls(undefined, never)
    await walled.executor.assertWalls('runc', never)
  })

  it('is refused for a runtime that it lacks', async () => {
    const refusal = await failure(walled, 'runsc-that-is-not-there')
    expect(refusal).toBeInstanceOf(OperatorError)
    expect(refusal).toMatchObject({
      why: expect.stringMatching(/no runtime "runsc-that-is-not-there"; it has .*runc/) as unknown,
    })
  })

  it('is refused for a runtime of containerd that it can’t start', async () => {
    expect(await failure(walled, 'io.containerd.nothing.v2')).toBeInstanceOf(OperatorError)
  })
})

describe.skipIf(!canStartPrivateEngine())('an engine that lacks something', () => {
  let own: PrivateEngine
  let engine: Engine
  let walled: Walled

  beforeAll(async () => {
    own = await startPrivateEngine({
      args: ['--init-path', '/nowhere/docker-init', '--add-runtime', 'broken=/bin/false'],
    })
    engine = await connectEngine({ host: own.host, environment: {} })
    walled = await buildWalled(engine)
  })
  afterAll(async () => {
    await walled.executor.close()
    await own[Symbol.asyncDispose]()
  })

  it('is refused, and says what it is', async () => {
    const refusal = await failure(walled, undefined)
    expect(refusal).toBeInstanceOf(OperatorError)
    expect(refusal).toMatchObject({ why: expect.stringContaining('docker-init') as unknown })
  })

  it('is refused for a runtime that does not work', async () => {
    expect(await failure(walled, 'broken')).toMatchObject({
      why: expect.stringContaining('runtime broken') as unknown,
    })
  })

  it('fails the runner, not the job', async () => {
    await expect(walled.run('print()')).rejects.toMatchObject({
      name: 'RetryableError',
      surrounding: 'engine',
      message: expect.stringContaining('docker-init') as unknown,
    })
  })

  it('is left as it was', async () => {
    expect(await engine.json('GET', '/containers/json', { query: { all: '1' } })).toEqual([])
    expect(await engine.json('GET', '/volumes')).toMatchObject({ Volumes: [] })
  })
})

async function failure({ executor }: Walled, runtime: string | undefined): Promise<unknown> {
  return await executor.assertWalls(runtime, never).catch((error: unknown) => error)
}
