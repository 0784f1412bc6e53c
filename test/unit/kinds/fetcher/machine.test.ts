import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PlacePool, sharesOf } from '../../../../src/app/places.ts'
import { parseModels } from '../../../../src/executors/docker/gpus/gpu-models.ts'
import { cgroupLimits } from '../../../../src/executors/docker/host/cgroup-limits.ts'

const MIB = 1024 ** 2

describe('sharesOf', () => {
  it('shares a machine out, GPUs as whole ones', () => {
    const gpus = [
      { uuid: 'A', model: 'Small', memoryMib: 8, architecture: 'ampere' },
      { uuid: 'B', model: 'Large', memoryMib: 40 },
      { uuid: 'C' },
    ]
    expect(sharesOf({ cpus: 9, memoryBytes: 1001 * MIB, gpus: gpus.slice(0, 2) }, 3)).toEqual([
      { offer: { cpuCores: 3, memoryMib: 333 }, gpus: [] },
      {
        offer: { cpuCores: 3, memoryMib: 333, gpuModel: 'Small', gpuMemoryMib: 8, gpuArchitecture: 'ampere' },
        gpus: ['A'],
      },
      { offer: { cpuCores: 3, memoryMib: 333, gpuModel: 'Large', gpuMemoryMib: 40 }, gpus: ['B'] },
    ])
    const [first, second] = sharesOf({ cpus: 1, memoryBytes: 10 * MIB, gpus }, 2)
    expect(first).toEqual({
      offer: { cpuCores: 1, memoryMib: 5, gpuModel: 'Large', gpuMemoryMib: 40 },
      gpus: ['B'],
    })
    expect(second).toEqual({ offer: { cpuCores: 1, memoryMib: 5 }, gpus: ['A', 'C'] })
  })

  it('has each place for one job at a time', () => {
    const pool = new PlacePool(sharesOf({ cpus: 2, memoryBytes: 10 * MIB, gpus: [] }, 2))
    const [place] = pool.free()
    if (place === undefined) throw new Error('no place')
    pool.take(place)
    expect(pool.free()).toHaveLength(1)
    pool.giveBack(place)
    pool.giveBack(place)
    expect(pool.free()).toHaveLength(2)
  })
})

describe('parseModels', () => {
  it('reads what the driver lists', () => {
    const text =
      'GPU-1, NVIDIA A100-SXM4-40GB, 40960 MiB, 8.0\nGPU-2, NVIDIA T4, 15360 MiB\nFailed, x\nGPU-3, , 5 MiB\nGPU-4, X, [N/A]\n'
    expect(parseModels(text)).toEqual([
      { uuid: 'GPU-1', model: 'NVIDIA A100-SXM4-40GB', memoryMib: 40_960, architecture: 'ampere' },
      { uuid: 'GPU-2', model: 'NVIDIA T4', memoryMib: 15_360 },
    ])
  })

  it.each([
    ['12.0', 'blackwell'],
    ['9.0', 'hopper'],
    ['8.9', 'ada'],
    ['8.6', 'ampere'],
    ['7.5', 'turing'],
    ['7.0', 'volta'],
    ['6.1', 'pascal'],
  ])('knows what has compute capability %s', (capability, architecture) => {
    expect(parseModels(`GPU-1, X, 5 MiB, ${capability}`)).toMatchObject([{ architecture }])
  })
})

describe('cgroupLimits', () => {
  async function limits(own: string, files: Record<string, string>) {
    const root = await mkdtemp(join(tmpdir(), 'opthub-runner-cgroup-'))
    try {
      for (const [path, text] of Object.entries({ own, ...files })) {
        await mkdir(dirname(join(root, path)), { recursive: true })
        await writeFile(join(root, path), text)
      }
      return await cgroupLimits(root, join(root, 'own'))
    } finally {
      await rm(root, { recursive: true })
    }
  }

  it('are the narrowest of a group and those above it', async () => {
    expect(
      await limits('0::/a/b\n', {
        'a/b/memory.max': 'max\n',
        'a/memory.max': '1000\n',
        'memory.max': '2000\n',
        'a/b/cpu.max': '150000 100000\n',
        'a/cpu.max': 'max 100000\n',
      }),
    ).toEqual({ cpus: 1.5, memoryBytes: 1000 })
  })

  it('are read of the old version too', async () => {
    expect(
      await limits('4:memory:/x\n3:cpu,cpuacct:/x\n', {
        'memory/x/memory.limit_in_bytes': '9223372036854771712\n',
        'memory/memory.limit_in_bytes': '5000\n',
        'cpu,cpuacct/x/cpu.cfs_quota_us': '-1\n',
        'cpu,cpuacct/x/cpu.cfs_period_us': '100000\n',
      }),
    ).toEqual({ memoryBytes: 5000 })
  })

  it('are none where nothing says so', async () => {
    expect(await limits('', {})).toEqual({})
  })
})
