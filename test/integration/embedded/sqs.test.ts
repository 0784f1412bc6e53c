import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import {
  ChangeMessageVisibilityBatchCommand,
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ListDeadLetterSourceQueuesCommand,
  ListQueuesCommand,
  PurgeQueueCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  type Message,
  type QueueAttributeName,
  type ReceiveMessageCommandInput,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { describe, expect, test } from 'vitest'
import { failureOf, open, signed, type Knobs } from './support.ts'

interface Bench {
  sqs: SQSClient
  url: string
  send: (body: string, more?: object) => Promise<string>
  receive: (more?: Partial<ReceiveMessageCommandInput>) => Promise<Message[]>
  bodies: (more?: Partial<ReceiveMessageCommandInput>) => Promise<(string | undefined)[]>
  remove: (handle: string | undefined) => Promise<unknown>
  change: (handle: string | undefined, seconds: number) => Promise<unknown>
  attribute: (name: QueueAttributeName) => Promise<string | undefined>
}

/** A queue of its own in a fresh data directory. */
async function bench(attributes: Record<string, string> = {}, knobs: Knobs = {}): Promise<Bench> {
  const { sqs } = await open(knobs)
  const name = attributes['FifoQueue'] === 'true' ? 'bench.fifo' : 'bench'
  const { QueueUrl: url = '' } = await sqs.send(
    new CreateQueueCommand({ QueueName: name, Attributes: attributes }),
  )
  return benchOf(sqs, url)
}

function benchOf(sqs: SQSClient, url: string): Bench {
  const QueueUrl = url
  const receive: Bench['receive'] = async (more = {}) =>
    (await sqs.send(new ReceiveMessageCommand({ QueueUrl, ...more }))).Messages ?? []
  return {
    sqs,
    url,
    receive,
    bodies: async (more) => (await receive(more)).map(({ Body }) => Body),
    send: async (body, more = {}) =>
      (await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: body, ...more }))).MessageId ?? '',
    remove: (ReceiptHandle) => sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle })),
    change: (ReceiptHandle, VisibilityTimeout) =>
      sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout })),
    attribute: async (name) =>
      (await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }))).Attributes?.[
        name
      ],
  }
}

