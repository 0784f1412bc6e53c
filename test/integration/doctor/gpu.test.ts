import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { makeGpuStandIns, type GpuStandIns } from '../../support/gpu-stand-ins.ts'
import { DoctorBench, ENGINE, expectFailure, type Report, type Settings } from './bench.ts'

const [A, B] = ['GPU-0a0a0a0a-1111', 'GPU-0b0b0b0b-1111'] as const

let bench: DoctorBench
let folder: string
let gpus: GpuStandIns
beforeAll(async () => {
  bench = await DoctorBench.start()
  folder = await mkdtemp(join(tmpdir(), 'opthub-doctor-gpu-'))
  gpus = await makeGpuStandIns(folder)
})
beforeEach(() => gpus.setGpus([A, B]))
afterAll(async () => {
  await bench[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

const ALL_THERE = ['driver', 'toolkit'] as const

async function doctor(
  config: Record<string, unknown>,
  there: readonly ('driver' | 'toolkit')[] = ALL_THERE,
  more: Settings = {},
): Promise<Report> {
  const PATH = [...there.map((part) => gpus[part]), '/usr/bin', '/bin'].join(':')
  return await bench.doctor({ config, environment: { PATH }, ...more })
}

test('no GPU is looked for when nobody asks', async () => {
  const report = await doctor({}, [])
  expect(report.of('gpu').detail).toBe('not checked, because no setting asks for a GPU')
})

test('all is well, for every way to ask', async () => {
  const match = { '*': { problem: { image: 'problem', gpus: 2 }, indicator: { image: 'indicator:1' } } }
  for (const config of [{ gpus: 1 }, { gpus: 'all' }, { gpus: [A] }, { matches: match }]) {
    const report = await doctor(config)
    expect(report.of('gpu')).toMatchObject({
      status: 'ok',
      detail: '2 for jobs, handed over by the NVIDIA container toolkit',
    })
    expect(report.code).toBe(0)
  }
  const share = await doctor({ gpus: 1, docker: { gpus: [B] } })
  expect(share.of('gpu').detail).toMatch(/^1 for jobs/)
})

test('the toolkit is missing', async () => {
  expectFailure(
    await doctor({ gpus: 1 }, ['driver']),
    'gpu',
    /no way to hand over/,
    /NVIDIA container toolkit.*restart Docker/,
  )
})

test('the runtime and CDI do as well', async () => {
  for (const [more, way] of [
    [{ Runtimes: { runc: {}, nvidia: {} } }, 'the NVIDIA container toolkit'],
    [{ DiscoveredDevices: [{ Source: 'cdi', ID: `nvidia.com/gpu=${A}` }] }, 'CDI'],
  ] as const) {
    const socket = await bench.serveEngine({ ...ENGINE, '/info': { ...ENGINE['/info'], ...more } })
    const report = await bench.doctor({
      config: { gpus: 1 },
      environment: { PATH: `${gpus.driver}:/usr/bin:/bin` },
      socket,
    })
    expect(report.of('gpu')).toMatchObject({ status: 'ok', detail: expect.stringContaining(way) as string })
  }
})

test('the driver is missing, or lists none', async () => {
  expectFailure(
    await doctor({ gpus: 1 }, ['toolkit']),
    'gpu',
    /nvidia-smi is not on the PATH/,
    /Install the NVIDIA driver/,
  )
  await gpus.setGpus([])
  expectFailure(await doctor({ gpus: 1 }), 'gpu', /nvidia-smi lists none/, /NVIDIA driver/)
})

test('others are named than there are', async () => {
  expectFailure(
    await doctor({ gpus: ['GPU-dead'] }),
    'gpu',
    /name GPU-dead, and there are GPU-0a/,
    /nvidia-smi -L/,
  )
  const share = await doctor({ gpus: 1, docker: { gpus: ['GPU-dead'] } })
  expectFailure(share, 'gpu', /name GPU-dead/, /nvidia-smi -L/)
})

test('more are asked for than there are for jobs', async () => {
  expectFailure(
    await doctor({ gpus: 3 }),
    'gpu',
    /ask for 3 at a time, and runners may give them 2/,
    /lower gpus/,
  )
  const share = await doctor({ gpus: 2, docker: { gpus: [A] } })
  expectFailure(share, 'gpu', /ask for 2 at a time, and runners may give them 1/, /docker\.gpus/)
})

test('Podman would start the job without one', async () => {
  const version = { ...ENGINE['/version'], Version: '4.3.1', Components: [{ Name: 'Podman Engine' }] }
  const socket = await bench.serveEngine({ ...ENGINE, '/version': version })
  const report = await bench.doctor({
    config: { gpus: 1 },
    environment: { PATH: `${gpus.driver}:${gpus.toolkit}:/usr/bin:/bin` },
    socket,
  })
  expectFailure(report, 'gpu', /Podman silently ignores/, /./)
})
