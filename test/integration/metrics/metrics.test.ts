import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { OperatorError } from '../../../src/core/errors.ts'
import type { JobView } from '../../../src/core/observer.ts'
import { Timeline } from '../../../src/core/timeline.ts'
import { createMetrics } from '../../../src/metrics/metrics.ts'
import { serveMetrics } from '../../../src/metrics/serve.ts'

async function open() {
  const metrics = createMetrics({ kind: 'evaluator', processName: 'judge "1"', slots: 4 })
  const served = await serveMetrics(metrics, 0)
  onTestFinished(() => served.close())
  const ask = async (path: string, init?: RequestInit): Promise<{ status: number; text: string }> => {
    const answer = await fetch(new URL(path, served.url), init)
    return { status: answer.status, text: await answer.text() }
  }
  return { metrics, ask, served }
}

function job(): JobView {
  const timeline = new Timeline(systemClock)
  timeline.add('run', 250)
  return {
    kind: 'evaluator',
    identity: { id: 'a', shortId: 'a', fields: {} },
    slot: 0,
    since: 0,
    timeline,
  }
}

describe('metrics', () => {
  it('count jobs by what became of them, and how long their phases took', async () => {
    const { metrics, ask } = await open()
    const [first, second] = [job(), job()]
    metrics.observer.jobStarted(first)
    metrics.observer.jobStarted(second)
    metrics.observer.jobEnded(first, 'succeeded')
    const { status, text } = await ask('/metrics')
    expect(status).toBe(200)
    const labels = 'kind="evaluator",process_name="judge \\"1\\""'
    expect(text).toContain(`opthub_runner_jobs_total{outcome="succeeded",${labels}} 1`)
    expect(text).toContain(`opthub_runner_slots_busy{${labels}} 1`)
    expect(text).toContain(`opthub_runner_slots{${labels}} 4`)
    expect(text).toMatch(/^opthub_runner_job_phase_seconds_sum\{.*phase="run".*\} 0\.25$/m)
    expect(text).toContain('process_resident_memory_bytes')
  })

  it('tell the containers of models as they are at each look, once there can be any', async () => {
    const { metrics, ask } = await open()
    expect((await ask('/metrics')).text).not.toContain('opthub_runner_models')
    const now = { loading: 1, ready: 0 }
    metrics.watchModels(() => now)
    expect((await ask('/metrics')).text).toMatch(/^opthub_runner_models\{state="loading",.*\} 1$/m)
    Object.assign(now, { loading: 0, ready: 2 })
    const { text } = await ask('/metrics')
    expect(text).toMatch(/^opthub_runner_models\{state="loading",.*\} 0$/m)
    expect(text).toMatch(/^opthub_runner_models\{state="ready",.*\} 2$/m)
  })

  it('say whether the runner takes jobs, and why not', async () => {
    const { metrics, ask } = await open()
    expect(await ask('/readyz')).toEqual({ status: 503, text: 'not ready: starting\n' })
    metrics.observer.stateChanged('polling')
    expect(await ask('/readyz')).toEqual({ status: 200, text: 'ready\n' })
    metrics.observer.stateChanged('paused', 'the Docker engine does not answer')
    expect(await ask('/readyz')).toMatchObject({
      status: 503,
      text: expect.stringContaining('Docker') as string,
    })
    expect((await ask('/metrics')).text).toMatch(/^opthub_runner_ready\{.*\} 0$/m)
    expect(await ask('/healthz')).toEqual({ status: 200, text: 'alive\n' })
  })

  it('answer nothing else', async () => {
    const { ask } = await open()
    expect((await ask('/')).status).toBe(404)
    expect((await ask('/metrics', { method: 'POST', body: 'x' })).status).toBe(405)
    expect((await ask('/metrics?x=%')).status).toBe(200)
  })

  it('listen on another address when told to', async () => {
    const metrics = createMetrics({ kind: 'scorer', processName: 'x', slots: 1 })
    const served = await serveMetrics(metrics, '[::1]:0')
    onTestFinished(() => served.close())
    expect((await fetch(served.url)).status).toBe(200)
  })

  it('say what is wrong when their port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    onTestFinished(() => void other.close())
    const { port } = other.address() as AddressInfo
    const metrics = createMetrics({ kind: 'scorer', processName: 'x', slots: 1 })
    await expect(serveMetrics(metrics, port)).rejects.toThrow(OperatorError)
    await expect(serveMetrics(metrics, '192.0.2.1:0')).rejects.toThrow(OperatorError)
  })
})
