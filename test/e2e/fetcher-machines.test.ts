import { execFile } from 'node:child_process'
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { connectEngine } from '../../src/executors/docker/api/connect.ts'
import { canStartPrivateEngine, requireEngine, startPrivateEngine } from '../support/engine.ts'
import { makeGpuStandIns } from '../support/gpu-stand-ins.ts'
import { buildShellImage, programs } from '../support/images.ts'
import { importImage } from '../../src/executors/docker/images/import-image.ts'
import { HOST_BASE } from '../../src/executors/docker/images/host-programs.ts'
import { Workplace } from '../support/run-bin.ts'
import { WorkerApiStandIn } from '../support/worker-api/stand-in.ts'

const exec = promisify(execFile)
const SHELL = 'opthub-runner-test/fetcher:machines'
const NODE = 'opthub-runner-test/fetcher:node'
const ROOT = resolve(import.meta.dirname, '../..')
const GPUS = [
  { uuid: 'GPU-0a0a0a0a-1111-2222-3333-444444444444', model: 'NVIDIA Small', memory: 8192 },
  { uuid: 'GPU-0b0b0b0b-1111-2222-3333-444444444444', model: 'NVIDIA Large', memory: 40_960 },
] as const

describe.runIf(canStartPrivateEngine())('fetchers of different sizes', () => {
  it('get the jobs that fit, and never share a GPU', async () => {
    await using api = await WorkerApiStandIn.start()
    await using place = await Workplace.create()
    const gpus = await makeGpuStandIns(join(place.folder, 'stand-ins'))
    await gpus.setGpus(GPUS.map(({ uuid }) => uuid))
    const rows = GPUS.map(({ uuid, model, memory }) => `${uuid}, ${model}, ${memory} MiB, 8.0`).join('\n')
    await writeFile(join(gpus.driver, 'models'), `${rows}\n`)
    await writeFile(
      join(gpus.driver, 'nvidia-smi'),
      `#!/bin/sh\ncase "$1" in -L) cat ${join(place.folder, 'stand-ins/gpus.txt')};; *) cat ${join(gpus.driver, 'models')};; esac\n`,
    )
    await chmod(join(gpus.driver, 'nvidia-smi'), 0o755)
    await using engine = await startPrivateEngine({ path: gpus.toolkit })
    const connection = await connectEngine({ host: engine.host, environment: {} })
    await buildShellImage(connection, SHELL, 'exit 0')
    connection.close()
    const start = async (name: string, memory: string): Promise<ReturnType<Workplace['start']>> => {
      const config = `pull_policy: never\nstop_grace: 1\nmin_free_disk: 0\nconcurrency: 2\nlimits: {memory: ${memory}, cpus: 1}
fetcher: {api_url: "${api.url}", access_token: fixed-token, path_base: ${join(place.folder, name)}, timeout_job: 0.3, timeout_status: 1}\n`
      await writeFile(join(place.folder, `${name}.yml`), config)
      return place.start(['fetcher', '--json', '--process-name', name, '--config', `${name}.yml`], {
        DOCKER_HOST: engine.host,
        PATH: `${gpus.driver}:${process.env['PATH'] ?? ''}`,
      })
    }
    const script =
      'born=$(date +%s%N); sleep 1; echo "$NVIDIA_VISIBLE_DEVICES $born $(date +%s%N)" >&2; exit 3'
    const job = (hardware: object) => ({
      app: { cmd: ['sh', '-c', script] },
      handler: { image_url: SHELL },
      hardware,
    })
    const runs = [await start('small', '64m'), await start('large', '256m')]
    for (let n = 0; n < 4; n += 1) api.add(`gpu-${n}`, job({ gpu_mem: n < 2 ? 4096 : 30_000 }))
    for (let n = 0; n < 2; n += 1) api.add(`large-${n}`, job({ memory: 200 }))
    api.add('too-large', job({ memory: 100_000 }))
    const ids = [0, 1, 2, 3].map((n) => `gpu-${n}`)
    await expect
      .poll(() => [...ids, 'large-0', 'large-1'].map((id) => api.told(id).at(-1)?.status), {
        timeout: 120_000,
        interval: 200,
      })
      .toEqual(['error', 'error', 'error', 'error', 'error', 'error'])
    for (const run of runs) run.child.kill('SIGTERM')
    await Promise.all(runs.map((run) => run.ended))
    expect(api.queue.map(({ id }) => id)).toEqual(['too-large'])
    const doneBy = (n: number): string[] =>
      (runs[n]?.records() ?? []).flatMap(({ msg, job: id }) => (msg === 'Job ended' ? [String(id)] : []))
    expect(doneBy(0).filter((id) => id.startsWith('large'))).toEqual([])
    expect(doneBy(1)).toEqual(expect.arrayContaining(['large-0', 'large-1']))
    const uses = ids.map((id) => {
      const [, gpu = '', born = '0', end = '0'] =
        /^(GPU\S+) (\d+) (\d+)$/m.exec(api.told(id).at(-1)?.details ?? '') ?? []
      return { id, gpu, born: BigInt(born), end: BigInt(end) }
    })
    expect(uses.map(({ gpu }) => gpu)).toEqual(expect.arrayContaining([GPUS[1].uuid]))
    // Those that need the large one got it.
    expect(uses.slice(2).map(({ gpu }) => gpu)).toEqual([GPUS[1].uuid, GPUS[1].uuid])
    for (const a of uses) {
      for (const b of uses) {
        if (a.id !== b.id && a.gpu === b.gpu)
          expect(a.end < b.born || b.end < a.born, `${a.id} and ${b.id}`).toBe(true)
      }
    }
    expect(api.fetches.map((each) => each.get('memory'))).toEqual(expect.arrayContaining(['64', '256']))
    expect(api.fetches.map((each) => each.get('gpu_archi'))).toContain('ampere')
  })
})

