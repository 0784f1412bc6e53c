import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer, text as responseText } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { examine } from '../../src/cli/doctor/doctor.ts'
import type { CheckResult } from '../../src/cli/doctor/finding.ts'
import { configSchema } from '../../src/config/schema.ts'
import { createLogger } from '../../src/core/log.ts'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { writeTar, type TarEntry } from '../../src/executors/docker/images/tar.ts'
import { requireEngine } from '../support/engine.ts'
import { TestRegistry } from './executor/registry.ts'

const PRESENT = 'opthub-runner-test/doctor:here'
const FOREIGN = 'opthub-runner-test/doctor:foreign'

let engine: Engine | undefined
/** The engine's architecture. */
let own = ''
let registry: TestRegistry
let home: string

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'opthub-doctor-'))
  registry = await TestRegistry.start()
  engine = await requireEngine()
  if (engine === undefined) return
  ;({ Arch: own } = (await engine.json('GET', '/version')) as { Arch: string })
  await loadFor(engine, PRESENT, own)
  await loadFor(engine, FOREIGN, 's390x')
})
afterAll(async () => {
  registry.close()
  for (const image of [PRESENT, FOREIGN]) await remove(image)
  engine?.close()
  await rm(home, { recursive: true, force: true })
})

/** As `docker load` of an image that was built for an architecture. */
async function loadFor(on: Engine, image: string, architecture: string): Promise<void> {
  const layer = await buffer(Readable.from(writeTar([{ path: '/x', type: 'text', content: image }])))
  const id = `sha256:${createHash('sha256').update(layer).digest('hex')}`
  const config = {
    architecture,
    os: 'linux',
    config: { Cmd: ['/x'] },
    rootfs: { type: 'layers', diff_ids: [id] },
  }
  const manifest = [{ Config: 'config.json', RepoTags: [image], Layers: ['layer.tar'] }]
  const text = (path: string, content: string): TarEntry => ({ path, type: 'text', content })
  const archive = [
    text('layer.tar', layer.toString('latin1')),
    text('config.json', JSON.stringify(config)),
    text('manifest.json', JSON.stringify(manifest)),
  ]
  const response = await on.open('POST', '/images/load', {
    body: Readable.from(writeTar(archive), { objectMode: false }),
  })
  expect(await responseText(response)).toContain('Loaded image')
}

async function remove(image: string): Promise<void> {
  await engine?.json('DELETE', `/images/${encodeURIComponent(image)}`).catch(() => undefined)
}

async function examineImages(
  images: readonly string[],
  environment: Record<string, string> = {},
  leastFreeBytes = 1,
): Promise<Map<string, CheckResult>> {
  const matches = Object.fromEntries(
    images.map((image, n) => [
      `00000000-0000-0000-0000-${String(n).padStart(12, '0')}`,
      { problem: { image } },
    ]),
  )
  const config = configSchema.parse({ matches })
  const found = new Map<string, CheckResult>()
  for await (const result of examine({
    nodeVersion: process.versions.node,
    environment: { HOME: home, ...process.env, ...environment },
    dataDir: home,
    local: true,
    kind: 'evaluator',
    matchId: undefined,
    load: () => Promise.resolve({ config, warnings: [] }),
    endpointsOf: () => ({}) as never,
    log: createLogger(() => undefined),
    leastFreeBytes,
  }))
    found.set(result.id, result)
  return found
}

test('images of this machine, of another one, and none', async () => {
  if (engine === undefined) return
  const missing = `${registry.host}/doctor/missing:1`
  const found = await examineImages([PRESENT, FOREIGN, missing])
  expect(found.get('docker')?.status).toBe('ok')
  expect(found.get(`image:${PRESENT}`)?.status).toBe('ok')
  expect(found.get(`image:${FOREIGN}`)).toMatchObject({
    status: 'failed',
    detail: expect.stringMatching(/linux\/s390x.*exec format error/) as string,
    fix: expect.stringContaining('docker buildx build --platform linux/') as string,
  })
  expect(found.get(`image:${missing}`)).toMatchObject({
    status: 'failed',
    fix: expect.stringMatching(
      /push the image to its registry, or bring it here by .* or `docker load`/,
    ) as string,
  })
  // As pushing it there does.
  const entries = [{ path: '/x', type: 'text', content: 'x' } as const]
  await registry.push('doctor/missing', '1', { entries, command: ['/x'] })
  expect((await examineImages([missing])).get(`image:${missing}`)?.status).toBe('ok')
  // As building it for this machine does.
  await remove(FOREIGN)
  await loadFor(engine, FOREIGN, own)
  expect((await examineImages([FOREIGN])).get(`image:${FOREIGN}`)?.status).toBe('ok')
})

test('images of a registry, without pulling them', async () => {
  if (engine === undefined) return
  const entries = [{ path: '/x', type: 'text', content: 'x' } as const]
  await registry.push('doctor/pullable', '1', { entries, command: ['/x'] })
  await registry.push('doctor/foreign', '1', { entries, command: ['/x'], architecture: 's390x' })
  const pullable = `${registry.host}/doctor/pullable:1`
  const foreign = `${registry.host}/doctor/foreign:1`
  const found = await examineImages([pullable, foreign])
  expect(found.get(`image:${pullable}`)).toMatchObject({
    status: 'ok',
    detail: expect.stringContaining('in its registry') as string,
  })
  expect(found.get(`image:${foreign}`)).toMatchObject({
    status: 'failed',
    detail: expect.stringContaining('linux/s390x') as string,
  })
  expect(
    registry.requests.filter((request) => request.startsWith('GET /v2/doctor/pullable/blobs')),
  ).toHaveLength(1)

  registry.login = 'user:secret word'
  const refused = await examineImages([pullable])
  expect(refused.get(`image:${pullable}`)).toMatchObject({
    status: 'failed',
    fix: expect.stringContaining('docker login') as string,
  })
  const auth = Buffer.from(registry.login).toString('base64')
  await writeFile(join(home, 'config.json'), JSON.stringify({ auths: { [registry.host]: { auth } } }))
  const loggedIn = await examineImages([pullable], { DOCKER_CONFIG: home })
  expect(loggedIn.get(`image:${pullable}`)?.status).toBe('ok')
})

test('a name that is none for the engine', async () => {
  if (engine === undefined) return
  const wrong = PRESENT.replace('doctor', 'Doctor')
  expect((await examineImages([wrong])).get(`image:${wrong}`)).toMatchObject({
    status: 'failed',
    detail: expect.stringContaining('is not the name of an image') as string,
    fix: expect.stringContaining('in small letters') as string,
  })
  expect((await examineImages([PRESENT])).get(`image:${PRESENT}`)?.status).toBe('ok')
})

test("too little space on Docker's disk", async () => {
  if (engine === undefined) return
  const full = await examineImages([PRESENT], {}, Number.MAX_SAFE_INTEGER)
  expect(full.get('disk')).toMatchObject({
    status: 'failed',
    fix: expect.stringContaining('docker image prune') as string,
  })
  expect((await examineImages([PRESENT])).get('disk')?.status).toBe('ok')
})
