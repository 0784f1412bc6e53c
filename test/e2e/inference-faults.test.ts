import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MODEL } from '../docker/inference/models.ts'
import { requireEngine } from '../support/engine.ts'
import { buildPythonImage, hasPython } from '../support/images.ts'
import { InferencePlace, textOf } from '../support/inference-place.ts'

const engine = await requireEngine()
const isRunnable = engine !== undefined && (await hasPython())
const TAG = 'opthub-runner-test/e2e-inference-faults:1'
const PINNED = 'opthub-runner-test/e2e-inference-pinned:1'
const COMMAND = ['python3', '-u', '/app/main.py']
const BROKEN = 'import sys, time\nprint("no weights found", file=sys.stderr, flush=True)\ntime.sleep(0.2)\nsys.exit(4)\n'

describe.skipIf(!isRunnable)('inference', () => {
  beforeAll(async () => {
    if (engine !== undefined) await buildPythonImage(engine, TAG, MODEL)
  })
  afterAll(() => engine?.close())

  async function makePinned(program: string): Promise<void> {
    if (engine !== undefined) await buildPythonImage(engine, PINNED, program)
  }

  test('receives nothing while the model of the config fails, and goes on by itself when it works', async () => {
    await makePinned(BROKEN)
    await using place = await InferencePlace.open({
      inference: { image: PINNED, mode: 'server', args: [...COMMAND, 'server'] },
    })
    const ids = ['a', 'b', 'c', 'd', 'e']
    await place.send(...ids.map((id) => ({ id, prompt: id })))
    const runner = place.runner(['--concurrency', '2', '--log-level', 'DEBUG'])
    const told = (text: string) => runner.records().filter((record) => record['msg'] === text)
    await expect.poll(() => told('Still broken').length, { timeout: 60_000 }).toBeGreaterThan(2)
    expect(told('Paused: nothing is received until this works again')).toHaveLength(1)
    expect(runner.stderr()).toContain('no weights found')
    expect(told('Job started').length).toBeLessThanOrEqual(2)
    await makePinned(MODEL)
    for (const id of ids) {
      const item = await place.result(id, 120_000)
      expect(item).toMatchObject({ Status: 'succeeded', Error: null })
      expect(textOf(item)).toBe(`${id}!`)
      expect(item.Runtime.Attempt).toBeLessThanOrEqual(2)
    }
    expect(await place.depth()).toEqual({ waiting: 0, inFlight: 0 })
    runner.child.kill('SIGTERM')
    expect(await runner.ended).toBe(0)
  })
})
