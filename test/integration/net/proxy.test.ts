import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { throughProxy } from '../../../src/aws/proxy.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { OperatorError } from '../../../src/core/errors.ts'
import { request } from '../../../src/matches/opthub/http.ts'
import { createSqsQueue } from '../../../src/queues/sqs/sqs-queue.ts'
import { createDynamoDbStore } from '../../../src/stores/dynamodb/dynamodb-store.ts'

const connection = {
  region: 'ap-northeast-1',
  credentials: { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'secret-of-the-test' },
}

/** A proxy that writes down where it is asked to go, and lets nobody through. */
async function startProxy(): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = []
  const server = createServer()
  server.on('connect', (request, socket) => {
    asked.push(request.url ?? '')
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

function stubProxy(url: string, none = ''): void {
  for (const name of ['https_proxy', 'http_proxy', 'all_proxy', 'no_proxy']) vi.stubEnv(name, '')
  vi.stubEnv('HTTPS_PROXY', url)
  vi.stubEnv('NO_PROXY', none)
}

describe('a proxy', () => {
  it('is asked for AWS, by both services', async () => {
    const { url, asked } = await startProxy()
    stubProxy(url)
    const queueUrl = 'https://sqs.ap-northeast-1.amazonaws.com/123456789012/evaluator'
    const rest = { queueUrl, waitSeconds: 0, visibilitySeconds: 60, clock: systemClock }
    const queue = createSqsQueue({ ...(await throughProxy(connection, 'sqs')), ...rest })
    const store = createDynamoDbStore({
      ...(await throughProxy(connection, 'dynamodb')),
      tableName: 'opthub',
    })
    const never = new AbortController().signal
    await expect(queue.receive(1, never)).rejects.toThrow()
    await expect(store.get({ ID: 'a', Trial: 'b' }, never)).rejects.toThrow()
    queue.close()
    store.close()
    expect(new Set(asked)).toEqual(
      new Set(['sqs.ap-northeast-1.amazonaws.com:443', 'dynamodb.ap-northeast-1.amazonaws.com:443']),
    )
  })

  it('is asked for OptHub', async () => {
    const { url, asked } = await startProxy()
    stubProxy(url)
    const signal = new AbortController().signal
    await expect(request({ url: 'https://opthub.example/graphql', json: {}, signal })).rejects.toThrow()
    expect(asked).toEqual(['opthub.example:443'])
  })

  it.each([
    ['a host of NO_PROXY', '.amazonaws.com', {}],
    ['an emulator spoken to by plain http', '', { endpoint: 'http://127.0.0.1:4566' }],
  ])('is not asked for %s', async (_what, none, more) => {
    stubProxy('http://127.0.0.1:1', none)
    expect(await throughProxy({ ...connection, ...more }, 'sqs')).not.toHaveProperty('agent')
  })

  it('that is no URL is said to be the mistake', async () => {
    stubProxy('http://[')
    await expect(throughProxy(connection, 'sqs')).rejects.toThrow(OperatorError)
  })
})
