import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { UnfitError } from '../../../../src/core/errors.ts'
import { createLogger } from '../../../../src/core/log.ts'
import { containerBody, type ContainerSpec } from '../../../../src/executors/docker/container.ts'
import { Engine } from '../../../../src/executors/docker/api/engine.ts'
import { EngineError, startError } from '../../../../src/executors/docker/api/errors.ts'
import { discoverGpus, parseGpus } from '../../../../src/executors/docker/gpus/gpu-discovery.ts'
import { GpuHandover, gpusInUse, type GpuMode } from '../../../../src/executors/docker/gpus/gpus.ts'
import type { TaskSpec } from '../../../../src/executors/executor.ts'

const [A, B] = ['GPU-0a0a0a0a-1111', 'GPU-0b0b0b0b-1111'] as const
const DOCKER = { Version: '24.0.7', Components: [{ Name: 'Engine' }] }
const PODMAN = { Version: '4.3.1', Components: [{ Name: 'Podman Engine' }] }
const log = createLogger(() => undefined)

const SPEC: TaskSpec = {
  name: 'one',
  kind: 'test',
  image: 'cuda',
  environment: { NVIDIA_VISIBLE_DEVICES: 'all', OTHER: '1' },
  limits: {},
  gpus: [A, B],
  keep: false,
}

let folder: string
let server: Server
let engine: Engine
let answers: Record<string, unknown>
const asked: string[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gpus-'))
  answers = { '/version': DOCKER, '/info': {} }
  asked.length = 0
  server = createServer((request, response) => {
    const url = request.url ?? ''
    asked.push(url)
    response.end(JSON.stringify(answers[url.split('?')[0] ?? ''] ?? {}))
  })
  server.listen(join(folder, 's'))
  await once(server, 'listening')
  engine = new Engine({ socketPath: join(folder, 's') })
})

afterEach(async () => {
  engine.close()
  server.close()
  await rm(folder, { recursive: true, force: true })
})

/** What the engine would be asked for, attempt by attempt; those in `refused` fail with the engine's words. */
async function attempts(
  wanted: GpuMode | 'auto',
  refused: readonly (string | undefined)[],
  spec: TaskSpec = SPEC,
): Promise<{ specs: ContainerSpec[]; error: unknown }> {
  const specs: ContainerSpec[] = []
  const words = [...refused]
  try {
    await new GpuHandover(engine, wanted, log).start(spec, (each) => {
      specs.push(each)
      const word = words.shift()
      if (word !== undefined) throw startError(new EngineError(500, word), spec.image) as Error
      return Promise.resolve('started')
    })
    return { specs, error: undefined }
  } catch (error) {
    return { specs, error }
  }
}

const NO_DRIVER = 'could not select device driver "" with capabilities: [[gpu]]'

