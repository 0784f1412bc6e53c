import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { importHostNodeImage } from '../../../src/executors/docker/images/host-image.ts'
import { withHostPaths } from '../../../src/executors/docker/host/host-paths.ts'
import { createImageRunner, type ImageMount, type ImageRunner } from '../../../src/image-runner.ts'
import { compileChild } from '../../support/compile-child.ts'
import { requireEngine } from '../../support/engine.ts'
import { buildShellImage } from '../../support/images.ts'

const engine = await requireEngine()
const socketPath = engine?.label.replace('unix://', '') ?? ''
const isLocal = process.platform === 'linux' && engine?.label.startsWith('unix://') === true
const ROOT = resolve(import.meta.dirname, '../../..')
const ID = crypto.randomUUID()
const SHELL = `opthub-runner-test/inner-${ID}:1`
const NODE = `opthub-runner-test/outer-${ID}:1`

describe.skipIf(!isLocal)('a runner in a container with the socket mounted', () => {
  let runner: ImageRunner
  let folder: string
  let child: ReturnType<typeof compileChild>

  beforeAll(async () => {
    child = compileChild(join(import.meta.dirname, 'container-child.ts'), [
      'core',
      'executors',
      'config',
      '.',
    ])
    if (engine === undefined) return
    folder = await realpath(await mkdtemp(join(tmpdir(), 'opthub-inside-')))
    await mkdir(join(folder, 'sub/deep'), { recursive: true })
    await writeFile(join(folder, 'sub/file'), 'a file')
    await writeFile(join(folder, 'sub/deep/file'), 'a deep file')
    // As the container sees it; here it leads nowhere.
    await symlink('/inside/data/sub/deep', join(folder, 'link'))
    await buildShellImage(engine, SHELL, 'if [ -d /d ]; then cat /d/file; else cat /d; fi')
    await importHostNodeImage(engine, {
      tag: NODE,
      files: {},
      command: ['/usr/bin/node'],
      nodePath: process.execPath,
    })
    runner = createImageRunner({ host: engine.label, environment: {} })
  })
  afterAll(async () => {
    child.remove()
    await runner.close()
    for (const tag of [SHELL, NODE])
      await engine?.json('DELETE', `/images/${encodeURIComponent(tag)}`, { query: { force: '1' } })
    engine?.close()
    await rm(folder, { recursive: true, force: true })
  })

  async function inside(
    sources: string[],
    options: { mounts?: ImageMount[]; rules?: object[] } = {},
  ): Promise<unknown[]> {
    const { stdout, stderr, exitCode } = await runner.run({
      image: NODE,
      args: ['/usr/bin/node', child.script],
      env: {
        DOCKER_HOST: 'unix:///run/engine.sock',
        IMAGE: SHELL,
        SOURCES: JSON.stringify(sources),
        RULES: JSON.stringify(options.rules ?? []),
      },
      mounts: [
        { source: ROOT, target: ROOT, readOnly: true },
        { source: socketPath, target: '/run/engine.sock' },
        ...(options.mounts ?? [{ source: folder, target: '/inside/data' }]),
      ],
      limits: { tmpfs: { '/inside/memory': 'size=1m' } },
      user: '0:0',
    })
    expect([stderr.toString(), exitCode]).toEqual(['', 0])
    return JSON.parse(stdout.toString()) as unknown[]
  }

  it('mounts what is mounted into it: folders, what is below them, files, and links by where they lead', async () => {
    const paths = ['/inside/data/sub', '/inside/data/sub/deep', '/inside/data/sub/file', '/inside/data/link']
    expect(await inside(paths)).toEqual(['a file', 'a deep file', 'a file', 'a deep file'])
  })

  it('is not mistaken for a container whose network it uses', async () => {
    if (engine === undefined) return
    const make = async (body: object): Promise<string> => {
      const { Id } = (await engine.json('POST', '/containers/create', { body })) as { Id: string }
      await engine.json('POST', `/containers/${Id}/start`)
      return Id
    }
    const host = await make({ Image: SHELL, Cmd: ['/bin/sleep', '100'] })
    const guest = await make({
      Image: NODE,
      Cmd: ['/usr/bin/node', child.script],
      Env: [
        ...['DOCKER_HOST=unix:///run/engine.sock', `IMAGE=${SHELL}`, 'SOURCES=["/inside/data/sub"]'],
        'RESULT=/inside/data/result',
      ],
      HostConfig: {
        NetworkMode: `container:${host}`,
        Binds: [`${ROOT}:${ROOT}:ro`, `${socketPath}:/run/engine.sock`, `${folder}:/inside/data`],
      },
    })
    try {
      expect(await engine.json('POST', `/containers/${guest}/wait`)).toMatchObject({ StatusCode: 0 })
      expect(JSON.parse(await readFile(join(folder, 'result'), 'utf8'))).toEqual(['a file'])
    } finally {
      for (const id of [guest, host])
        await engine.json('DELETE', `/containers/${id}`, { query: { force: '1', v: '1' } })
    }
  })

  it('knows the inner mount from the outer one', async () => {
    const mounts = [
      { source: folder, target: '/inside/data' },
      { source: join(folder, 'sub/deep'), target: '/inside/data/sub' },
    ]
    expect(await inside(['/inside/data/sub'], { mounts })).toEqual(['a deep file'])
  })

  it('says what is wrong about a path that the engine can not see', async () => {
    const [own, memory, missing] = await inside(['/tmp', '/inside/memory', '/inside/nonesuch'])
    expect(own).toEqual({
      what: "/tmp can't be mounted into another container",
      why: expect.stringMatching(
        /in a container itself, and \/tmp is in none of the folders .* \/inside\/data/,
      ) as string,
      hint: expect.stringContaining('docker run -v') as string,
      exitCode: 78,
    })
    expect(memory).toMatchObject({ why: expect.stringContaining('in memory') as string })
    expect(missing).toMatchObject({ what: "/inside/nonesuch can't be mounted", exitCode: 2 })
  })

  it('goes by rules first', async () => {
    const rules = [{ base: '/tmp', hostBase: join(folder, 'sub') }]
    expect(await inside(['/tmp', '/inside/data/sub/deep'], { rules })).toEqual(['a file', 'a deep file'])
  })

  it('translates nothing outside of a container, except by rules', async () => {
    if (engine === undefined) return
    const spec = { name: 'n', kind: 'k', image: 'i', environment: {}, limits: {}, keep: false }
    const mount = (source: string): ImageMount & { target: string; readOnly: boolean } => ({
      source,
      target: '/d',
      readOnly: true,
    })
    const rules = [
      { base: '/jobs', hostBase: '/srv/jobs' },
      { base: '/jobs/fast', hostBase: '/ssd' },
    ]
    const mounts = ['/jobs/1/x', '/jobs/fast/1', '/jobs', '/jobsite', '/other'].map(mount)
    const there = await withHostPaths(engine, { ...spec, mounts }, rules)
    expect(there.mounts?.map(({ source }) => source)).toEqual([
      '/srv/jobs/1/x',
      '/ssd/1',
      '/srv/jobs',
      '/jobsite',
      '/other',
    ])
    expect(await withHostPaths(engine, spec, rules)).toBe(spec)
  })
})
