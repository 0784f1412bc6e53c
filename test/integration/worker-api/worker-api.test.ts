import { describe, expect, it } from 'vitest'
import { LeaseLostError, RetryableError } from '../../../src/core/errors.ts'
import { createLogger } from '../../../src/core/log.ts'
import { systemClock } from '../../../src/core/clock.ts'
import type { Delivery } from '../../../src/queues/queue.ts'
import { createWorkerQueue, type WorkerQueue } from '../../../src/queues/worker-api/worker-queue.ts'
import { WorkerApi, type Announcement } from '../../../src/queues/worker-api/worker-api.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { WorkerApiStandIn } from '../../support/worker-api/stand-in.ts'

interface Place {
  offer: Announcement
}

const SIGNAL = new AbortController().signal
const SMALL = { offer: { cpuCores: 1, memoryMib: 100 } }
const LARGE = { offer: { cpuCores: 2, memoryMib: 1000, gpuModel: 'NVIDIA A', gpuMemoryMib: 8000 } }
const JOB = { handler: { image_url: 'x' } }

function open(
  standIn: WorkerApiStandIn,
  {
    places = [SMALL],
    access = { token: 'fixed-token' },
    clock = systemClock,
    groups = [],
  }: Partial<{
    places: Place[]
    access: { token: string } | { username: string; password: string }
    clock: typeof systemClock
    groups: string[]
  }> = {},
): { api: WorkerApi; queue: WorkerQueue<Place>; taken: Set<Place> } {
  const api = new WorkerApi({ url: new URL(standIn.url), access, cognitoUrl: standIn.url, groups, clock })
  const taken = new Set<Place>()
  const queue = createWorkerQueue<Place>({
    api,
    places: {
      free: () => places.filter((place) => !taken.has(place)),
      take: (place) => void taken.add(place),
      giveBack: (place) => void taken.delete(place),
    },
    clock,
    log: createLogger(() => undefined),
  })
  return { api, queue, taken }
}

async function receiveOne(queue: WorkerQueue<Place>): Promise<Delivery> {
  const [delivery] = await queue.receive(1, SIGNAL)
  if (delivery === undefined) throw new Error('there is no job')
  return delivery
}

describe('fetching', () => {
  it('offers each free place once, and takes what fits', async () => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.add('large', { ...JOB, hardware: { memory: 500 } })
    standIn.add('none', { ...JOB, hardware: { memory: 5000 } })
    const { queue, taken } = open(standIn, { places: [SMALL, { ...SMALL }, LARGE], groups: ['a b', 'c'] })
    const found = await queue.receive(3, SIGNAL)
    expect(found.map(({ id, attempt, guard }) => ({ id, attempt, guard }))).toEqual([
      { id: 'large', attempt: 1, guard: 0 },
    ])
    expect(standIn.fetches.map(String)).toEqual([
      'memory=100&cpu_cores=1&limit=1&groups=a+b&groups=c',
      'memory=1000&cpu_cores=2&gpu_model=NVIDIA+A&gpu_mem=8000&limit=1&groups=a+b&groups=c',
    ])
    expect([...taken]).toEqual([LARGE])
    await found[0]?.ack()
    expect(taken.size).toBe(0)
  })

  it.each([
    [{ status: 503 }],
    [{ status: 500 }],
    [{ status: 429 }],
    ['cut' as const],
    [{ status: 400, body: { detail: 'no' } }],
    [{ status: 200, body: '<html>sign in to this network</html>' }],
    [{ status: 200, body: [] }],
  ])('is a fault of the surroundings when the API answers %j', async (fault) => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.fault = () => fault
    const error: unknown = await open(standIn)
      .queue.receive(1, SIGNAL)
      .catch((each: unknown) => each)
    expect(error).toBeInstanceOf(RetryableError)
    expect(error).toMatchObject({ surrounding: 'queue' })
  })

  it('keeps what has come when a further one fails', async () => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.add('1', JOB)
    standIn.fault = ({ path }) => (path.includes('memory=1000') ? { status: 503 } : undefined)
    expect(await open(standIn, { places: [SMALL, LARGE] }).queue.receive(2, SIGNAL)).toHaveLength(1)
  })
})