describe('a container', () => {
  it('is asked for with its GPUs by UUID in one device request, never with a count', async () => {
    const { specs } = await attempts('auto', [])
    expect(specs).toHaveLength(1)
    const ownership = { owner: 'process:x', processName: 'p', ageLimitSeconds: 1 }
    const body = containerBody(specs[0] ?? SPEC, ownership, {
      networkMode: 'default',
      hostsFile: undefined,
    }) as { Env: string[]; Labels: Record<string, string>; HostConfig: { DeviceRequests: object[] } }
    expect(body.HostConfig.DeviceRequests).toEqual([
      { Driver: '', DeviceIDs: [A, B], Capabilities: [['gpu']] },
    ])
    // An image that names all of them for itself gets its own only.
    expect(body.Env).toEqual(['OTHER=1', `NVIDIA_VISIBLE_DEVICES=${A},${B}`])
    expect(body.Labels['org.opthub.runner.gpus']).toBe(`${A},${B}`)
  })

  describe('without a request', () => {
    const plain: TaskSpec = {
      name: 'one',
      kind: 'test',
      image: 'cuda',
      environment: {},
      limits: {},
      keep: false,
    }
    const given = { NVIDIA_VISIBLE_DEVICES: 'GPU-of-the-operator' }
    const none = { NVIDIA_VISIBLE_DEVICES: 'void' }

    it.each<[string, string | undefined, Partial<TaskSpec>, Record<string, string>]>([
      ['has none of that', 'runc', {}, {}],
      ['has none of that where the engine tells no runtime', undefined, {}, {}],
      // It would have all that its image names, and images of CUDA name all.
      ['has no GPU where the runtime hands them over by itself', 'nvidia', {}, none],
      ['has no GPU where its limits name that runtime', 'runc', { limits: { runtime: 'nvidia-cdi' } }, none],
      ['has none of that where its limits name another', 'nvidia', { limits: { runtime: 'runsc' } }, {}],
      ['has those that it was given by name', 'nvidia', { environment: given }, given],
    ])('%s', async (_, runtime, changed, environment) => {
      answers['/info'] = { DefaultRuntime: runtime, Runtimes: { runc: {}, nvidia: {} } }
      const { specs } = await attempts('auto', [], { ...plain, ...changed })
      expect(specs).toEqual([{ ...plain, ...changed, environment }])
    })

    it('asks the engine once for its runtime', async () => {
      const handover = new GpuHandover(engine, 'auto', log)
      for (let n = 0; n < 2; n += 1) await handover.start(plain, () => Promise.resolve())
      expect(asked).toEqual(['/info'])
    })
  })

  it('gets them by the runtime where there is one and device requests fail', async () => {
    answers['/info'] = { Runtimes: { runc: {}, nvidia: { path: 'nvidia-container-runtime' } } }
    const { specs, error } = await attempts('auto', [NO_DRIVER])
    expect(error).toBeUndefined()
    expect(specs[1]).toMatchObject({
      limits: { runtime: 'nvidia' },
      environment: { NVIDIA_VISIBLE_DEVICES: `${A},${B}` },
    })
    expect(specs[1]?.deviceRequests).toBeUndefined()
  })

  it('keeps the runtime that its limits name', async () => {
    answers['/info'] = { Runtimes: { runc: {}, nvidia: {} } }
    const { specs, error } = await attempts('auto', [NO_DRIVER], { ...SPEC, limits: { runtime: 'runsc' } })
    expect(specs).toHaveLength(1)
    expect(error).toBeInstanceOf(UnfitError)
  })

  it('gets them as CDI devices where the engine knows of these', async () => {
    answers['/info'] = { Runtimes: { runc: {} }, CDISpecDirs: ['/etc/cdi', '/var/run/cdi'] }
    const { specs, error } = await attempts('auto', [NO_DRIVER])
    expect(error).toBeUndefined()
    expect(specs[1]?.deviceRequests).toEqual([
      { Driver: 'cdi', DeviceIDs: [`nvidia.com/gpu=${A}`, `nvidia.com/gpu=${B}`] },
    ])
    // A runtime that hands GPUs over by itself would add those that the image names.
    expect(specs[1]?.environment).toEqual({ OTHER: '1', NVIDIA_VISIBLE_DEVICES: 'void' })
  })

  it.each(['device', 'runtime', 'cdi'] as const)(
    'gets them by %s alone when that is forced',
    async (mode) => {
      answers['/info'] = { Runtimes: { nvidia: {} }, CDISpecDirs: ['/etc/cdi'] }
      const { specs, error } = await attempts(mode, [
        'could not select device driver "cdi" with capabilities: []',
      ])
      expect(specs).toHaveLength(1)
      expect(error).toBeInstanceOf(UnfitError)
    },
  )

  it('that works is asked for in the same way from then on', async () => {
    answers['/info'] = { Runtimes: { nvidia: {} } }
    const handover = new GpuHandover(engine, 'auto', log)
    const modes: string[] = []
    const begin = (spec: ContainerSpec): Promise<void> => {
      modes.push(spec.deviceRequests === undefined ? 'runtime' : 'device')
      if (spec.deviceRequests !== undefined)
        throw startError(new EngineError(500, NO_DRIVER), 'cuda') as Error
      return Promise.resolve()
    }
    await handover.start(SPEC, begin)
    await handover.start(SPEC, begin)
    expect(modes).toEqual(['device', 'runtime', 'runtime'])
  })
})

describe('a start that fails', () => {
  it('for want of a driver says what to install', async () => {
    const { error } = await attempts('auto', [NO_DRIVER])
    expect(error).toBeInstanceOf(UnfitError)
    expect(String(error)).toMatch(/could not select device driver .*NVIDIA container toolkit.*restart Docker/)
  })

  it.each([
    'OCI runtime create failed: container_linux.go:380: starting container process caused: process_linux.go:545: container init caused: Running hook #0:: error running hook: exit status 1, stdout: , stderr: nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown',
    'failed to create task for container: nvidia-container-cli: device error: GPU-0a0a0a0a-1111: unknown device: unknown',
  ])('for a broken GPU is no fault of the image (%#)', async (words) => {
    const { error, specs } = await attempts('auto', [words])
    expect(error).toBeInstanceOf(UnfitError)
    expect(String(error)).toContain(A)
    expect(specs).toHaveLength(1)
  })

  it.each([
    'OCI runtime create failed: exec: "nvidia-container-cli": executable file not found in $PATH: unknown',
    'OCI runtime create failed: chdir to cwd ("/nvml") set in config.json failed: no such file or directory',
  ])('for what the image names stays its own fault (%#)', async (words) => {
    const { error } = await attempts('auto', [words])
    expect(String(error)).toContain("can't be started")
    expect(error).not.toBeInstanceOf(UnfitError)
  })

  it('is not even tried on Podman, which would start it without', async () => {
    answers['/version'] = PODMAN
    const { error, specs } = await attempts('auto', [])
    expect(error).toBeInstanceOf(UnfitError)
    expect(String(error)).toContain('Podman silently ignores')
    expect(specs).toEqual([])
  })
})

