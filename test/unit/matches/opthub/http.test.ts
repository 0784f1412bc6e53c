import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'
import { request, UnreachableError, withRetries } from '../../../../src/matches/opthub/http.ts'
import { ManualClock } from '../../../support/manual-clock.ts'

const never = new AbortController().signal
const servers: Server[] = []

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

afterEach(() => {
  vi.useRealTimers()
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

it('a server that says nothing is given up', async () => {
  let heard = (): void => undefined
  const arrived = new Promise<void>((resolve) => (heard = resolve))
  const url = await serve(heard)
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const answer = request({ url, signal: never }).catch((error: unknown) => error)
  await arrived
  await vi.advanceTimersByTimeAsync(10_000)
  const error = await answer
  expect(error).toBeInstanceOf(UnreachableError)
  expect((error as Error).message).toMatch(/^127\.0\.0\.1:\d+ did not answer within 10 s$/)
})

it('a server that stops in the middle of its answer is given up', async () => {
  const url = await serve((_, response) => {
    response.writeHead(200, { 'Content-Length': '100' })
    response.write('{"half":')
    setImmediate(() => response.destroy())
  })
  await expect(request({ url, signal: never })).rejects.toThrow(UnreachableError)
})

it('a stop ends a request with its own reason', async () => {
  const stop = new AbortController()
  const url = await serve(() => {
    stop.abort(new Error('stopped'))
  })
  await expect(request({ url, signal: stop.signal })).rejects.toThrow('stopped')
  await expect(request({ url, signal: stop.signal })).rejects.toThrow('stopped')
})

it('nothing is sent on to where a server points', async () => {
  let reached = false
  const elsewhere = await serve((_, response) => {
    reached = true
    response.end('{}')
  })
  const url = await serve((_, response) => {
    response.writeHead(307, { Location: elsewhere }).end()
  })
  const sent = request({ url, headers: { Authorization: 'Bearer x' }, json: {}, signal: never })
  await expect(sent).rejects.toThrow(UnreachableError)
  expect(reached).toBe(false)
})

it('what is no JSON is nothing, and is not quoted', async () => {
  const url = await serve((_, response) => response.end('{"token": "secret'))
  expect(await request({ url, signal: never })).toEqual({ status: 200, body: undefined })
})

it('retries end after three tries, and at a stop', async () => {
  const clock = new ManualClock()
  let tries = 0
  const work = (): Promise<never> => {
    tries += 1
    return Promise.reject(new UnreachableError('away'))
  }
  const ended = withRetries(clock, never, work).catch((error: unknown) => error)
  await clock.advance(5000)
  expect(await ended).toEqual(new UnreachableError('away'))
  expect(tries).toBe(3)

  const stop = new AbortController()
  const stopped = withRetries(clock, stop.signal, work).catch((error: unknown) => error)
  await clock.advance(0)
  stop.abort(new Error('stopped'))
  expect(await stopped).toEqual(new Error('stopped'))
  expect(tries).toBe(4)
})

it('other errors are not tried again', async () => {
  let tries = 0
  const ended = withRetries(new ManualClock(), never, () => {
    tries += 1
    return Promise.reject(new Error('refused'))
  })
  await expect(ended).rejects.toThrow('refused')
  expect(tries).toBe(1)
})
