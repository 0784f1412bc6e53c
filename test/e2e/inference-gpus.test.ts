import { get } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { connectEngine } from '../../src/executors/docker/api/connect.ts'
import { MODEL } from '../docker/inference/models.ts'
import { canStartPrivateEngine, startPrivateEngine, type PrivateEngine } from '../support/engine.ts'
import { makeGpuStandIns } from '../support/gpu-stand-ins.ts'
import { buildPythonImage, hasPython } from '../support/images.ts'
import { InferencePlace, textOf } from '../support/inference-place.ts'

const TAG = 'opthub-runner-test/e2e-inference-gpus:1'
const [A, B] = ['GPU-0a0a0a0a-1111-2222-3333-444444444444', 'GPU-0b0b0b0b-1111-2222-3333-444444444444']
const ARGS = ['python3', '-u', '/app/main.py', 'jsonl']
const CPU_MODEL = { image: TAG, mode: 'jsonl', server: { args: ARGS } }

/** By lines: the ports of an engine with a network namespace of its own can't be reached from here. */
function gpuModel(name: string): object {
  return { image: TAG, mode: 'jsonl', server: { args: ARGS, env: { NAME: name } }, resources: { gpus: 1 } }
}

/** How many containers with a GPU there were at each moment at most, as the engine has seen it. */
async function mostAtOnce(
  { socketPath }: PrivateEngine,
  since: number,
): Promise<{ starts: number; most: number }> {
  const filters = JSON.stringify({
    type: ['container'],
    label: ['org.opthub.runner.gpus'],
    event: ['start', 'die'],
  })
  const query = new URLSearchParams({
    since: String(since),
    until: String(Math.ceil(Date.now() / 1000)),
    filters,
  })
  const body = await new Promise<string>((resolve, reject) => {
    get({ socketPath, path: `/events?${query.toString()}` }, (response) => {
      text(response).then(resolve, reject)
    }).on('error', reject)
  })
  const events = body
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { Action: string; timeNano: number })
    .sort((a, b) => a.timeNano - b.timeNano)
  let [now, most] = [0, 0]
  for (const { Action } of events) {
    now += Action === 'start' ? 1 : -1
    most = Math.max(most, now)
  }
  return { starts: events.filter(({ Action }) => Action === 'start').length, most }
}

describe.runIf(canStartPrivateEngine() && (await hasPython()))('models on GPUs', () => {
  test('take turns on one, and the one that was used last stays; one without GPU is let be', async () => {
    await using place = await InferencePlace.open({ inference: { startup_timeout: 60 } })
    const gpus = await makeGpuStandIns(join(place.work.folder, 'stand-ins'))
    await gpus.setGpus([A])
    await using engine = await startPrivateEngine({ path: gpus.toolkit })
    const connection = await connectEngine({ host: engine.host, environment: {} })
    await buildPythonImage(connection, TAG, MODEL)
    connection.close()
    const since = Math.floor(Date.now() / 1000)
    const runner = () =>
      place.runner(['--concurrency', '4', '--metrics-port', '127.0.0.1:0'], {
        DOCKER_HOST: engine.host,
        PATH: `${gpus.driver}:${process.env['PATH'] ?? ''}`,
      })
    async function call(id: string, message: object): Promise<{ warm: boolean; gpuIds: string[] }> {
      await place.send({ id, prompt: id, ...message })
      const item = await place.result(id, 60_000)
      expect(item).toMatchObject({ Status: 'succeeded', Error: null })
      expect(textOf(item)).toBe(`${id}!`)
      return { warm: item.Runtime.Warm, gpuIds: item.Runtime.GpuIds }
    }

    const one = runner()
    expect(await call('cpu-1', CPU_MODEL)).toEqual({ warm: false, gpuIds: [] })
    const burst = [1, 2, 3, 4, 5, 6].map((n) => call(`burst-${n}`, gpuModel(`m${n % 3}`)))
    for (const { gpuIds } of await Promise.all(burst)) expect(gpuIds).toEqual([A])
    expect(await call('again-1', gpuModel('m1'))).toMatchObject({ gpuIds: [A] })
    expect(await call('again-2', gpuModel('m1'))).toEqual({ warm: true, gpuIds: [A] })
    expect(await call('cpu-2', CPU_MODEL)).toEqual({ warm: true, gpuIds: [] })
    const { url } = one.records().find(({ msg }) => msg === 'Metrics are served') as { url: string }
    const figures = await (await fetch(new URL('/metrics', url))).text()
    expect(figures).toMatch(/^opthub_runner_models\{state="ready",.*\} 2$/m)
    one.child.kill('SIGTERM')
    expect(await one.ended).toBe(0)
    const { starts, most } = await mostAtOnce(engine, since)
    expect(most).toBe(1)
    expect(starts).toBeGreaterThanOrEqual(3)

    await gpus.setGpus([A, B])
    const two = runner()
    for (const name of ['m1', 'm2', 'm1']) await call(`two-${name}-${Date.now()}`, gpuModel(name))
    expect(await call('third', gpuModel('m3'))).toMatchObject({ warm: false })
    expect(await call('stays', gpuModel('m1'))).toMatchObject({ warm: true })
    expect(await call('gone', gpuModel('m2'))).toMatchObject({ warm: false })
    two.child.kill('SIGTERM')
    expect(await two.ended).toBe(0)
    expect(await place.depth()).toEqual({ waiting: 0, inFlight: 0 })
  })
})