describe('the GPUs of a machine', () => {
  async function driver(body: string): Promise<Record<string, string>> {
    const path = join(folder, 'nvidia-smi')
    await writeFile(path, `#!/bin/sh\n${body}\n`)
    await chmod(path, 0o755)
    return { PATH: `${folder}:/usr/bin:/bin` }
  }

  it('are those that nvidia-smi lists, in either of its forms', async () => {
    const list = await driver(
      `echo 'GPU 0: NVIDIA H200 (UUID: ${A})'; echo 'GPU 1: NVIDIA H200 (UUID: ${B})'`,
    )
    expect(await discoverGpus(engine, {}, list)).toEqual({ gpus: [A, B] })
    const table = await driver(`[ "$1" = -L ] && exit 1; echo '${B}, NVIDIA H200, 143771 MiB'`)
    expect(await discoverGpus(engine, {}, table)).toEqual({ gpus: [B] })
  })

  it('are their MIG devices where they are cut into these', () => {
    const text = `GPU 0: NVIDIA A100 (UUID: ${A})
  MIG 3g.20gb     Device  0: (UUID: MIG-11111111-2222)
  MIG 3g.20gb     Device  1: (UUID: MIG-GPU-33333333-4444/2/0)
GPU 1: NVIDIA A100 (UUID: ${B})
`
    expect(parseGpus(text)).toEqual(['MIG-11111111-2222', 'MIG-GPU-33333333-4444/2/0', B])
  })

  it('are none, with the reason', async () => {
    const empty = { PATH: join(folder, 'empty') }
    expect(await discoverGpus(engine, {}, empty)).toMatchObject({
      gpus: [],
      noGpus: expect.stringContaining('nvidia-smi is not on the PATH') as string,
    })
    const broken = await driver('echo "NVIDIA-SMI has failed: driver/library version mismatch" >&2; exit 9')
    expect(await discoverGpus(engine, {}, broken)).toMatchObject({
      gpus: [],
      noGpus: expect.stringContaining('version mismatch') as string,
    })
    answers['/version'] = PODMAN
    const podman = new Engine({ socketPath: join(folder, 's') })
    expect(await discoverGpus(podman, {}, await driver(`echo '${A}, X, 1'`))).toMatchObject({ gpus: [] })
    podman.close()
  })

  it('are told by the engine where nvidia-smi is not at hand', async () => {
    const nothing = { PATH: join(folder, 'empty') }
    const cdi = ['nvidia.com/gpu=0', `nvidia.com/gpu=${A}`, 'nvidia.com/gpu=all', 'amd.com/gpu=GPU-1']
    const info = { DiscoveredDevices: cdi.map((ID) => ({ Source: 'cdi', ID })) }
    expect(await discoverGpus(engine, info, nothing)).toEqual({ gpus: [A] })
    const GenericResources = [{ NamedResourceSpec: { Kind: 'gpu', Value: B } }]
    expect(await discoverGpus(engine, { GenericResources }, nothing)).toEqual({ gpus: [B] })
    const far = new Engine({ hostname: 'gpu-box.example', port: 2375 })
    // What this machine's nvidia-smi lists is another machine's.
    const here = await driver(`echo '${A}, X, 1'`)
    Object.assign(far, { json: () => Promise.resolve(DOCKER) })
    expect(await discoverGpus(far, { GenericResources }, here)).toEqual({ gpus: [B] })
    expect(await discoverGpus(far, {}, here)).toMatchObject({
      gpus: [],
      noGpus: expect.stringContaining('docker.gpus') as string,
    })
  })
})

it('the GPUs in use are read from the labels of containers that live', async () => {
  answers['/containers/json'] = [
    { Labels: { 'org.opthub.runner.gpus': `${A},${B}` } },
    { Labels: { 'org.opthub.runner.gpus': '' } },
  ]
  expect(await gpusInUse(engine, new AbortController().signal)).toEqual(new Set([A, B]))
  const query = decodeURIComponent(asked.at(-1) ?? '')
  expect(query).toContain('"running"')
  expect(query).not.toContain('exited')
})
