import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../../../src/core/clock.ts'
import { createLogger } from '../../../../src/core/log.ts'
import { Engine } from '../../../../src/executors/docker/api/engine.ts'
import { createDockerExecutor } from '../../../../src/executors/docker/docker-executor.ts'
import type { TaskSpec } from '../../../../src/executors/executor.ts'

const NETWORKED: TaskSpec = {
  ...{ name: 'test-1', kind: 'test', image: 'x', environment: {}, limits: {}, keep: false },
}
/** Without a network no other container is made for it. */
const SPEC: TaskSpec = { ...NETWORKED, limits: { network: 'none' } }
const WORKDIR = { path: '/work', bytes: 1024 ** 2, inodes: 16, uid: 1000 }
const never = new AbortController().signal

/** The part of a request to create a container that counts here. */
interface Wanted {
  HostConfig: { Mounts?: { Type: string; Source: string }[] }
}

let folder: string
let server: Server
let engine: Engine
let executor: ReturnType<typeof createDockerExecutor>
let nowMs: number
/** What the engine has; a name with `/` before it is a container's, the others are volumes'. */
let things: Set<string>
/** The names of the containers that run. */
let running: Set<string>
/** What the engine will have once it is done with the requests that were cut. */
let unfinished: string[]
/** The next request to create something whose name begins so is cut. */
let cut: string | undefined
let deletes: number
/** Called before each removal. */
let onDelete: () => void

/** The engine comes to an end with what it was asked for. */
function finish(): void {
  for (const name of unfinished.splice(0)) things.add(name)
}

const json = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
}

async function create(name: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { HostConfig } = JSON.parse(await text(request)) as Wanted
  const made = [
    `/${name}`,
    ...(HostConfig.Mounts ?? []).flatMap(({ Type, Source }) => (Type === 'volume' && Source ? [Source] : [])),
  ]
  if (cut !== undefined && name.startsWith(cut)) {
    cut = undefined
    unfinished.push(...made)
    response.destroy()
  } else if (things.has(`/${name}`)) {
    json(response, 409, {
      message: `Conflict. The container name "/${name}" is already in use by container "a1"`,
    })
  } else {
    for (const each of made) things.add(each)
    json(response, 201, { Id: name })
  }
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { method, url = '' } = request
  const { pathname, searchParams } = new URL(url, 'http://engine')
  const last = decodeURIComponent(pathname.split('/').at(-1) ?? '')
  if (pathname === '/containers/create') void create(searchParams.get('name') ?? '', request, response)
  else if (method === 'DELETE') {
    deletes += 1
    onDelete()
    const isVolume = pathname.startsWith('/volumes/')
    if (isVolume && things.has(`/${last}`)) json(response, 409, { message: 'volume is in use' })
    else if (running.has(last) && !searchParams.has('force')) json(response, 409, { message: 'it runs' })
    else if (things.delete(isVolume ? last : `/${last}`)) response.writeHead(204).end()
    else json(response, 404, { message: 'no such thing' })
  } else if (last === 'wait') response.flushHeaders()
  else if (last === 'start') {
    running.add(pathname.split('/').at(-2) ?? '')
    response.writeHead(204).end()
  } else if (pathname === '/version') json(response, 200, { Version: '27.0.0', Os: 'linux', Arch: 'amd64' })
  else if (pathname === '/containers/json') json(response, 200, [])
  else if (pathname === '/volumes') json(response, 200, { Volumes: [] })
  else if (pathname === '/networks') json(response, 200, [])
  else if (pathname === '/images/create') json(response, 200, { status: 'sha256:1' })
  else if (pathname.startsWith('/images/')) json(response, 200, { Id: 'sha256:1', Config: {} })
  else json(response, 200, {})
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'u-'))
  things = new Set()
  running = new Set()
  unfinished = []
  cut = undefined
  deletes = 0
  onDelete = () => undefined
  nowMs = 0
  server = createServer(answer)
  server.on('upgrade', (_request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => undefined)
    socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n')
  })
  server.listen(join(folder, 's'))
  await once(server, 'listening')
  engine = new Engine({ socketPath: join(folder, 's') })
  executor = createDockerExecutor({
    ...{ engine, processName: 'p', owner: 'o', environment: {}, dataDir: folder },
    clock: {
      ...systemClock,
      now: () => nowMs,
      sleep: (ms, signal) => systemClock.sleep(ms / 1000, signal),
    },
    log: createLogger(() => undefined),
  })
})
afterEach(async () => {
  await executor.close()
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true })
})

/** Everything of which a container is made, by the beginning of its name. */
const MAKERS: [string, string, () => Promise<unknown>][] = [
  ['a task', 'test-1', () => executor.start(SPEC, never)],
  ['a working folder', 'opthub-runner-workdir-', () => executor.openWorkdir(WORKDIR, never)],
  ['a trial of walls', 'wall-check-', () => executor.assertWalls(undefined, never)],
  ['a helper of a network', 'internet-', () => executor.assertInternet({ image: 'x', dns: [] }, never)],
  [
    'a network that is set up ahead',
    'holder-',
    async () => {
      await (await executor.start(NETWORKED, never))[Symbol.asyncDispose]()
      await expect.poll(() => unfinished.length).toBe(1)
      throw new Error('as the others')
    },
  ],
]

describe.each(MAKERS)('what the engine makes of a request that was cut: %s', (_what, begin, make) => {
  beforeEach(async () => {
    cut = begin
    await expect(make()).rejects.toThrow()
    // All that is tried at once is tried before it is there.
    await executor.reap(never)
    expect(deletes).toBeGreaterThan(0)
  })

  it('goes at the next look', async () => {
    finish()
    expect([...things].some((name) => name.startsWith(`/${begin}`))).toBe(true)
    await executor.reap(never)
    expect([...things]).toEqual([])
  })

  it('goes at the close, also when it comes only then', async () => {
    onDelete = () => {
      setImmediate(finish)
    }
    await executor.close()
    expect(unfinished).toEqual([])
    expect([...things]).toEqual([])
  })
})

describe('a container that may come yet', () => {
  it('is not looked for any more once it was there', async () => {
    cut = 'test-1'
    await expect(executor.start(SPEC, never)).rejects.toThrow()
    finish()
    await executor.reap(never)
    deletes = 0
    await executor.reap(never)
    expect(deletes).toBe(0)
  })

  it('is not looked for any more once no engine is at work on it', async () => {
    cut = 'test-1'
    await expect(executor.start(SPEC, never)).rejects.toThrow()
    nowMs += 300_000
    await executor.reap(never)
    await executor.reap(never)
    expect(deletes).toBe(3)
    nowMs += 300_000
    await executor.reap(never)
    await executor.reap(never)
    expect(deletes).toBe(4)
  })

  it('is none that runs', async () => {
    const task = await executor.start(SPEC, never)
    await expect(executor.start(SPEC, never)).rejects.toThrow('already in use')
    await executor.reap(never)
    expect([...things]).toEqual(['/test-1'])
    await task[Symbol.asyncDispose]()
    expect([...things]).toEqual([])
  })

  it('goes when it is there because its request arrived twice', async () => {
    things.add('/test-1')
    await expect(executor.start(SPEC, never)).rejects.toThrow('already in use')
    await expect.poll(() => [...things]).toEqual([])
  })
})