describe('a job', () => {
  it('has its status told in order, and nothing after the last word', async () => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.add('1', JOB)
    const { queue } = open(standIn)
    const delivery = await receiveOne(queue)
    const { session } = queue.job('1')
    await Promise.all([
      session.enter('preprocessing', SIGNAL),
      delivery.extend(300),
      session.enter('running', SIGNAL),
      delivery.extend(300),
    ])
    await session.finish('error', 'why: ü & more', SIGNAL)
    await delivery.extend(300)
    await delivery.ack()
    const told = standIn.told('1').map(({ status }) => status)
    expect(told.at(-1)).toBe('error')
    expect(told.filter((status) => status === 'error')).toHaveLength(1)
    expect(standIn.told('1').at(-1)?.details).toBe('why: ü & more')
  })

  it('repeats the last word, never an earlier one, when its answer was lost', async () => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.add('1', JOB)
    const { queue } = open(standIn)
    const delivery = await receiveOne(queue)
    let cuts = 1
    standIn.fault = ({ path }) => (path.includes('finished') && cuts-- > 0 ? 'cut' : undefined)
    const finishing = queue.job('1').session.finish('finished', '', SIGNAL)
    await delivery.extend(300).catch(() => undefined)
    await finishing
    expect(new Set(standIn.told('1').map(({ status }) => status))).toEqual(new Set(['finished']))
  })

  it('is lost by a 404, which comes once, and is not spoken of again', async () => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.add('1', JOB)
    const { queue } = open(standIn)
    const delivery = await receiveOne(queue)
    standIn.delete('1')
    await expect(delivery.extend(300)).rejects.toThrow(LeaseLostError)
    const asked = standIn.asked.length
    await expect(delivery.extend(300)).rejects.toThrow(LeaseLostError)
    await expect(queue.job('1').session.finish('finished', '', SIGNAL)).rejects.toThrow(LeaseLostError)
    expect(standIn.asked.length).toBe(asked)
  })

  it('is lost by a 500 when its status is not known any more', async () => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.add('1', JOB)
    const { queue } = open(standIn)
    const delivery = await receiveOne(queue)
    // The one that would have said so got lost on its way.
    standIn.fault = ({ path }) => (path.includes('?status') ? { status: 500 } : undefined)
    await expect(delivery.extend(300)).rejects.toMatchObject({ surrounding: 'queue' })
    standIn.given.delete('1')
    await expect(delivery.extend(300)).rejects.toThrow(LeaseLostError)
  })

  it('is reported as an error when it is given back', async () => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.add('1', JOB)
    const { queue, taken } = open(standIn)
    const delivery = await receiveOne(queue)
    queue.job('1').session.why = 'the worker stops'
    await delivery.release(0)
    expect(standIn.told('1').at(-1)).toMatchObject({ status: 'error', details: 'the worker stops' })
    expect(taken.size).toBe(0)
    expect(() => queue.job('1')).toThrow('not open')
  })

  it('is not taken twice', async () => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.add('1', JOB)
    standIn.add('1', JOB)
    const { queue } = open(standIn, { places: [SMALL, LARGE] })
    expect(await queue.receive(1, SIGNAL)).toHaveLength(1)
    expect(await queue.receive(1, SIGNAL)).toHaveLength(0)
  })

  it('gets the addresses of its files after the API was out of order', async () => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.add('1', JOB)
    standIn.files.set('s3://b//k ä?#%2F', Buffer.from('x'))
    const { queue } = open(standIn)
    await receiveOne(queue)
    let faults = 2
    standIn.fault = ({ path }) => (path.includes('/files/') && faults-- > 0 ? { status: 502 } : undefined)
    const { session } = queue.job('1')
    const request = await session.downloadRequest('s3://b//k ä?#%2F', SIGNAL)
    expect(request).toMatchObject({ method: 'GET', headers: {} })
    expect(request.url.startsWith(`${standIn.storeUrl}/bucket/object?`)).toBe(true)
    expect(standIn.asked.at(-1)?.path).toBe('/files/s3://b//k%20%C3%A4%3F%23%252F/url')
    expect(await session.uploadRequest('output', 'a b/ü', SIGNAL)).toMatchObject({
      method: 'POST',
      fields: { key: '1/output/a b/ü/${filename}' },
    })
    standIn.storage = 'local'
    expect(await session.uploadRequest('log', '', SIGNAL)).toMatchObject({
      headers: { authorization: 'Bearer fixed-token' },
      fields: {},
    })
    await expect(session.downloadRequest('other', SIGNAL)).rejects.toMatchObject({ status: 404 })
  })

  it.each(['/data/a b+c&ü.bin', '/data/a%20b', '/data/%25', 'what?#', 's3://b//k'])(
    'gets the address of %j from an API that tells it decoded',
    async (fileId) => {
      await using standIn = await WorkerApiStandIn.start()
      standIn.storage = 'local'
      standIn.add('1', JOB)
      standIn.files.set(fileId, Buffer.from('right'))
      const { queue } = open(standIn)
      await receiveOne(queue)
      const { url, headers } = await queue.job('1').session.downloadRequest(fileId, SIGNAL)
      const response = await fetch(url, { headers })
      expect([response.status, await response.text()]).toEqual([200, 'right'])
    },
  )

  it('is told with less detail where the address may not be as long', async () => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.add('1', JOB)
    const { queue } = open(standIn)
    await receiveOne(queue)
    standIn.fault = ({ path }) => (path.length > 4000 ? { status: 414 } : undefined)
    const { session } = queue.job('1')
    await session.finish('error', `exit_code: 7\n${'語'.repeat(1000)}end`, SIGNAL)
    const { status, details } = standIn.told('1').at(-1) ?? {}
    expect(status).toBe('error')
    expect(details).toMatch(/^exit_code: 7\n語+…語+end$/)
  })

  it('is told without any detail at worst', async () => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.add('1', JOB)
    const { queue } = open(standIn)
    await receiveOne(queue)
    standIn.fault = ({ path }) => (path.includes('runtime_details') ? { status: 400 } : undefined)
    await queue.job('1').session.finish('error', 'exit_code: 7', SIGNAL)
    expect(standIn.told('1').at(-1)).toMatchObject({ status: 'error', details: null })
  })

  it('is lost by an upload when the API knows nothing of it', async () => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.add('1', JOB)
    const { queue } = open(standIn)
    await receiveOne(queue)
    standIn.given.delete('1')
    await expect(queue.job('1').session.uploadRequest('output', 'a', SIGNAL)).rejects.toThrow(LeaseLostError)
  })
})

