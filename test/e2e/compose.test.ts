import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { configSchema } from '../../src/config/schema.ts'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { HOST_BASE } from '../../src/executors/docker/images/host-programs.ts'
import { importImage } from '../../src/executors/docker/images/import-image.ts'
import type { TarEntry } from '../../src/executors/docker/images/tar.ts'
import { startComposed } from '../support/composed.ts'
import { requireEngine } from '../support/engine.ts'
import { buildShellImage, programs } from '../support/images.ts'
import { Workplace } from '../support/run-bin.ts'
import { WorkerApiStandIn } from '../support/worker-api/stand-in.ts'

const exec = promisify(execFile)
const ROOT = resolve(import.meta.dirname, '../..')
const SHELL = 'opthub-runner-test/compose:shell'
const NODE = 'opthub-runner-test/compose:node'
const PACKAGES = 'opthub-runner-test/compose:packages'
const STAGE = 'opthub-runner-test/compose:stage'
const RUNNER = 'opthub-runner-test/compose:runner'
const PASSWORD = 'p$w "q" #1'

const engine = await requireEngine()
const environment = { ...process.env, DOCKER_HOST: engine?.label ?? '' }

/** The packages that the program needs, and those that compile it, as they are installed here. */
async function packages(): Promise<TarEntry[]> {
  const lock = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>
  }
  const names = Object.entries(lock.packages).flatMap(([name, { dev = false }]) =>
    name !== '' && (!dev || name === 'node_modules/typescript') ? [name] : [],
  )
  const below = await Promise.all(names.map(async (name) => await filesOf(name)))
  return below
    .flat()
    .map((path): TarEntry => ({ path: `/app/${path}`, type: 'file', from: join(ROOT, path) }))
}

/** Files of a package, without those of packages within it. */
async function filesOf(folder: string): Promise<string[]> {
  // Packages for other machines are not installed.
  const items = await readdir(join(ROOT, folder), { withFileTypes: true }).catch(() => [])
  const found = items.map(async (item): Promise<string[]> => {
    const path = join(folder, item.name)
    if (item.name === 'node_modules' || item.name === '.bin') return []
    return item.isDirectory() ? await filesOf(path) : item.isFile() ? [path] : []
  })
  return (await Promise.all(found)).flat()
}

/** Builds the Dockerfile; only what npm would fetch comes from here, since tests do without the internet. */
async function buildRunner(connection: Engine): Promise<void> {
  const varLib: TarEntry = { path: '/var/lib', type: 'folder' }
  const tools = await programs(['node', 'sh', 'rm', 'mkdir'])
  await importImage(connection, { tag: NODE, entries: [...HOST_BASE, varLib, ...tools], command: ['node'] })
  await importImage(connection, { tag: PACKAGES, entries: await packages(), command: ['none'] })
  const original = await readFile(join(ROOT, 'Dockerfile'), 'utf8')
  const dockerfile = original
    .replace(/^RUN npm ci .*$/m, `COPY --from=${PACKAGES} /app/node_modules node_modules`)
    .replace(/^RUN npm run build && npm prune [^&]*/m, 'RUN node scripts/build.mjs ')
  expect(dockerfile).not.toMatch(/\bnpm\b/)
  // By itself first, so that it has a name by which it can be removed.
  await build(dockerfile, '--target', 'build', '--tag', STAGE)
  await build(dockerfile, '--tag', RUNNER)
}

async function build(dockerfile: string, ...options: string[]): Promise<void> {
  const args = ['build', '--force-rm', '--build-arg', `NODE_IMAGE=${NODE}`, ...options, '--file', '-', ROOT]
  const building = exec('docker', args, { env: environment, maxBuffer: 16 * 1024 ** 2 })
  building.child.stdin?.end(dockerfile)
  await building.catch((error: unknown) => {
    // What the compiler says is there alone.
    throw new Error((error as { stdout: string }).stdout, { cause: error })
  })
}

