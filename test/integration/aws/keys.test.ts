import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { followKeys } from '../../../src/aws/keys.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { createSqsQueue } from '../../../src/queues/sqs/sqs-queue.ts'

/** A queue without messages that writes down who asks. */
async function startServer(): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(/Credential=(\w+)\//.exec(request.headers.authorization ?? '')?.[1] ?? '')
    request.resume()
    response.setHeader('Content-Type', 'application/x-amz-json-1.0').end('{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

it('keys that were changed are used by the next requests, and those of a file that is being written are not', async () => {
  const { url, asked } = await startServer()
  let read = (): Promise<{ accessKeyId: string; secretAccessKey: string } | undefined> =>
    Promise.resolve({ accessKeyId: 'AKIAFIRST', secretAccessKey: 'first-secret' })
  const queue = createSqsQueue({
    region: 'ap-northeast-1',
    endpoint: url,
    // Read again before each request.
    credentials: followKeys({ accessKeyId: 'AKIAFIRST', secretAccessKey: 'first-secret' }, () => read(), -1),
    queueUrl: `${url}/1/queue`,
    waitSeconds: 0,
    visibilitySeconds: 60,
    clock: systemClock,
  })
  const never = new AbortController().signal
  await queue.receive(1, never)
  read = () => Promise.resolve({ accessKeyId: 'AKIASECOND', secretAccessKey: 'second-secret' })
  await queue.receive(1, never)
  read = () => Promise.reject(new Error('config.yml: is not valid YAML'))
  await queue.receive(1, never)
  read = () => Promise.resolve(undefined)
  await queue.receive(1, never)
  queue.close()
  expect(asked).toEqual(['AKIAFIRST', 'AKIASECOND', 'AKIASECOND', 'AKIASECOND'])
})

it('keys are not read again for each request', async () => {
  let reads = 0
  const first = { accessKeyId: 'AKIAFIRST', secretAccessKey: 'first-secret' }
  const { url, asked } = await startServer()
  const queue = createSqsQueue({
    region: 'ap-northeast-1',
    endpoint: url,
    credentials: followKeys(first, () => {
      reads += 1
      return Promise.resolve(first)
    }),
    queueUrl: `${url}/1/queue`,
    waitSeconds: 0,
    visibilitySeconds: 60,
    clock: systemClock,
  })
  for (let n = 0; n < 5; n += 1) await queue.receive(1, new AbortController().signal)
  queue.close()
  expect(asked).toHaveLength(5)
  expect(reads).toBe(0)
})
