import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { LeaseLostError, OperatorError, RetryableError } from '../../../src/core/errors.ts'
import { createLogger } from '../../../src/core/log.ts'
import { openEmbedded, type Embedded } from '../../../src/embedded/index.ts'
import { SendDeniedError, type Queue } from '../../../src/queues/queue.ts'
import { createSqsQueue, type SqsQueueOptions } from '../../../src/queues/sqs/sqs-queue.ts'

const never = new AbortController().signal
let embedded: Embedded
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sqs-queue-'))
  embedded = await openEmbedded({ dataDir: folder, log: createLogger(() => undefined) })
})

afterAll(async () => {
  await embedded.close()
  await rm(folder, { recursive: true })
})

function open(more: Partial<SqsQueueOptions> = {}): Queue {
  const { info } = embedded
  const queue = createSqsQueue({
    region: info.region,
    endpoint: info.endpoints.sqs,
    credentials: info,
    queueUrl: info.queues.inference,
    waitSeconds: 1,
    visibilitySeconds: 30,
    clock: systemClock,
    ...more,
  })
  onTestFinished(() => {
    queue.close()
  })
  return queue
}

describe('an SQS queue', () => {
  it('hands out what was sent, with its count and its age, and forgets what was acknowledged', async () => {
    const queue = open()
    const before = systemClock.now()
    await queue.send('{"n": "ü\u2028"}')
    const [first] = await queue.receive(10, never)
    expect(first).toMatchObject({ body: '{"n": "ü\u2028"}', attempt: 1 })
    expect(first?.receivedAt).toBeGreaterThanOrEqual(before)
    expect(Math.abs((first?.sentAt?.getTime() ?? 0) - Date.now())).toBeLessThan(60_000)
    await first?.release(0)
    const [again] = await queue.receive(1, never)
    expect(again).toMatchObject({ id: first?.id, attempt: 2 })
    await again?.extend(20)
    await again?.ack()
    expect(await queue.receive(1, never)).toEqual([])
  })

  it('sends a copy with its attributes, its number, and the attempts that were made', async () => {
    const queue = open()
    const { region, endpoints, queues } = embedded.info
    const client = new SQSClient({ region, endpoint: endpoints.sqs, credentials: embedded.info })
    const MessageAttributes = { origin: { DataType: 'String', StringValue: 'test' } }
    await client.send(
      new SendMessageCommand({ QueueUrl: queues.inference, MessageBody: 'long', MessageAttributes }),
    )
    const [first] = await queue.receive(1, never)
    expect(first).toMatchObject({ attempt: 1, guard: 0 })
    await first?.sendCopy?.({ guard: 2, attempts: first.attempt })
    await first?.ack()
    const [copy] = await queue.receive(1, never)
    expect(copy).toMatchObject({ body: 'long', attempt: 2, guard: 2 })
    await copy?.sendCopy?.({})
    await copy?.ack()
    const { Messages = [] } = await client.send(
      new ReceiveMessageCommand({ QueueUrl: queues.inference, MessageAttributeNames: ['All'] }),
    )
    client.destroy()
    expect(Messages[0]?.MessageAttributes).toMatchObject({
      origin: { StringValue: 'test' },
      guard: { StringValue: '2' },
      attempt: { StringValue: '1' },
    })
  })

  it.each(['x', '-1', '1.5', '1e999'])('takes the number %s of a copy for none', async (text) => {
    const { region, endpoints, queues } = embedded.info
    const client = new SQSClient({ region, endpoint: endpoints.sqs, credentials: embedded.info })
    const attribute = { DataType: 'String', StringValue: text }
    const QueueUrl = queues['code-exec']
    const MessageAttributes = { guard: attribute, attempt: attribute }
    await client.send(new SendMessageCommand({ QueueUrl, MessageBody: 'odd', MessageAttributes }))
    client.destroy()
    const [odd] = await open({ queueUrl: QueueUrl }).receive(1, never)
    expect(odd).toMatchObject({ attempt: 1, guard: 0 })
    await odd?.ack()
  })

  it('delays a copy, by no more than SQS allows', async () => {
    const { region, endpoints, queues } = embedded.info
    const client = new SQSClient({ region, endpoint: endpoints.sqs, credentials: embedded.info })
    const queue = open({ queueUrl: queues['code-exec'] })
    await queue.send('later')
    const [first] = await queue.receive(1, never)
    await first?.sendCopy?.({ afterSeconds: 100_000 })
    await first?.ack()
    expect(await queue.receive(1, never)).toEqual([])
    const { Attributes } = await client.send(
      new GetQueueAttributesCommand({ QueueUrl: queues['code-exec'], AttributeNames: ['All'] }),
    )
    client.destroy()
    expect(Attributes?.['ApproximateNumberOfMessagesDelayed']).toBe('1')
  })

  it('says so when no copy may be sent, and offers none where it would break the order', async () => {
    const server = createServer((request, response) => {
      const MD5OfBody = '92eb5ffee6ae2fec3ad71c777531578f'
      const isReceive = String(request.headers['x-amz-target']).endsWith('ReceiveMessage')
      const body = isReceive
        ? { Messages: [{ MessageId: 'm', ReceiptHandle: 'r', Body: 'b', MD5OfBody }] }
        : { __type: 'com.amazon.coral.service#AccessDeniedException', message: 'not authorized' }
      request.resume().once('end', () => {
        response.writeHead(isReceive ? 200 : 400, { 'content-type': 'application/x-amz-json-1.0' })
        response.end(JSON.stringify(body))
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const endpoint = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
    const [delivery] = await open({ endpoint }).receive(1, never)
    await expect(delivery?.sendCopy?.({})).rejects.toBeInstanceOf(SendDeniedError)
    const [ordered] = await open({ endpoint, queueUrl: `${endpoint}/1/q.fifo` }).receive(1, never)
    expect(ordered).toBeDefined()
    expect(ordered?.sendCopy).toBeUndefined()
  })

  it('sends to a FIFO queue what is the same again, and once what had to be tried again', async () => {
    const ids: unknown[] = []
    const server = createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => parts.push(part))
      request.once('end', () => {
        const sent = JSON.parse(Buffer.concat(parts).toString()) as { MessageDeduplicationId?: unknown }
        ids.push(sent.MessageDeduplicationId)
        if (ids.length === 1) request.socket.destroy()
        else
          response
            .writeHead(200, { 'content-type': 'application/x-amz-json-1.0' })
            .end('{"MessageId": "m", "MD5OfMessageBody": "92eb5ffee6ae2fec3ad71c777531578f"}')
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const endpoint = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
    const queue = open({ endpoint, queueUrl: `${endpoint}/1/q.fifo` })
    await queue.send('b')
    await queue.send('b')
    expect(ids).toEqual([expect.any(String), ids[0], expect.any(String)])
    expect(ids[2]).not.toBe(ids[0])
  })

  it('says that the lease is lost when the receipt is refused', async () => {
    const queue = open()
    await queue.send('x')
    const [delivery] = await queue.receive(1, never)
    await delivery?.ack()
    await expect(delivery?.extend(30)).rejects.toBeInstanceOf(LeaseLostError)
  })

  it('ends a poll that is cut, at once', async () => {
    const cut = new AbortController()
    const poll = open({ waitSeconds: 20 }).receive(1, cut.signal)
    cut.abort()
    await expect(poll).rejects.toBeInstanceOf(RetryableError)
  })

  it('knows its dead-letter queue', async () => {
    expect(await open().redrive(never)).toEqual({ maxReceiveCount: 10 })
    expect(await open({ queueUrl: embedded.info.deadLetterQueues.inference }).redrive(never)).toBe('none')
  })

  it('tells the operator what is wrong before anything is received', async () => {
    const { info } = embedded
    await open().probe(never)
    const wrong: [Partial<SqsQueueOptions>, RegExp][] = [
      [{ queueUrl: `${info.queues.inference}-gone` }, /does not exist/],
      [{ credentials: { ...info, accessKeyId: 'AKIAWRONG' } }, /does not know these credentials/],
      [{ credentials: { ...info, secretAccessKey: 'wrong' } }, /refuses the signature/],
      [{ endpoint: 'http://127.0.0.1:1' }, /does not answer/],
    ]
    for (const [options, message] of wrong) {
      const error: unknown = await open(options)
        .probe(never)
        .catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(OperatorError)
      expect((error as OperatorError).message).toMatch(message)
      expect((error as OperatorError).hint).not.toBe('')
    }
  })

  it('works with keys that may only receive, change visibility and delete', async () => {
    const server = createServer((_request, response) => {
      response.writeHead(400, { 'content-type': 'application/x-amz-json-1.0' })
      response.end(
        JSON.stringify({
          __type: 'com.amazon.coral.service#AccessDeniedException',
          message: 'not authorized',
        }),
      )
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const queue = open({ endpoint: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}` })
    await queue.probe(never)
    expect(await queue.redrive(never)).toBe('unknown')
    await expect(queue.receive(1, never)).rejects.toMatchObject({ surrounding: 'credentials' })
  })
})