describe('messages', () => {
  test('go through with their id, digest and every attribute', async () => {
    const { sqs, url, receive } = await bench()
    const body = 'text with é, 漢 and 😀'
    const sent = await sqs.send(
      new SendMessageCommand({
        QueueUrl: url,
        MessageBody: body,
        MessageAttributes: {
          zeta: { DataType: 'Number.float', StringValue: '1.5e3' },
          alpha: { DataType: 'String', StringValue: 'ä' },
          bytes: { DataType: 'Binary', BinaryValue: Uint8Array.of(0, 255) },
        },
        MessageSystemAttributes: { AWSTraceHeader: { DataType: 'String', StringValue: 'Root=1-2-3' } },
      }),
    )
    expect(sent.MD5OfMessageBody).toBe(createHash('md5').update(body).digest('hex'))
    const before = Date.now()
    // The client itself checks both digests and throws when one is wrong.
    const [message] = await receive({ MessageSystemAttributeNames: ['All'], MessageAttributeNames: ['All'] })
    expect(message).toMatchObject({
      MessageId: sent.MessageId,
      Body: body,
      MD5OfBody: sent.MD5OfMessageBody,
      MD5OfMessageAttributes: sent.MD5OfMessageAttributes,
      MessageAttributes: {
        zeta: { DataType: 'Number.float', StringValue: '1.5e3' },
        alpha: { DataType: 'String', StringValue: 'ä' },
        bytes: { DataType: 'Binary', BinaryValue: Uint8Array.of(0, 255) },
      },
      Attributes: { ApproximateReceiveCount: '1', AWSTraceHeader: 'Root=1-2-3' },
    })
    const { SentTimestamp, ApproximateFirstReceiveTimestamp } = message?.Attributes ?? {}
    expect(Math.abs(Number(SentTimestamp) - before)).toBeLessThan(60_000)
    expect(Number(ApproximateFirstReceiveTimestamp)).toBeGreaterThanOrEqual(Number(SentTimestamp))
  })

  test('show only the attributes that are asked for, by either name of the list', async () => {
    const { receive, send } = await bench({ VisibilityTimeout: '0' })
    const value = { DataType: 'String', StringValue: 'x' }
    await send('a', { MessageAttributes: { 'my.one': value, 'my.two': value, other: value } })
    expect((await receive())[0]).not.toHaveProperty('Attributes')
    expect((await receive())[0]).not.toHaveProperty('MessageAttributes')
    expect((await receive({ AttributeNames: ['SentTimestamp' as 'All'] }))[0]?.Attributes).toEqual({
      SentTimestamp: expect.any(String) as string,
    })
    const [message] = await receive({
      MessageAttributeNames: ['my.*'],
      MessageSystemAttributeNames: ['ApproximateReceiveCount'],
    })
    expect(Object.keys(message?.MessageAttributes ?? {})).toEqual(['my.one', 'my.two'])
    expect(message?.Attributes).toEqual({ ApproximateReceiveCount: '4' })
  })

  test('come in the order of their arrival, at most as many as asked for', async () => {
    const { bodies, send } = await bench()
    for (const body of ['1', '2', '3', '4']) await send(body)
    expect(await bodies({ MaxNumberOfMessages: 3 })).toEqual(['1', '2', '3'])
    expect(await bodies({ MaxNumberOfMessages: 10 })).toEqual(['4'])
    expect(await bodies({ MaxNumberOfMessages: 10 })).toEqual([])
  })

  test('of one mebibyte fit, one byte more does not', async () => {
    const { send, receive } = await bench()
    await send('x'.repeat(1_048_576))
    expect((await receive())[0]?.Body).toHaveLength(1_048_576)
    const failure = await failureOf(send('x'.repeat(1_048_577)))
    expect(failure).toMatchObject({ name: 'InvalidParameterValue', status: 400 })
    expect(failure.message).toContain('1048576')
  })

  test.each([
    ['an empty body', { MessageBody: '' }, 'MissingParameter'],
    ['a body with characters that XML does not know', { MessageBody: 'a\u0000b' }, 'InvalidMessageContents'],
    ['a delay out of range', { DelaySeconds: 901 }, 'InvalidParameterValue'],
    [
      'an attribute without value',
      { MessageAttributes: { a: { DataType: 'String' } } },
      'InvalidParameterValue',
    ],
    [
      'an attribute of no type',
      { MessageAttributes: { a: { DataType: 'Text', StringValue: 'x' } } },
      'InvalidParameterValue',
    ],
    [
      'a number that is none',
      { MessageAttributes: { a: { DataType: 'Number', StringValue: 'x' } } },
      'InvalidParameterValue',
    ],
    ['a deduplication id on a standard queue', { MessageDeduplicationId: 'x' }, 'InvalidParameterValue'],
  ])('with %s are refused', async (_what, more, name) => {
    const { send } = await bench()
    expect(await failureOf(send('body', more))).toMatchObject({ name, status: 400 })
  })

  test('can be delayed, one by one and by the queue', async () => {
    const { bodies, send, attribute } = await bench({ DelaySeconds: '1' })
    await send('late')
    await send('now', { DelaySeconds: 0 })
    expect(await attribute('ApproximateNumberOfMessagesDelayed')).toBe('1')
    expect(await bodies({ MaxNumberOfMessages: 10 })).toEqual(['now'])
    expect(await bodies({ WaitTimeSeconds: 10 })).toEqual(['late'])
  })
})

