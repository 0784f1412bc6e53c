import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { expect, it, onTestFinished } from 'vitest'
import { systemClock, type Clock } from '../../../src/core/clock.ts'
import { LeaseLostError } from '../../../src/core/errors.ts'
import type { Delivery } from '../../../src/queues/queue.ts'
import { createSqsQueue } from '../../../src/queues/sqs/sqs-queue.ts'

/** A message of 30 s visibility from a server that notes what is asked and does what `onRequest` says. */
async function receive(
  onRequest: (action: string, pass: (seconds: number) => void) => 'answer' | 'cut' = () => 'answer',
) {
  const asked: string[] = []
  let now = 0
  const pass = (seconds: number): void => void (now += seconds * 1000)
  const server = createServer((request, response) => {
    const action = String(request.headers['x-amz-target']).replace('AmazonSQS.', '')
    asked.push(action)
    request.resume().once('end', () => {
      if (onRequest(action, pass) === 'cut') request.socket.destroy()
      else
        response
          .writeHead(200, { 'content-type': 'application/x-amz-json-1.0' })
          .end(
            action === 'ReceiveMessage'
              ? '{"Messages": [{"MessageId": "m", "ReceiptHandle": "r", "Body": "b", "MD5OfBody": "92eb5ffee6ae2fec3ad71c777531578f"}]}'
              : '{}',
          )
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
  const clock: Clock = { ...systemClock, now: () => now }
  const queue = createSqsQueue({
    region: 'us-east-1',
    endpoint,
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
    queueUrl: `${endpoint}/1/q`,
    waitSeconds: 1,
    visibilitySeconds: 30,
    clock,
  })
  onTestFinished(() => {
    queue.close()
    server.closeAllConnections()
    server.close()
  })
  const [delivery] = await queue.receive(1, new AbortController().signal)
  if (delivery === undefined) throw new Error('no message')
  asked.length = 0
  return { delivery, asked, pass }
}

const NEVER = new AbortController().signal
const ACTS: [string, (delivery: Delivery) => Promise<void>][] = [
  ['renews', (delivery) => (delivery as RenewableDelivery).extend(30, NEVER)],
  ['releases', (delivery) => delivery.release(0)],
  ['deletes', (delivery) => delivery.ack()],
]
interface RenewableDelivery {
  extend(seconds: number, lost: AbortSignal): Promise<void>
}

it.each(ACTS)('%s nothing once others may have the message', async (_name, act) => {
  const { delivery, asked, pass } = await receive()
  pass(29)
  await delivery.extend(30)
  pass(29)
  await act(delivery)
  expect(asked).toHaveLength(2)
  pass(31)
  await expect(act(delivery)).rejects.toBeInstanceOf(LeaseLostError)
  expect(asked).toHaveLength(2)
})

it.each(ACTS)('%s nothing by a second try that comes too late', async (_name, act) => {
  const { delivery, asked } = await receive((action, pass) => {
    if (action === 'ReceiveMessage') return 'answer'
    pass(31)
    return 'cut'
  })
  await expect(act(delivery)).rejects.toBeInstanceOf(LeaseLostError)
  expect(asked).toHaveLength(1)
})

it('cuts the tries of a renewal short when the lease is lost', async () => {
  const lost = new AbortController()
  const { delivery, asked } = await receive((action) => {
    if (action === 'ReceiveMessage') return 'answer'
    lost.abort()
    return 'cut'
  })
  await expect((delivery as RenewableDelivery).extend(30, lost.signal)).rejects.toThrow()
  expect(asked).toHaveLength(1)
})

it('counts the lease from the try that brought the message', async () => {
  let tries = 0
  const { delivery } = await receive((_action, pass) => {
    tries += 1
    if (tries > 1) return 'answer'
    pass(29)
    return 'cut'
  })
  expect(tries).toBe(2)
  expect(delivery.receivedAt).toBe(29_000)
})