describe.runIf(engine !== undefined && process.platform === 'linux')('the image of the runner', () => {
  beforeAll(async () => {
    if (engine === undefined) return
    await buildShellImage(engine, SHELL, 'exit 0')
    await buildRunner(engine)
  })
  afterAll(async () => {
    await exec('docker', ['rmi', '--force', RUNNER, STAGE, PACKAGES, NODE, SHELL], { env: environment })
    engine?.close()
  })

  it('has all that the program reads', async () => {
    const run = async (...args: string[]): Promise<string> =>
      (await exec('docker', ['run', '--rm', RUNNER, ...args], { env: environment })).stdout
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string }
    expect(await run('--version')).toContain(version)
    expect(await run('fetcher', '--help')).toContain('PATH_HOST_BASE')
  })

  it('works as a user that has no name in it, in the group of the socket', async () => {
    if (engine === undefined) return
    await using api = await WorkerApiStandIn.start('0.0.0.0', 'host.docker.internal')
    await using place = await Workplace.create()
    const folder = join(place.folder, 'jobs')
    await mkdir(folder)
    await chmod(folder, 0o777)
    const socket = engine.label.replace(/^unix:\/\//, '')
    const { gid } = await stat(socket)
    const script = 'mkdir -m 700 /files/output/own; echo mine > /files/output/own/out.txt'
    api.add('1', {
      app: { cmd: ['sh', '-c', script] },
      handler: { image_url: SHELL, files_up: { output: 'output' } },
    })
    const variables = {
      API_URL: api.url,
      ACCESS_TOKEN: 'fixed-token',
      PATH_HOST_BASE: folder,
      OPTHUB_RUNNER_PULL_POLICY: 'never',
      OPTHUB_RUNNER_MIN_FREE_DISK: '0',
    }
    const args = [
      ...['run', '--rm', '--user', '54321:54321', '--group-add', String(gid)],
      ...['--add-host', 'host.docker.internal:host-gateway', '-v', `${socket}:/var/run/docker.sock`],
      ...['-v', `${folder}:/data`],
      ...Object.entries(variables).flatMap(([key, value]) => ['-e', `${key}=${value}`]),
      ...[RUNNER, 'fetcher', '--once'],
    ]
    const { stderr } = await exec('docker', args, { env: environment })
    expect(api.told('1').at(-1), stderr).toMatchObject({ status: 'finished' })
    expect(api.uploads).toMatchObject([{ basePath: 'output/own', name: 'out.txt', bytes: 5 }])
    expect(await readdir(folder)).toEqual([])
    expect(stderr).not.toContain('WARNING')
  })

  it.each([
    { how: 'both paths', base: '/jobs', host: 'HERE/at home', lands: 'at home' },
    { how: 'the path in the container', base: '/jobs', host: '', lands: 'home/temp/decode_cloud/mounts' },
    { how: 'the path of the host', base: '', host: 'HERE/on-host', lands: 'on-host' },
    { how: 'a path below the project', base: '', host: './near', lands: 'near' },
    { how: 'neither path', base: '', host: '', lands: 'home/temp/decode_cloud/mounts' },
  ])(
    'works by the compose file with its folders by $how, and ends its job when it is stopped',
    async ({ base, host, lands }) => {
      if (engine === undefined) return
      const name = `opthub-runner-compose-${randomBytes(4).toString('hex')}`
      await using api = await WorkerApiStandIn.start('0.0.0.0', 'host.docker.internal')
      await using place = await Workplace.create()
      api.users.set('worker', PASSWORD)
      api.files.set('in', Buffer.from('from afar'))
      const script =
        'n=0; while [ ! -e /files/go ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done; cat /files/in.txt > /files/output/out.txt'
      api.add('1', {
        app: { cmd: ['sh', '-c', script] },
        handler: { image_url: SHELL, files_down: { 'in.txt': 'in' }, files_up: { output: 'output' } },
      })
      const variables = { PATH_BASE: base, PATH_HOST_BASE: host.replace('HERE', place.folder) }
      const lines = [
        `API_URL=${api.url}`,
        'USERNAME=worker # as at the web site',
        `PASSWORD='${PASSWORD}'`,
        'TIMEOUT_JOB=0.2',
        'TIMEOUT_STATUS=1',
        `AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER=${api.url}`,
        'OPTHUB_RUNNER_PULL_POLICY=never',
        'OPTHUB_RUNNER_MIN_FREE_DISK=0',
        ...Object.entries(variables).map(([key, value]) => `${key}=${value}`),
      ]
      await writeFile(join(place.folder, '.env'), `${lines.join('\n')}\n`)
      await using service = await startComposed({
        file: join(ROOT, 'compose.yaml'),
        folder: place.folder,
        variables,
        home: join(place.folder, 'home'),
        name,
        image: RUNNER,
        socket: engine.label.replace(/^unix:\/\//, ''),
        engine: engine.label,
      })
      try {
        await expect.poll(() => api.phases('1'), { timeout: 60_000 }).toContain('running')
        const folder = join(place.folder, lands)
        expect(await readFile(join(folder, '1/in.txt'), 'utf8')).toBe('from afar')
        const stopped = service.stop()
        await expect.poll(() => service.log(), { timeout: 60_000 }).toContain('Stopping')
        await writeFile(join(folder, '1/go'), '')
        expect(await stopped).toBe(0)
        expect(api.phases('1')).toEqual(['preprocessing', 'running', 'postprocessing', 'finished'])
        expect(api.uploads).toMatchObject([{ basePath: 'output', name: 'out.txt', bytes: 9 }])
        expect(api.wrong).toEqual([])
        expect(await readdir(folder)).toEqual([])
      } catch (error) {
        throw new Error(`${String(error)}\n${await service.log()}`, { cause: error })
      }
      const { shutdown_grace: drain, stop_grace: kill } = configSchema.shape
      expect(service.graceSeconds).toBeGreaterThan(drain.parse(undefined) + kill.parse(undefined))
    },
  )
})
