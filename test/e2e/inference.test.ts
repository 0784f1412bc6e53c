import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { MODEL } from '../docker/inference/models.ts'
import { toYaml } from '../support/aws-settings.ts'
import { requireEngine } from '../support/engine.ts'
import { buildPythonImage, hasPython } from '../support/images.ts'
import { Workplace } from '../support/run-bin.ts'

const engine = await requireEngine()
const isRunnable = engine !== undefined && (await hasPython())
const TAG = 'opthub-runner-test/e2e-inference:1'
const COMMAND = ['python3', '-u', '/app/main.py']

/** Containers that a call of this test has left. */
async function leftOvers(docker: Engine): Promise<unknown[]> {
  const filters = JSON.stringify({ ancestor: [TAG] })
  return (await docker.json('GET', '/containers/json', { query: { all: '1', filters } })) as unknown[]
}

interface Result {
  Status: string
  Output: { choices: { text: string }[] } | null
  Error: { Type: string; Message: string } | null
  Runtime: { Warm: boolean; Attempt: number }
}

describe.skipIf(!isRunnable)('inference', () => {
  let place: Workplace

  beforeAll(async () => {
    if (engine !== undefined) await buildPythonImage(engine, TAG, MODEL)
  })
  afterAll(() => engine?.close())
  beforeEach(async () => {
    place = await Workplace.create(
      toYaml({ pull_policy: 'never', interval: 0.1, wait_time: 1, visibility_timeout: 6 }),
    )
  })
  afterEach(async () => {
    await place[Symbol.asyncDispose]()
    if (engine !== undefined) await expect.poll(() => leftOvers(engine), { timeout: 20_000 }).toEqual([])
  })

  async function call(...args: string[]): Promise<{ code: number | string; out: string; err: string }> {
    const run = place.start(args)
    const code = await run.ended
    return { code, out: run.stdout(), err: run.stderr() }
  }

  async function submit(id: string, message: object): Promise<void> {
    const file = join(place.folder, `${id}.json`)
    const base = { id, image: TAG, mode: 'server', server: { args: [...COMMAND, 'server'] } }
    await writeFile(file, JSON.stringify({ ...base, ...message }))
    const submitted = await call('submit', 'inference', '--local', '--message-file', file)
    expect(submitted).toMatchObject({ code: 0, out: `${id}\n` })
  }

  async function result(id: string): Promise<Result> {
    const { out } = await call('results', 'inference', '--local', '--watch', '--json', id)
    return JSON.parse(out) as Result
  }

  test.each(['oneshot', 'jsonl', 'server'])('calls a model here and now: %s', async (mode) => {
    const words = ['--image', TAG, '--mode', mode, '--prompt', 'def', '--', ...COMMAND, mode]
    expect(await call('inference', ...words)).toEqual({ code: 0, out: 'def!\n', err: '' })
  })

  test('says why there is no answer', async () => {
    const dead = await call('inference', '--image', TAG, '--prompt', 'x', '--', ...COMMAND, 'dies')
    expect(dead).toMatchObject({ code: 1, out: '' })
    expect(dead.err).toContain('no weights found')
    expect(dead.err).toContain('failed: generation')
    const wrong = await call('inference', '--image', TAG, '--prompt', 'x', '--mode', 'stream')
    expect(wrong).toMatchObject({ code: 2, out: '' })
    expect(wrong.err).toContain('mode must be one of oneshot, jsonl, server')
  })

  test('works a queue: warm calls, a hung one, a cancelled one, and one that outlives its runner', async () => {
    // One that serves queue and table all the time: a call that does so for others takes its leave in between.
    const local = place.start(['local', '--json'])
    await expect.poll(() => local.stdout(), { timeout: 20_000 }).toContain('endpoints')
    await submit('first', { prompt: 'who' })
    await submit('second', { prompt: 'who' })
    const runner = place.start(['inference', '--local'])
    expect(await result('first')).toMatchObject({ Status: 'succeeded', Runtime: { Warm: false } })
    expect(await result('second')).toMatchObject({
      Status: 'succeeded',
      Output: { choices: [{ text: '1 2!' }] },
      Runtime: { Warm: true },
    })
    await submit('hung', { prompt: 'hang', timeout_s: 0.5 })
    expect(await result('hung')).toMatchObject({ Status: 'failed', Error: { Type: 'timeout' } })
    await submit('unwanted', { prompt: 'hang' })
    await expect
      .poll(async () => (await call('results', 'inference', '--local', 'unwanted')).out)
      .toBe('unwanted is processing\n')
    expect(await call('cancel', '--local', 'unwanted')).toMatchObject({ code: 0 })
    expect(await result('unwanted')).toMatchObject({ Status: 'canceled', Error: { Type: 'canceled' } })
    expect(await call('cancel', '--local', 'unwanted')).toMatchObject({
      code: 1,
      out: 'unwanted has ended already\n',
    })

    await submit('again', { prompt: 'hang', timeout_s: 2 })
    await expect
      .poll(async () => (await call('results', 'inference', '--local', 'again')).out)
      .toBe('again is processing\n')
    runner.child.kill('SIGKILL')
    await runner.ended
    const other = place.start(['inference', '--local'])
    expect(await result('again')).toMatchObject({
      Status: 'failed',
      Error: { Type: 'timeout' },
      Runtime: { Attempt: 2 },
    })
    other.child.kill('SIGTERM')
    expect(await other.ended).toBe(0)
  })

  test('with --preload nothing is received while the model is not ready', async () => {
    await writeFile(
      join(place.folder, 'config.yml'),
      toYaml({
        pull_policy: 'never',
        interval: 0.1,
        wait_time: 1,
        inference: { args: [...COMMAND, 'dies'] },
      }),
    )
    await submit('waits', { prompt: 'x', image: undefined, mode: undefined, server: undefined })
    const runner = place.start(['inference', '--local', '--image', TAG, '--mode', 'server', '--preload'])
    await expect
      .poll(() => runner.stderr() + runner.stdout(), { timeout: 20_000 })
      .toContain('no weights found')
    expect((await call('results', 'inference', '--local', 'waits')).out).toBe('waits is queued\n')
    runner.child.kill('SIGTERM')
    expect(await runner.ended).toBe(0)
  })
})