describe('a long poll', () => {
  test('wakes for a message that is sent while it waits', async () => {
    const { receive, send } = await bench()
    const polling = receive({ WaitTimeSeconds: 20 })
    await delay(100)
    await send('hello')
    expect((await polling)[0]?.Body).toBe('hello')
  })

  test('wakes when a message comes back', async () => {
    const { receive, send } = await bench({ VisibilityTimeout: '1' })
    await send('hello')
    await receive()
    const [message] = await receive({ WaitTimeSeconds: 20, MessageSystemAttributeNames: ['All'] })
    expect(message?.Attributes?.['ApproximateReceiveCount']).toBe('2')
  })

  test('wakes when a message is given back', async () => {
    const { receive, send, change } = await bench()
    await send('hello')
    const [message] = await receive()
    const polling = receive({ WaitTimeSeconds: 20 })
    await delay(100)
    await change(message?.ReceiptHandle, 0)
    expect((await polling)[0]?.Body).toBe('hello')
  })

  test('ends with nothing when its time is over', async () => {
    const { receive } = await bench()
    const begun = performance.now()
    expect(await receive({ WaitTimeSeconds: 1 })).toEqual([])
    expect(performance.now() - begun).toBeGreaterThanOrEqual(990)
  })

  test('takes its time from the queue when it names none', async () => {
    const { receive, send } = await bench({ ReceiveMessageWaitTimeSeconds: '20' })
    const polling = receive()
    await delay(50)
    await send('hello')
    expect(await polling).toHaveLength(1)
  })

  test('of many gets each message once, oldest poll first', async () => {
    const { bodies, send } = await bench()
    const polls = Array.from({ length: 5 }, () => bodies({ WaitTimeSeconds: 20 }))
    await delay(200)
    for (const body of ['1', '2', '3', '4', '5']) await send(body)
    expect((await Promise.all(polls)).flat().sort()).toEqual(['1', '2', '3', '4', '5'])
  })

  test('that was cut takes no message with it', async () => {
    const { sqs, url, receive, send } = await bench({ VisibilityTimeout: '600' })
    for (let round = 0; round < 10; round += 1) {
      const controller = new AbortController()
      const command = new ReceiveMessageCommand({ QueueUrl: url, WaitTimeSeconds: 20 })
      const polling = sqs.send(command, { abortSignal: controller.signal })
      await delay(30)
      controller.abort()
      await expect(polling).rejects.toThrow()
      await send(`round ${String(round)}`)
      const [message] = await receive({ WaitTimeSeconds: 5, MessageSystemAttributeNames: ['All'] })
      expect(message?.Body).toBe(`round ${String(round)}`)
      expect(message?.Attributes?.['ApproximateReceiveCount']).toBe('1')
    }
  })

  test('whose answer was sent to a client that never read it gives the message back', async () => {
    const { embedded, sqs } = await open()
    const url = embedded.info.queues.scorer
    const { send, receive } = benchOf(sqs, url)
    const poll = new ReceiveMessageCommand({ QueueUrl: url, WaitTimeSeconds: 20, VisibilityTimeout: 600 })
    const { headers, body } = await signed(embedded.info, (client) => client.send(poll))
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.pause()
    await once(socket, 'connect')
    const lines = Object.entries({ ...headers, 'content-length': Buffer.byteLength(body) })
    socket.write(
      `POST / HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${String(value)}\r\n`).join('')}\r\n${body}`,
    )
    await delay(200)
    await send('unread')
    await delay(200)
    expect(await receive()).toEqual([])
    socket.destroy()
    const [message] = await receive({ WaitTimeSeconds: 10, MessageSystemAttributeNames: ['All'] })
    expect(message).toMatchObject({ Body: 'unread', Attributes: { ApproximateReceiveCount: '1' } })
  })

  test('that is cut at any moment loses no message', async () => {
    const { sqs, url, bodies, send } = await bench({ VisibilityTimeout: '3' })
    const received = new Set<string | undefined>()
    for (let round = 0; round < 40; round += 1) {
      const controller = new AbortController()
      const command = new ReceiveMessageCommand({ QueueUrl: url, WaitTimeSeconds: 20 })
      const polling = sqs.send(command, { abortSignal: controller.signal }).then(
        (answer) => {
          for (const { Body } of answer.Messages ?? []) received.add(Body)
        },
        () => undefined,
      )
      const sending = send(String(round))
      await delay(round % 8)
      controller.abort()
      await Promise.all([polling, sending])
    }
    while (received.size < 40) {
      const more = await bodies({ WaitTimeSeconds: 10, MaxNumberOfMessages: 10 })
      if (more.length === 0) break
      for (const body of more) received.add(body)
    }
    expect(received.size).toBe(40)
  })
})

describe('receipts', () => {
  test('delete, once and again', async () => {
    const { bodies, receive, remove, send } = await bench({ VisibilityTimeout: '1' })
    await send('a')
    const [message] = await receive()
    await remove(message?.ReceiptHandle)
    await remove(message?.ReceiptHandle)
    expect(await bodies({ WaitTimeSeconds: 2 })).toEqual([])
  })

  test('still delete after the time in flight, as long as nobody else received the message', async () => {
    const { bodies, receive, remove, send, attribute } = await bench({ VisibilityTimeout: '0' })
    await send('a')
    const [message] = await receive()
    await remove(message?.ReceiptHandle)
    expect(await bodies()).toEqual([])
    expect(await attribute('ApproximateNumberOfMessages')).toBe('0')
  })

  test('of an earlier receive delete nothing, without an error, and renew nothing', async () => {
    const { receive, remove, change, send, attribute } = await bench()
    await send('a')
    const [first] = await receive({ VisibilityTimeout: 0 })
    const [second] = await receive()
    expect(second?.MessageId).toBe(first?.MessageId)
    await remove(first?.ReceiptHandle)
    expect(await attribute('ApproximateNumberOfMessagesNotVisible')).toBe('1')
    expect(await failureOf(change(first?.ReceiptHandle, 30))).toMatchObject({ name: 'InvalidParameterValue' })
    await remove(second?.ReceiptHandle)
    expect(await attribute('ApproximateNumberOfMessagesNotVisible')).toBe('0')
  })

  test('renew only what is in flight', async () => {
    const { receive, remove, change, send } = await bench()
    await send('a')
    const [message] = await receive()
    await change(message?.ReceiptHandle, 0)
    const failure = await failureOf(change(message?.ReceiptHandle, 30))
    expect(failure).toMatchObject({
      name: 'MessageNotInflight',
      code: 'AWS.SimpleQueueService.MessageNotInflight',
    })
    const [again] = await receive()
    await remove(again?.ReceiptHandle)
    const gone = await failureOf(change(again?.ReceiptHandle, 30))
    expect(gone).toMatchObject({ name: 'InvalidParameterValue' })
    expect(gone.message).toContain('Message does not exist or is not available for visibility timeout change')
  })

  test('that are none are refused', async () => {
    const { remove, change } = await bench()
    for (const handle of ['nonsense', 'a b c', Buffer.from('other 1795230643639000 x').toString('base64')]) {
      expect(await failureOf(remove(handle))).toMatchObject({ name: 'ReceiptHandleIsInvalid' })
      expect(await failureOf(change(handle, 1))).toMatchObject({ name: 'ReceiptHandleIsInvalid' })
    }
  })

  test('keep a message for as long as they are renewed', async () => {
    const { bodies, receive, change, send } = await bench({ VisibilityTimeout: '3' })
    await send('a')
    const [message] = await receive()
    for (let renewal = 0; renewal < 4; renewal += 1) {
      await change(message?.ReceiptHandle, 3)
      expect(await bodies()).toEqual([])
      await delay(900)
    }
    expect(await bodies({ WaitTimeSeconds: 10 })).toEqual(['a'])
  })

  test('keep no message beyond twelve hours from its receive', async () => {
    const { receive, change, send } = await bench()
    await send('a')
    const [message] = await receive()
    const failure = await failureOf(change(message?.ReceiptHandle, 43_200))
    expect(failure).toMatchObject({ name: 'InvalidParameterValue', status: 400 })
    expect(failure.message).toContain(
      'Total VisibilityTimeout for the message is beyond the limit [43200 seconds]',
    )
    await change(message?.ReceiptHandle, 43_100)
    expect(await failureOf(change(message?.ReceiptHandle, 43_201))).toMatchObject({
      name: 'InvalidParameterValue',
    })
    expect(await failureOf(change(message?.ReceiptHandle, -1))).toMatchObject({
      name: 'InvalidParameterValue',
    })
  })

  test('are refused by a limit that the tests set, and what was granted before stands', async () => {
    const { bodies, receive, change, send } = await bench(
      { VisibilityTimeout: '8' },
      { maxVisibilityRenewalSeconds: 10 },
    )
    await send('a')
    const [message] = await receive()
    const failure = await failureOf(change(message?.ReceiptHandle, 10))
    expect(failure.message).toContain('beyond the limit [10 seconds]')
    expect(await bodies()).toEqual([])
    await change(message?.ReceiptHandle, 1)
    expect(await bodies({ WaitTimeSeconds: 10 })).toEqual(['a'])
  })
})

describe('a dead-letter queue', () => {
  test('gets what was received too often', async () => {
    const { sqs } = await open()
    const { QueueUrl: deadUrl = '' } = await sqs.send(new CreateQueueCommand({ QueueName: 'dead' }))
    const dead = benchOf(sqs, deadUrl)
    const arn = await dead.attribute('QueueArn')
    const { QueueUrl: url = '' } = await sqs.send(
      new CreateQueueCommand({
        QueueName: 'source',
        Attributes: {
          VisibilityTimeout: '0',
          RedrivePolicy: JSON.stringify({ deadLetterTargetArn: arn, maxReceiveCount: '2' }),
        },
      }),
    )
    const source = benchOf(sqs, url)
    const id = await source.send('poison')
    expect(await source.bodies()).toEqual(['poison'])
    expect(await source.bodies()).toEqual(['poison'])
    expect(await source.bodies()).toEqual([])
    const [message] = await dead.receive({ WaitTimeSeconds: 5, MessageSystemAttributeNames: ['All'] })
    expect(message).toMatchObject({ MessageId: id, Body: 'poison' })
    expect(message?.Attributes?.['DeadLetterQueueSourceArn']).toBe(await source.attribute('QueueArn'))
    const sources = await sqs.send(new ListDeadLetterSourceQueuesCommand({ QueueUrl: deadUrl }))
    expect(sources.queueUrls).toEqual([url])
  })

  test('must be there, be another one, and be of the same type', async () => {
    const { sqs } = await open()
    const create = async (name: string, target?: string): Promise<string> => {
      const arn = `arn:aws:sqs:us-east-1:000000000000:${target ?? ''}`
      const Attributes = {
        ...(name.endsWith('.fifo') && { FifoQueue: 'true' }),
        ...(target !== undefined && {
          RedrivePolicy: JSON.stringify({ deadLetterTargetArn: arn, maxReceiveCount: 2 }),
        }),
      }
      return (await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes }))).QueueUrl ?? ''
    }
    const redrive = async (url: string, target: string): Promise<void> => {
      const deadLetterTargetArn = `arn:aws:sqs:us-east-1:000000000000:${target}`
      const RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount: 2 })
      await sqs.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: { RedrivePolicy } }))
    }
    const plain = await create('plain')
    const fifo = await create('dead.fifo')
    for (const refused of [
      () => create('source', 'nowhere'),
      () => create('source', 'source'),
      () => create('source', 'dead.fifo'),
      () => create('source.fifo', 'plain'),
      () => redrive(plain, 'nowhere'),
      () => redrive(plain, 'plain'),
      () => redrive(plain, 'dead.fifo'),
      () => redrive(fifo, 'plain'),
    ])
      expect(await failureOf(refused())).toMatchObject({ name: 'InvalidParameterValue', status: 400 })
    const { QueueUrls } = await sqs.send(new ListQueuesCommand({ QueueNamePrefix: 'source' }))
    expect(QueueUrls).toBeUndefined()
    await create('source.fifo', 'dead.fifo')
    await redrive(plain, 'evaluator-dead-letter')
    expect(await benchOf(sqs, plain).attribute('RedrivePolicy')).toContain('evaluator-dead-letter')
  })

  test('stands behind each of the four queues', async () => {
    const { embedded, sqs } = await open()
    const { queues, deadLetterQueues } = embedded.info
    for (const name of ['evaluator', 'scorer', 'code-exec', 'inference'] as const) {
      const policy = (await benchOf(sqs, queues[name]).attribute('RedrivePolicy')) ?? ''
      expect(JSON.parse(policy)).toEqual({
        deadLetterTargetArn: await benchOf(sqs, deadLetterQueues[name]).attribute('QueueArn'),
        maxReceiveCount: 10,
      })
      expect(await benchOf(sqs, queues[name]).attribute('VisibilityTimeout')).toBe('60')
    }
  })
})

describe('a FIFO queue', () => {
  const fifo = { FifoQueue: 'true' }
  const group = (name: string, id: string): object => ({ MessageGroupId: name, MessageDeduplicationId: id })

  test('keeps the order in each group and holds a group back while one of it is in flight', async () => {
    const { bodies, receive, remove, send } = await bench(fifo)
    await send('a1', group('a', '1'))
    await send('a2', group('a', '2'))
    await send('b1', group('b', '3'))
    const [first] = await receive({ MessageSystemAttributeNames: ['All'] })
    expect(first).toMatchObject({
      Body: 'a1',
      Attributes: { MessageGroupId: 'a', MessageDeduplicationId: '1' },
    })
    expect(await bodies({ MaxNumberOfMessages: 10 })).toEqual(['b1'])
    expect(await bodies({ MaxNumberOfMessages: 10 })).toEqual([])
    await remove(first?.ReceiptHandle)
    expect(await bodies({ MaxNumberOfMessages: 10 })).toEqual(['a2'])
  })

  test('hands out several of a group at once', async () => {
    const { bodies, send } = await bench(fifo)
    for (const body of ['1', '2', '3']) await send(body, group('a', body))
    expect(await bodies({ MaxNumberOfMessages: 10 })).toEqual(['1', '2', '3'])
  })

  test('gives a message back to its place', async () => {
    const { bodies, receive, change, send } = await bench(fifo)
    for (const body of ['1', '2']) await send(body, group('a', body))
    const [message] = await receive()
    await change(message?.ReceiptHandle, 0)
    expect(await bodies({ MaxNumberOfMessages: 10 })).toEqual(['1', '2'])
  })

  test('takes the same deduplication id once, even after the message is gone', async () => {
    const { bodies, receive, remove, send, url, sqs } = await bench(fifo)
    const id = await send('1', group('a', 'same'))
    expect(await send('2', group('a', 'same'))).toBe(id)
    const [message] = await receive()
    await remove(message?.ReceiptHandle)
    const again = await sqs.send(
      new SendMessageCommand({ QueueUrl: url, MessageBody: '3', ...group('a', 'same') }),
    )
    expect(again.MessageId).toBe(id)
    expect(await bodies()).toEqual([])
  })

  test('can take the body for the deduplication id', async () => {
    const { bodies, send } = await bench({ ...fifo, ContentBasedDeduplication: 'true' })
    await send('same', { MessageGroupId: 'a' })
    await send('same', { MessageGroupId: 'a' })
    await send('other', { MessageGroupId: 'a' })
    expect(await bodies({ MaxNumberOfMessages: 10 })).toEqual(['same', 'other'])
  })

  test('wants a group and a deduplication id', async () => {
    const { send } = await bench(fifo)
    expect(await failureOf(send('x', { MessageDeduplicationId: '1' }))).toMatchObject({
      name: 'MissingParameter',
    })
    expect(await failureOf(send('x', { MessageGroupId: 'a' }))).toMatchObject({
      name: 'InvalidParameterValue',
    })
  })

  test('refuses a receipt whose time is over', async () => {
    const { receive, remove, send } = await bench({ ...fifo, VisibilityTimeout: '0' })
    await send('1', group('a', '1'))
    const [message] = await receive()
    expect(await failureOf(remove(message?.ReceiptHandle))).toMatchObject({ name: 'InvalidParameterValue' })
  })
})

describe('a batch', () => {
  test('does what it can and lists the rest', async () => {
    const { sqs, url, receive, bodies } = await bench()
    const { Successful: sent, Failed: unsent } = await sqs.send(
      new SendMessageBatchCommand({
        QueueUrl: url,
        Entries: [
          { Id: 'a', MessageBody: '1' },
          { Id: 'b', MessageBody: 'bad \u0000' },
          { Id: 'c', MessageBody: '2' },
        ],
      }),
    )
    expect(sent?.map(({ Id }) => Id)).toEqual(['a', 'c'])
    expect(unsent).toMatchObject([{ Id: 'b', SenderFault: true, Code: 'InvalidMessageContents' }])
    const messages = await receive({ MaxNumberOfMessages: 10 })
    expect(messages.map(({ Body }) => Body)).toEqual(['1', '2'])
    const changed = await sqs.send(
      new ChangeMessageVisibilityBatchCommand({
        QueueUrl: url,
        Entries: [
          { Id: 'a', ReceiptHandle: messages[0]?.ReceiptHandle, VisibilityTimeout: 0 },
          { Id: 'b', ReceiptHandle: 'nonsense', VisibilityTimeout: 0 },
        ],
      }),
    )
    expect(changed.Successful).toEqual([{ Id: 'a' }])
    expect(changed.Failed).toMatchObject([{ Id: 'b', Code: 'ReceiptHandleIsInvalid' }])
    expect(await bodies()).toEqual(['1'])
    const deleted = await sqs.send(
      new DeleteMessageBatchCommand({
        QueueUrl: url,
        Entries: [
          { Id: 'a', ReceiptHandle: messages[1]?.ReceiptHandle },
          { Id: 'b', ReceiptHandle: 'nonsense' },
        ],
      }),
    )
    expect(deleted.Successful).toEqual([{ Id: 'a' }])
    expect(deleted.Failed).toMatchObject([{ Id: 'b', Code: 'ReceiptHandleIsInvalid' }])
  })

  test.each([
    ['nothing in it', [], 'EmptyBatchRequest'],
    [
      'eleven entries',
      Array.from({ length: 11 }, (_, index) => ({ Id: String(index), MessageBody: 'x' })),
      'TooManyEntriesInBatchRequest',
    ],
    [
      'one id twice',
      [
        { Id: 'a', MessageBody: 'x' },
        { Id: 'a', MessageBody: 'y' },
      ],
      'BatchEntryIdsNotDistinct',
    ],
    ['an impossible id', [{ Id: 'a b', MessageBody: 'x' }], 'InvalidBatchEntryId'],
    [
      'more than one mebibyte',
      [
        { Id: 'a', MessageBody: 'x'.repeat(600_000) },
        { Id: 'b', MessageBody: 'x'.repeat(600_000) },
      ],
      'BatchRequestTooLong',
    ],
  ])('with %s is refused as a whole', async (_what, Entries, name) => {
    const { sqs, url, bodies } = await bench()
    const failure = await failureOf(sqs.send(new SendMessageBatchCommand({ QueueUrl: url, Entries })))
    expect(failure).toMatchObject({ name, code: `AWS.SimpleQueueService.${name}`, status: 400 })
    expect(await bodies()).toEqual([])
  })
})

describe('queues', () => {
  test('are created, found, listed and deleted', async () => {
    const { sqs } = await open()
    const { QueueUrl: url } = await sqs.send(
      new CreateQueueCommand({ QueueName: 'mine', Attributes: { DelaySeconds: '5' } }),
    )
    expect((await sqs.send(new GetQueueUrlCommand({ QueueName: 'mine' }))).QueueUrl).toBe(url)
    const same = { QueueName: 'mine', Attributes: { DelaySeconds: '5' } }
    expect((await sqs.send(new CreateQueueCommand(same))).QueueUrl).toBe(url)
    const other = new CreateQueueCommand({ QueueName: 'mine', Attributes: { DelaySeconds: '6' } })
    expect(await failureOf(sqs.send(other))).toMatchObject({ name: 'QueueNameExists' })
    expect((await sqs.send(new ListQueuesCommand({ QueueNamePrefix: 'mi' }))).QueueUrls).toEqual([url])
    const names: string[] = []
    let NextToken: string | undefined
    do {
      const page = await sqs.send(new ListQueuesCommand({ MaxResults: 2, ...(NextToken && { NextToken }) }))
      names.push(...(page.QueueUrls ?? []))
      NextToken = page.NextToken
    } while (NextToken !== undefined)
    expect(names).toHaveLength(9)
    await sqs.send(new DeleteQueueCommand({ QueueUrl: url }))
    const failure = await failureOf(sqs.send(new GetQueueUrlCommand({ QueueName: 'mine' })))
    expect(failure).toMatchObject({
      name: 'QueueDoesNotExist',
      code: 'AWS.SimpleQueueService.NonExistentQueue',
      status: 400,
    })
  })

  test.each([
    ['a b', {}],
    ['x'.repeat(81), {}],
    ['no-suffix', { FifoQueue: 'true' }],
    ['standard.fifo', {}],
    ['plain', { VisibilityTimeout: '43201' }],
    ['plain', { VisibilityTimeout: 'x' }],
    ['plain', { Nonsense: '1' }],
    ['plain', { QueueArn: 'x' }],
    ['plain', { ContentBasedDeduplication: 'true' }],
    ['plain', { RedrivePolicy: '{"maxReceiveCount": 0}' }],
  ])('named %s with %o are refused', async (QueueName, Attributes: Record<string, string>) => {
    const { sqs } = await open()
    const failure = await failureOf(sqs.send(new CreateQueueCommand({ QueueName, Attributes })))
    expect(failure.name).toMatch(/^Invalid(ParameterValue|AttributeName|AttributeValue)$/)
  })

  test('count what they hold, and are emptied', async () => {
    const { sqs, url, send, receive, attribute } = await bench()
    await send('a')
    await send('b')
    await send('c', { DelaySeconds: 900 })
    await receive()
    expect(await attribute('ApproximateNumberOfMessages')).toBe('1')
    expect(await attribute('ApproximateNumberOfMessagesNotVisible')).toBe('1')
    expect(await attribute('ApproximateNumberOfMessagesDelayed')).toBe('1')
    await sqs.send(new PurgeQueueCommand({ QueueUrl: url }))
    expect(await attribute('ApproximateNumberOfMessages')).toBe('0')
    expect(await attribute('ApproximateNumberOfMessagesNotVisible')).toBe('0')
    await send('d')
    expect((await receive())[0]?.Body).toBe('d')
  })

  test('change their attributes', async () => {
    const { sqs, url, attribute, send, bodies } = await bench()
    await sqs.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: { VisibilityTimeout: '0' } }))
    expect(await attribute('VisibilityTimeout')).toBe('0')
    await send('a')
    expect(await bodies()).toEqual(['a'])
    expect(await bodies()).toEqual(['a'])
    const wrong = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['Nonsense' as 'All'] })
    expect(await failureOf(sqs.send(wrong))).toMatchObject({ name: 'InvalidAttributeName' })
  })

  test('that do not exist are told apart from addresses that are none', async () => {
    const { sqs, embedded } = await open()
    const receive = (QueueUrl: string): Promise<unknown> => sqs.send(new ReceiveMessageCommand({ QueueUrl }))
    const url = embedded.info.queues.evaluator
    expect(await failureOf(receive(`${url}x`))).toMatchObject({ name: 'QueueDoesNotExist' })
    expect(await failureOf(receive(url.replace('000000000000', '123')))).toMatchObject({
      name: 'QueueDoesNotExist',
    })
    expect(await failureOf(receive('http://127.0.0.1/evaluator'))).toMatchObject({ name: 'InvalidAddress' })
    await receive(url.replace('127.0.0.1', 'localhost'))
  })
})
