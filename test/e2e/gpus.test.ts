import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { EmbeddedInfo } from '../../src/embedded/index.ts'
import { connectEngine } from '../../src/executors/docker/api/connect.ts'
import { canStartPrivateEngine, startPrivateEngine, type PrivateEngine } from '../support/engine.ts'
import { makeGpuStandIns, type GpuStandIns } from '../support/gpu-stand-ins.ts'
import { buildShellImage } from '../support/images.ts'
import { LocalClients } from '../support/local-clients.ts'
import { type Run, Workplace } from '../support/run-bin.ts'

const MATCH = '11111111-2222-3333-4444-666666666666'
const PARTICIPANT = 'Team#gpu'
const ID = `Evaluations#Match#${MATCH}#${PARTICIPANT}`
const IMAGE = 'opthub-runner-test/gpu'
const [A, B] = ['GPU-0a0a0a0a-1111-2222-3333-444444444444', 'GPU-0b0b0b0b-1111-2222-3333-444444444444']

/** Says which GPU it had, from when on, and until when; its input says for how many seconds it works. */
const PROBLEM = `born=$(date +%s%N)
read -r seconds || true
sleep "$seconds"
echo "{\\"objective\\": 1, \\"info\\": {\\"gpu\\": \\"$NVIDIA_VISIBLE_DEVICES\\", \\"born\\": $born, \\"end\\": $(date +%s%N)}}"
`

const CONFIG = `wait_time: 2
visibility_timeout: 10
heartbeat_interval: 2
stop_grace: 1
shutdown_grace: 60
pull_policy: never
gpus: 1
matches:
  ${MATCH}:
    problem: {image: ${IMAGE}}
`

/** An engine, stand-ins for what NVIDIA makes, queue and table, and runners that use them. */
class Place implements AsyncDisposable {
  readonly place: Workplace
  readonly engine: PrivateEngine
  readonly gpus: GpuStandIns
  readonly clients: LocalClients

  private constructor(place: Workplace, engine: PrivateEngine, gpus: GpuStandIns, clients: LocalClients) {
    this.place = place
    this.engine = engine
    this.gpus = gpus
    this.clients = clients
  }

  static async open(toolkit: boolean, args: readonly string[] = []): Promise<Place> {
    const place = await Workplace.create(CONFIG)
    const gpus = await makeGpuStandIns(join(place.folder, 'stand-ins'))
    await gpus.setGpus([A, B])
    const engine = await startPrivateEngine({ args, ...(toolkit ? { path: gpus.toolkit } : {}) })
    const connection = await connectEngine({ host: engine.host, environment: {} })
    await buildShellImage(connection, IMAGE, PROBLEM)
    connection.close()
    const local = place.start(['local', '--json'])
    await expect.poll(() => local.stdout(), { timeout: 30_000 }).toContain('\n')
    return new Place(place, engine, gpus, new LocalClients(JSON.parse(local.stdout()) as EmbeddedInfo))
  }

  runner(name: string, ...args: string[]): Run {
    return this.place.start(['evaluator', '--local', '--json', '--process-name', name, ...args], {
      DOCKER_HOST: this.engine.host,
      PATH: `${this.gpus.driver}:${process.env['PATH'] ?? ''}`,
    })
  }

  async submit(first: number, count: number, seconds: string): Promise<void> {
    for (let n = first; n < first + count; n += 1) {
      await this.clients.putSolution(MATCH, PARTICIPANT, String(n).padStart(5, '0'), { N: seconds })
    }
  }

  /** The GPU and the times of each evaluation that is stored. */
  async uses(): Promise<{ gpu: string; born: bigint; end: bigint; trial: string }[]> {
    const items = await this.clients.partition(ID)
    return items.flatMap(({ Info, Trial }) => {
      const { gpu, born, end } = Info?.M ?? {}
      if (gpu?.S === undefined || born?.N === undefined || end?.N === undefined) return []
      return [{ gpu: gpu.S, born: BigInt(born.N), end: BigInt(end.N), trial: Trial?.S ?? '' }]
    })
  }

