import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { canStartPrivateEngine } from '../support/engine.ts'
import type { AwsFault, AwsRequest } from '../support/faults/aws-front.ts'
import { ArmedPlan } from '../support/faults/plan.ts'
import type { Runner } from '../support/faults/runner.ts'
import { until } from '../support/faults/until.ts'
import { World } from '../support/faults/world.ts'
import { buildShellImage } from '../support/images.ts'
import { leftovers } from './leaks.ts'

const MATCH = '88888888-2222-3333-4444-555555555555'
const IMAGE = 'opthub-runner-chaos/once'
const VISIBILITY_SECONDS = 8

/** Given a time, a program that begins before it works for ever, and a later one ends at once. */
const SCRIPT = `read -r line; time=\${line%.0}
[ "$(date +%s)" -lt "$time" ] && sleep 1000
echo '{"objective": 1}'`

const CONFIG = `visibility_timeout: ${String(VISIBILITY_SECONDS)}
heartbeat_interval: 2
wait_time: 1
interval: 0.2
stop_grace: 1
matches: {${MATCH}: {problem: {image: ${IMAGE}}}}
`

describe.skipIf(!canStartPrivateEngine())('of two runners', () => {
  const faults = new ArmedPlan<AwsFault>()
  let world: World
  let trial = 0

  beforeAll(async () => {
    world = await World.create({ config: CONFIG })
    world.awsFront.plan = faults
    await buildShellImage(world.engine, IMAGE, SCRIPT)
  })
  afterAll(async () => {
    await world[Symbol.asyncDispose]()
  })

  // So that a test that fails does not fail those after it.
  afterEach(async () => {
    faults.disarm()
    for (const runner of world.runners) await runner.kill()
  })

  /** A job that ends only when it begins so many seconds from now. */
  async function submit(afterSeconds: number): Promise<string> {
    trial += 1
    const trialNo = String(trial).padStart(5, '0')
    const time = Math.floor(Date.now() / 1000) + afterSeconds
    await world.aws.putSolution(MATCH, 'User#1', trialNo, { N: String(time) })
    return trialNo
  }

  async function start(name: string): Promise<Runner> {
    const runner = world.startRunner({ kind: 'evaluator', name })
    await until(
      `${name} is ready`,
      () => runner.said('Ready'),
      60_000,
      () => runner.tail(),
    )
    return runner
  }

  async function isDone(trialNo: string): Promise<boolean> {
    const items = await world.aws.partition(`Evaluations#Match#${MATCH}#User#1`)
    return items.filter((item) => (item['Trial']?.S ?? '').endsWith(trialNo)).length === 2
  }

  async function containersOf(runner: Runner): Promise<string[]> {
    return (await leftovers(world.engine)).filter((what) => what.includes(`:${String(runner.pid)}:`))
  }

  function isRunning(trialNo: string): (what: string) => boolean {
    return (what) => what.includes('(running') && what.includes(`-${trialNo}-`)
  }

  function requestsOf(runner: Runner, from: number): AwsRequest[] {
    return world.awsFront.requests.slice(from).filter(({ client }) => client === runner.name)
  }

  async function stop(...runners: Runner[]): Promise<void> {
    for (const runner of runners) runner.signal('SIGTERM')
    expect(await Promise.all(runners.map(({ ended }) => ended))).toEqual(runners.map(() => 0))
    expect(await leftovers(world.engine)).toEqual([])
  }

  /** Wakes a runner whose job another has done, and looks at what it asks of queue and table from then on. */
  async function wake(frozen: Runner, trialNo: string): Promise<void> {
    const from = world.awsFront.requests.length
    frozen.signal('SIGCONT')
    await until('the woken runner works again', () =>
      requestsOf(frozen, from).some(({ action }) => action === 'ReceiveMessage'),
    )
    await until('its container is gone', async () =>
      (await containersOf(frozen)).every((what) => !isRunning(trialNo)(what)),
    )
    await delay(2000)
    const acts = requestsOf(frozen, from).map(({ action }) => action)
    expect(acts.filter((action) => action !== 'ReceiveMessage' && action !== 'GetItem')).toEqual([])
  }

  test('one that was frozen past its lease kills its container, and writes, deletes and renews nothing', async () => {
    const frozen = await start('frozen')
    const trialNo = await submit(6)
    await until('it runs', async () => (await containersOf(frozen)).some(isRunning(trialNo)))
    frozen.signal('SIGSTOP')
    const other = await start('other')
    await until('the other has done it', () => isDone(trialNo))
    expect((await containersOf(frozen)).filter(isRunning(trialNo))).toHaveLength(1)
    await wake(frozen, trialNo)
    expect(frozen.said('Lease lost: nothing is written, the message is left alone')).toBe(true)
    await stop(frozen, other)
  })

  test.each(['ChangeMessageVisibility', 'TransactWriteItems', 'DeleteMessage'])(
    'one that was frozen past its lease in the middle of %s does not try it again',
    async (action) => {
      const name = `frozen-${action}`
      const frozen = await start(name)
      faults.arm(action, { kind: 'hang', ms: 500 })
      const trialNo = await submit(action === 'ChangeMessageVisibility' ? 6 : 0)
      await until('it has asked', () =>
        world.awsFront.requests.some((request) => request.client === name && request.action === action),
      )
      frozen.signal('SIGSTOP')
      const other = await start('other')
      await until('the other has done it', async () => {
        const { waiting, inFlight } = await world.aws.depth(world.aws.info.queues.evaluator)
        return (await isDone(trialNo)) && waiting + inFlight === 0
      })
      await wake(frozen, trialNo)
      await stop(frozen, other)
    },
  )

  test(`the job of one that was killed runs on the other within its visibility and 5 s, and nothing of it is left within a minute`, async () => {
    const killed = await start('killed')
    const trialNo = await submit(1000)
    await until('it runs', async () => (await containersOf(killed)).some(isRunning(trialNo)))
    const other = await start('other')
    await until('it renews', () =>
      requestsOf(killed, 0).some(
        ({ action, status }) => action === 'ChangeMessageVisibility' && status === 200,
      ),
    )
    await killed.kill()
    const tookMs = await until('the other runs it', async () =>
      (await containersOf(other)).some(isRunning(trialNo)),
    )
    expect(tookMs).toBeLessThan((VISIBILITY_SECONDS + 5) * 1000)
    const cleanMs = await until(
      'its containers are gone',
      async () => (await containersOf(killed)).length === 0,
      60_000,
    )
    process.stderr.write(
      `killed: on the other after ${String(Math.round(tookMs))} ms, clean ${String(Math.round(cleanMs))} ms later\n`,
    )
    other.signal('SIGTERM')
    // Two at once would be one.
    await delay(500)
    other.signal('SIGTERM')
    expect(await other.ended).toBe(143)
    expect(await leftovers(world.engine)).toEqual([])
  })
})
