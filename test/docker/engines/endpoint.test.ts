import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { importHostNodeImage } from '../../../src/executors/docker/images/host-image.ts'
import { createImageRunner, type ImageRunner } from '../../../src/image-runner.ts'
import { compileChild } from '../../support/compile-child.ts'
import { requireEngine } from '../../support/engine.ts'

const engine = await requireEngine()
const socketPath = engine?.label.replace('unix://', '') ?? ''
const isLocal = process.platform === 'linux' && engine?.label.startsWith('unix://') === true
const ROOT = resolve(import.meta.dirname, '../../..')
const IMAGE = `opthub-runner-test/endpoint-${crypto.randomUUID()}:1`
const SERVER = "require('node:http').createServer((_, to) => to.end('here')).listen(8000)"

describe.skipIf(!isLocal)('a server, asked by a runner that is in a container itself', () => {
  let runner: ImageRunner
  let child: ReturnType<typeof compileChild>

  beforeAll(async () => {
    child = compileChild(join(import.meta.dirname, 'endpoint-child.ts'), ['core', 'executors'])
    if (engine === undefined) return
    const command = ['/usr/bin/node', '-e', SERVER]
    await importHostNodeImage(engine, { tag: IMAGE, files: {}, command, nodePath: process.execPath })
    runner = createImageRunner({ host: engine.label, environment: {} })
  })
  afterAll(async () => {
    child.remove()
    await runner.close()
    await engine?.json('DELETE', `/images/${encodeURIComponent(IMAGE)}`, { query: { force: '1' } })
    engine?.close()
  })

  it('is reached by its own address in the network of that container', async () => {
    const { stdout, stderr, exitCode } = await runner.run({
      image: IMAGE,
      args: ['/usr/bin/node', child.script],
      env: { DOCKER_HOST: 'unix:///run/engine.sock', IMAGE },
      mounts: [
        { source: ROOT, target: ROOT, readOnly: true },
        { source: socketPath, target: '/run/engine.sock' },
      ],
      user: '0:0',
    })
    expect([stderr.toString(), exitCode]).toEqual(['', 0])
    const found = JSON.parse(stdout.toString()) as { host: string }
    expect(found).toMatchObject({ port: 8000, said: 'here' })
    expect(found.host).not.toMatch(/^127\./)
  })

  it('is out of reach without a network, and that is said before anything is started', async () => {
    const { stderr, exitCode } = await runner.run({
      image: IMAGE,
      args: ['/usr/bin/node', child.script],
      env: { DOCKER_HOST: 'unix:///run/engine.sock', IMAGE },
      mounts: [
        { source: ROOT, target: ROOT, readOnly: true },
        { source: socketPath, target: '/run/engine.sock' },
      ],
      limits: { network: 'none' },
      user: '0:0',
    })
    expect(exitCode).toBe(1)
    expect(stderr.toString()).toContain('shares no network with others')
  })
})
