import { mkdtempSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLogger } from '../../../../src/core/log.ts'
import { engineKind, isRootless, warnOfEngine } from '../../../../src/executors/docker/api/engine-kind.ts'
import { Engine } from '../../../../src/executors/docker/api/engine.ts'

let folder: string
let server: Server
let engine: Engine
let answers: Record<string, unknown>
let asked: string[]

/** An engine that says of itself what `answers` holds. */
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'opthub-kind-'))
  answers = {}
  asked = []
  server = createServer((request, response) => {
    const url = request.url ?? ''
    asked.push(url)
    const answer = answers[url]
    response.writeHead(answer === undefined ? 500 : 200).end(JSON.stringify(answer ?? { message: 'not now' }))
  }).listen(join(folder, 's'))
  await once(server, 'listening')
  engine = new Engine({ socketPath: join(folder, 's') })
})
afterEach(() => {
  engine.close()
  server.close()
  rmSync(folder, { recursive: true })
})

describe('engineKind', () => {
  it.each([
    ['Docker', '20.10.24+dfsg1', ['Engine', 'containerd', 'runc'], true],
    ['Docker', '29.0.1', ['Engine'], true],
    ['Docker', '19.03.15', ['Engine'], false],
    ['Podman', '4.3.1', ['Podman Engine', 'Conmon', 'OCI Runtime (crun)'], true],
    ['Podman', '5.2.0', ['Podman Engine'], true],
    ['Podman', '3.4.4', ['Podman Engine'], false],
  ] as const)('knows %s %s', async (product, version, names, isSupported) => {
    const Components = names.map((Name) => ({ Name }))
    answers['/version'] = { Version: version, Os: 'linux', Arch: 'arm64', Components }
    const oldest = product === 'Docker' ? '20.10' : '4.0'
    const kind = { product, version, isSupported, oldest, os: 'linux', architecture: 'arm64' }
    expect(await engineKind(engine)).toEqual(kind)
  })

  it('takes what says nothing of itself for a Docker that is too old', async () => {
    answers['/version'] = { Components: null }
    expect(await engineKind(engine)).toMatchObject({
      product: 'Docker',
      version: 'unknown',
      isSupported: false,
    })
  })

  it('asks once, unless there was no answer', async () => {
    await expect(engineKind(engine)).rejects.toThrow('not now')
    answers['/version'] = { Version: '27.1' }
    await Promise.all([engineKind(engine), engineKind(engine)])
    await engineKind(engine)
    expect(asked).toEqual(['/version', '/version'])
  })
})

describe('warnOfEngine', () => {
  it.each([
    ['27.1', 'Engine', []],
    ['19.03', 'Engine', ['The engine is too old: jobs may fail or hang']],
    ['4.9', 'Podman Engine', ['Podman hands over no GPUs: jobs that ask for one are refused']],
    ['3.4', 'Podman Engine', ['The engine is too old: jobs may fail or hang']],
  ])('of %s of %s says %j', async (Version, Name, messages) => {
    answers['/version'] = { Version, Components: [{ Name }] }
    const said: string[] = []
    await warnOfEngine(
      engine,
      createLogger(({ msg }) => said.push(msg), 'WARNING'),
    )
    expect(said).toEqual(messages)
  })
})

describe('isRootless', () => {
  it.each([
    [{ SecurityOptions: ['name=seccomp,profile=default', 'name=rootless', 'name=cgroupns'] }, true],
    [{ SecurityOptions: ['name=seccomp,profile=default'] }, false],
    [{ Rootless: true }, true],
    [{ SecurityOptions: null, Rootless: false }, false],
  ])('reads %j', async (info, answer) => {
    answers['/info'] = info
    expect(await isRootless(engine)).toBe(answer)
  })
})