  async containers(): Promise<unknown[]> {
    const engine = await connectEngine({ host: this.engine.host, environment: {} })
    try {
      const filters = JSON.stringify({ label: ['org.opthub.runner.gpus'] })
      return (await engine.json('GET', '/containers/json', { query: { all: '1', filters } })) as unknown[]
    } finally {
      engine.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.place[Symbol.asyncDispose]()
    await this.engine[Symbol.asyncDispose]()
  }
}

describe.runIf(canStartPrivateEngine())('jobs that ask for a GPU', () => {
  it('never share one: 40 jobs in 4 slots on 2 GPUs', async () => {
    await using there = await Place.open(true)
    await there.submit(1, 40, '0.1')
    const run = there.runner('gpu-four', '--concurrency', '4', '--drain-queue')
    expect(await run.ended, run.stderr()).toBe(0)
    const uses = await there.uses()
    expect(uses).toHaveLength(40)
    for (const uuid of [A, B]) {
      const own = uses.filter(({ gpu }) => gpu === uuid).sort((a, b) => (a.born < b.born ? -1 : 1))
      expect(own.length).toBeGreaterThan(5)
      const overlapping = own.filter((use, n) => n > 0 && use.born < (own[n - 1]?.end ?? 0n))
      expect(overlapping).toEqual([])
    }
    expect(uses.filter(({ gpu }) => gpu !== A && gpu !== B)).toEqual([])
    // The toolkit saw a request for exactly one of them for each container.
    const handedOver = await there.gpus.handedOver()
    expect(handedOver.length).toBeGreaterThanOrEqual(40)
    expect(new Set(handedOver)).toEqual(new Set([A, B]))
    expect(await there.containers()).toEqual([])
  })

  it('of two runners share them, and those of a runner that was killed are free again', async () => {
    await using there = await Place.open(true)
    await there.submit(1, 2, '300')
    const mortal = there.runner('gpu-mortal', '--concurrency', '2')
    await expect.poll(() => there.containers(), { timeout: 60_000 }).toHaveLength(2)
    await there.submit(3, 1, '0')
    const heir = there.runner('gpu-heir', '--concurrency', '1')
    await expect.poll(() => heir.stderr(), { timeout: 60_000 }).toMatch(/"Job waits".*no GPU is free/)
    expect(await there.uses()).toEqual([])
    mortal.child.kill('SIGKILL')
    await expect.poll(() => there.uses(), { timeout: 60_000, interval: 200 }).toHaveLength(1)
    const [use] = await there.uses()
    expect(use).toMatchObject({ trial: 'Success#00003' })
  })

  it('of a runner that is idle do not keep those of another from theirs', async () => {
    await using there = await Place.open(true)
    await there.gpus.setGpus([A])
    const idle = there.runner('gpu-idle')
    // Until a container that is started ahead has the only GPU; on a busy machine not each job leaves one.
    let jobs = 0
    do {
      jobs += 1
      await there.submit(jobs, 1, '0')
      await expect.poll(() => there.uses(), { timeout: 60_000, interval: 200 }).toHaveLength(jobs)
      await delay(1500)
    } while ((await there.containers()).length === 0 && jobs < 20)
    expect(await there.containers()).toHaveLength(1)
    const other = there.runner('gpu-other', '--concurrency', '1')
    await expect.poll(() => other.stderr(), { timeout: 30_000 }).toContain('"Ready"')
    // The idle one takes some of them, and the other one gets the GPU for its own.
    await there.submit(jobs + 1, 6, '0')
    const all = { timeout: 40_000, interval: 200 }
    await expect.poll(() => there.uses(), all).toHaveLength(jobs + 6)
    for (const run of [idle, other]) run.child.kill('SIGTERM')
    expect(await Promise.all([idle.ended, other.ended])).toEqual([0, 0])
    expect(await there.containers()).toEqual([])
  })

  it('go back with the cure in the log where Docker can hand over none', async () => {
    await using there = await Place.open(false)
    await there.submit(1, 1, '0')
    const run = there.runner('gpu-none', '--drain-queue')
    expect(await run.ended, run.stderr()).toBe(0)
    expect(run.stderr()).toMatch(
      /could not select device driver[^\n]*NVIDIA container toolkit[^\n]*restart Docker/,
    )
    const { waiting, inFlight } = await there.clients.depth(there.clients.info.queues.evaluator)
    expect(waiting + inFlight).toBe(1)
    expect(await there.clients.partition(ID)).toEqual([])
    expect(await there.containers()).toEqual([])
  })

  it('go back where there is no GPU', async () => {
    await using there = await Place.open(false)
    await there.gpus.setGpus([])
    await there.submit(1, 1, '0')
    const run = there.runner('gpu-less', '--drain-queue')
    expect(await run.ended, run.stderr()).toBe(0)
    expect(run.stderr()).toMatch(
      /needs more than this machine has: 1 GPU \(there are none: nvidia-smi lists none\)/,
    )
    const { waiting, inFlight } = await there.clients.depth(there.clients.info.queues.evaluator)
    expect(waiting + inFlight).toBe(1)
    expect(await there.clients.partition(ID)).toEqual([])
  })

  it('get it by the runtime where Docker has one and no hook', async () => {
    await using there = await Place.open(false, ['--add-runtime', 'nvidia=/usr/sbin/runc'])
    await there.submit(1, 4, '0')
    const run = there.runner('gpu-runtime', '--concurrency', '2', '--drain-queue')
    expect(await run.ended, run.stderr()).toBe(0)
    expect((await there.uses()).map(({ gpu }) => gpu).every((gpu) => gpu === A || gpu === B)).toBe(true)
    expect(await there.uses()).toHaveLength(4)
  })
})