const engine = await requireEngine()

describe.runIf(engine !== undefined && process.platform === 'linux')('a fetcher in a container', () => {
  it.each([
    ['by its own mounts', false],
    ['by PATH_HOST_BASE', true],
  ])('finds where its folders are for the engine (%s)', async (_how, given) => {
    if (engine === undefined) return
    await using api = await WorkerApiStandIn.start()
    await using place = await Workplace.create()
    const files = join(place.folder, 'mounts')
    await mkdir(files)
    await buildShellImage(engine, SHELL, 'exit 0')
    const entries = [...HOST_BASE, ...(await programs(['node', 'sh']))]
    await importImage(engine, { tag: NODE, entries, command: ['node'] })
    api.files.set('in', Buffer.from('from afar'))
    api.add('1', {
      app: { cmd: ['sh', '-c', 'cat /files/in.txt > /files/output/out.txt'] },
      handler: { image_url: SHELL, files_down: { 'in.txt': 'in' }, files_up: { output: 'output' } },
    })
    const socket = engine.label.replace(/^unix:\/\//, '')
    const variables = {
      API_URL: api.url,
      ACCESS_TOKEN: 'fixed-token',
      OPTHUB_RUNNER_PULL_POLICY: 'never',
      OPTHUB_RUNNER_MIN_FREE_DISK: '0',
      OPTHUB_RUNNER_HOME: '/tmp/home',
      TIMEOUT_JOB: '0.2',
      ...(given ? { PATH_BASE: '/data', PATH_HOST_BASE: files } : {}),
    }
    const args = [
      ...['run', '--rm', '--network', 'host', '--workdir', '/tmp'],
      ...['-v', `${socket}:/var/run/docker.sock`, '-v', `${files}:/data`],
      ...['bin', 'dist', 'node_modules', 'package.json'].flatMap((name) => [
        '-v',
        `${join(ROOT, name)}:/app/${name}:ro`,
      ]),
      ...Object.entries(variables).flatMap(([name, value]) => ['-e', `${name}=${value}`]),
      ...[NODE, 'node', '/app/bin/opthub-runner.js', 'fetcher', '--once', '--json'],
    ]
    await exec('docker', args, { env: { ...process.env, DOCKER_HOST: engine.label } })
    expect(api.told('1').at(-1)).toMatchObject({ status: 'finished' })
    expect(api.uploads).toMatchObject([{ basePath: 'output', name: 'out.txt', bytes: 9 }])
    expect(await readdir(files)).toEqual([])
  })
})
