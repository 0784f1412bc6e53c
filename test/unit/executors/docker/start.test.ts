import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { systemClock } from '../../../../src/core/clock.ts'
import { RetryableError } from '../../../../src/core/errors.ts'
import { createLogger } from '../../../../src/core/log.ts'
import { Slots } from '../../../../src/core/slots.ts'
import { Engine } from '../../../../src/executors/docker/api/engine.ts'
import type { Seat } from '../../../../src/executors/docker/network/holders.ts'
import { Removals } from '../../../../src/executors/docker/removals.ts'
import { startTask, type StartServices } from '../../../../src/executors/docker/start.ts'
import type { TaskSpec } from '../../../../src/executors/executor.ts'

const SPEC: TaskSpec = { name: 'test-1', kind: 'test', image: 'x', environment: {}, limits: {}, keep: false }
const never = new AbortController().signal

let folder: string
let server: Server
let engine: Engine
let answerStart: RequestListener
let answerDelete: RequestListener
/** What the place in a network was told when it was left. */
let left: boolean[]
let services: StartServices

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 's-'))
  left = []
  answerDelete = (_request, response) => response.writeHead(204).end()
  server = createServer((request, response) => {
    const { method, url = '' } = request
    if (method === 'DELETE') answerDelete(request, response)
    else if (url.endsWith('/start')) answerStart(request, response)
    else if (url.includes('/wait')) response.flushHeaders()
    else response.writeHead(201).end('{"Id":"id1"}')
  })
  server.on('upgrade', (_request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => undefined)
    socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n')
  })
  server.listen(join(folder, 's'))
  await once(server, 'listening')
  engine = new Engine({ socketPath: join(folder, 's') })
  const clock = { ...systemClock, sleep: () => Promise.resolve() }
  const log = createLogger(() => undefined)
  const seat: Seat = {
    holder: { id: 'holder1', isAlive: () => true },
    leave: (isDead) => left.push(isDead),
  }
  services = {
    ...{ engine, clock, log, removals: new Removals(engine, clock, log), awaitsRemoval: true },
    host: { learn: () => Promise.resolve() },
    holders: { seat: () => Promise.resolve(seat), refill: () => undefined },
    ...{ starts: new Slots(1), ownership: { owner: 'o', processName: 'p', ageLimitSeconds: 1 } },
  } as unknown as StartServices
})
afterEach(() => {
  engine.close()
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true })
})

it.each([
  [true, 'is gone', 204],
  [false, 'may run on', 500],
])(
  'tells a network (%s) whether the container that could not be started %s',
  async (isGone, _how, status) => {
    answerStart = (_request, response) => response.destroy()
    answerDelete = (_request, response) => response.writeHead(status).end()
    await expect(startTask(services, SPEC, never, () => undefined)).rejects.toThrow(RetryableError)
    expect(left).toEqual([isGone])
  },
)

it('takes a container that was started by a lost request for started', async () => {
  answerStart = (_request, response) => response.writeHead(304).end()
  const task = await startTask(services, SPEC, never, () => undefined)
  await task[Symbol.asyncDispose]()
  expect(left).toEqual([true])
})