describe('signing in', () => {
  const access = { username: 'worker', password: 'correct horse' }

  it('sends the id token, and renews it five minutes before its end', async () => {
    await using standIn = await WorkerApiStandIn.start()
    const clock = new ManualClock()
    const { queue } = open(standIn, { access, clock })
    const signIns = (): number =>
      standIn.asked.filter(({ path, method }) => path === '/' && method === 'POST').length
    await queue.probe(SIGNAL)
    await queue.receive(1, SIGNAL)
    expect(signIns()).toBe(1)
    await clock.advance(54 * 60_000)
    await queue.receive(1, SIGNAL)
    expect(signIns()).toBe(1)
    await clock.advance(2 * 60_000)
    await Promise.all([queue.receive(1, SIGNAL), queue.probe(SIGNAL)])
    expect(signIns()).toBe(2)
  })

  it('renews a token once that is refused', async () => {
    await using standIn = await WorkerApiStandIn.start()
    const { queue } = open(standIn, { access })
    await queue.receive(1, SIGNAL)
    standIn.endTokens()
    expect(await queue.receive(1, SIGNAL)).toEqual([])
    expect(standIn.wrong).toEqual([])
  })

  it('is a matter of credentials when the account is refused', async () => {
    await using standIn = await WorkerApiStandIn.start()
    const wrong = open(standIn, { access: { username: 'worker', password: 'not this one' } })
    await expect(wrong.queue.probe(SIGNAL)).rejects.toMatchObject({ surrounding: 'credentials' })
    const fixed = open(standIn, { access: { token: 'old-token' } })
    await expect(fixed.queue.receive(1, SIGNAL)).rejects.toMatchObject({ surrounding: 'credentials' })
  })

  it.each([401, 403])('says so before any job is asked for (%i)', async (status) => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.fault = ({ path }) =>
      path.startsWith('/jobs') ? { status, body: { detail: 'Not a worker' } } : undefined
    const { queue } = open(standIn, { access })
    await expect(queue.probe(SIGNAL)).rejects.toMatchObject({
      surrounding: 'credentials',
      message: expect.stringContaining('Not a worker') as string,
    })
    expect(standIn.fetches).toEqual([])
  })

  it.each([404, 422, 500])('lets be whatever else the API says of no job (%i)', async (status) => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.fault = ({ path }) => (path.startsWith('/jobs/') ? { status } : undefined)
    await open(standIn, { access }).queue.probe(SIGNAL)
  })

  it('is a matter of the API while that says nothing', async () => {
    await using standIn = await WorkerApiStandIn.start()
    standIn.fault = () => ({ status: 200, body: {} })
    await expect(open(standIn, { access }).queue.probe(SIGNAL)).rejects.toMatchObject({
      surrounding: 'queue',
    })
  })
})
