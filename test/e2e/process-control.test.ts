import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { requireEngine } from '../support/engine.ts'
import { buildShellImage } from '../support/images.ts'
import { type Run, Workplace } from '../support/run-bin.ts'

/** Says that it has begun, and ends when it is told to by a file of its own. */
const IMAGE = 'opthub-runner-test/process-control'
const MATCH = '22222222-2222-3333-4444-555555555555'
const STOP = resolve(import.meta.dirname, '../../bin/opthub-runner-stop.js')

const CONFIG = `wait_time: 1
heartbeat_interval: 5
stop_grace: 1
pull_policy: never
matches: {${MATCH}: {problem: {image: ${IMAGE}}}}
`

let engine: Engine | undefined

beforeAll(async () => {
  engine = await requireEngine()
  if (engine === undefined) return
  await buildShellImage(engine, IMAGE, `read -r seconds; sleep "$seconds"; echo '{"objective": 1}'`)
})
afterAll(() => {
  engine?.close()
})

interface Shown {
  name: string
  pid: number
  kind: string
  state: string
  stale: boolean
  jobs: { done: number; failed: number; active: number }
}

async function status(place: Workplace): Promise<Shown[]> {
  return JSON.parse(await place.run(['status', '--json'])) as Shown[]
}

/** Starts an evaluator and waits until it polls. */
async function startEvaluator(place: Workplace, name: string, ...more: string[]): Promise<Run> {
  const run = place.start(['evaluator', '--local', '--process-name', name, ...more])
  await expect
    .poll(
      async () => {
        const mine = (await status(place)).find(({ pid }) => pid === run.child.pid)
        return mine?.state ?? `none yet: ${run.stderr()}`
      },
      { timeout: 60_000, interval: 200 },
    )
    .toBe('polling')
  return run
}

async function submitSleep(place: Workplace, seconds: number): Promise<string> {
  const who = ['--match', MATCH, '--participant', 'User#1', '--variable', String(seconds)]
  return (await place.run(['submit', 'evaluator', '--local', ...who])).trim()
}

async function untilActive(place: Workplace, name: string): Promise<void> {
  await expect
    .poll(async () => (await status(place)).find((each) => each.name === name)?.jobs.active, {
      timeout: 60_000,
      interval: 200,
    })
    .toBe(1)
}

async function withEngine(body: (place: Workplace) => Promise<void>, config = CONFIG): Promise<void> {
  if (engine === undefined) return
  await using place = await Workplace.create(config)
  await body(place)
}

test('a name has one process, which is shown, and ended by its name', async () => {
  await withEngine(async (place) => {
    const first = await startEvaluator(place, 'main 1')
    const table = await place.run(['status'])
    expect(table).toMatch(/^name +pid +kind +state +jobs +uptime +last error$/m)
    expect(table).toMatch(
      new RegExp(`^main 1 +${String(first.child.pid)} +evaluator +polling +0 done, 0 failed, 0 running`, 'm'),
    )
    const second = place.start(['evaluator', '--local', '--process-name', 'main 1'])
    expect(await second.ended).toBe(1)
    expect(second.stderr()).toContain('is in use')
    expect(second.stderr()).toContain(`pid ${String(first.child.pid)}`)
    const other = await startEvaluator(place, 'other')
    const wrong = place.start(['stop', 'othr'])
    expect(await wrong.ended).toBe(1)
    expect(wrong.stderr()).toContain('Did you mean "other"?')
    expect(await place.run(['stop', 'main 1'])).toBe(`main 1 (pid ${String(first.child.pid)}) has ended\n`)
    expect(await first.ended).toBe(0)
    // The old runner's command.
    const old = spawn(process.execPath, [STOP, 'other'], {
      env: { ...process.env, OPTHUB_RUNNER_HOME: join(place.folder, 'home') },
      stdio: 'ignore',
    })
    expect((await once(old, 'exit'))[0]).toBe(0)
    expect(await other.ended).toBe(0)
    expect(await place.run(['status'])).toBe('No runner processes on this machine.\n')
  })
})

test('stop lets the job end, and asking twice does not cut it off', async () => {
  await withEngine(async (place) => {
    const run = await startEvaluator(place, 'one')
    const id = await submitSleep(place, 6)
    await untilActive(place, 'one')
    expect(await place.run(['stop', 'one', '--no-wait'])).toContain('is asked to stop')
    await expect.poll(async () => (await status(place))[0]?.state, { timeout: 5000 }).toBe('draining')
    await place.run(['stop', 'one'])
    expect(await run.ended).toBe(0)
    expect(await place.run(['results', 'evaluator', '--local', id])).toMatch(/^status: +Success$/m)
  })
})

test('stop --force ends the job, whose message comes back', async () => {
  await withEngine(async (place) => {
    const run = await startEvaluator(place, 'one')
    const id = await submitSleep(place, 600)
    await untilActive(place, 'one')
    await place.run(['stop', 'one', '--force'])
    expect(await run.ended).toBe(143)
    const results = place.start(['results', 'evaluator', '--local', id])
    expect(await results.ended).toBe(1)
    expect(await status(place)).toEqual([])
  })
})

test('the name of a killed process is free, and force takes that of a living one', async () => {
  await withEngine(async (place) => {
    const killed = await startEvaluator(place, 'one')
    killed.child.kill('SIGKILL')
    await killed.ended
    expect(await status(place)).toMatchObject([{ name: 'one', state: 'stale', stale: true }])
    expect(await status(place)).toEqual([])
    const first = await startEvaluator(place, 'one')
    first.child.kill('SIGKILL')
    await first.ended
    const second = await startEvaluator(place, 'one')
    const id = await submitSleep(place, 3)
    await untilActive(place, 'one')
    const third = place.start(['evaluator', '--local', '--process-name', 'one'], {
      OPTHUB_RUNNER_FORCE: 'True',
    })
    expect(await second.ended).toBe(0)
    await expect
      .poll(async () => (await status(place)).map(({ pid }) => pid), { timeout: 30_000 })
      .toEqual([third.child.pid])
    expect(await place.run(['results', 'evaluator', '--local', id])).toMatch(/^status: +Success$/m)
    await place.run(['stop', 'one'])
    expect(await third.ended).toBe(0)
  })
})
