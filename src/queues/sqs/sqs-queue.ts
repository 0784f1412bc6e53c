import { randomUUID } from 'node:crypto'
import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { awsClientOptions, type AwsConnection } from '../../aws/client-options.ts'
import type { Clock } from '../../core/clock.ts'
import { LeaseLostError } from '../../core/errors.ts'
import { SendDeniedError, type Delivery, type MessageCopy, type Queue } from '../queue.ts'
import { isDenied, settleError, toOperatorError, toRetryableError } from './errors.ts'

export interface SqsQueueOptions extends AwsConnection {
  queueUrl: string
  /** Long poll, 0–20 seconds. */
  waitSeconds: number
  /** How long a received message stays hidden, in seconds. */
  visibilitySeconds: number
  clock: Clock
}

/** The longest visibility that SQS takes, in seconds (SQS API reference, ChangeMessageVisibility). */
const MAX_VISIBILITY_SECONDS = 43_200

/** The longest delay of a new message, in seconds (SQS API reference, SendMessage). */
const MAX_DELAY_SECONDS = 900
/** Message attributes of our copies. */
const GUARD = 'guard'
const ATTEMPT = 'attempt'

/** Called before every try of a request: the SDK makes some by itself, and late. */
const EACH_TRY = { step: 'finalizeRequest', priority: 'low' } as const

/** A queue spoken to by the SQS API. */
export function createSqsQueue(options: SqsQueueOptions): Queue {
  const { queueUrl: QueueUrl, waitSeconds, visibilitySeconds, clock } = options
  const client = new SQSClient(awsClientOptions(options))
  const isFifo = QueueUrl.endsWith('.fifo')

  function delivery(message: Message, receivedAt: number): Delivery {
    const ReceiptHandle = message.ReceiptHandle
    const sent = Number(message.Attributes?.SentTimestamp)
    let hiddenUntil = receivedAt + visibilitySeconds * 1000
    /** SQS may honour a receipt although another has the message. */
    function assertHidden(): void {
      if (clock.now() >= hiddenUntil) throw new LeaseLostError('others may have the message by now')
    }
    async function changeVisibility(seconds: number, lost?: AbortSignal): Promise<void> {
      const VisibilityTimeout = Math.max(0, Math.min(Math.ceil(seconds), MAX_VISIBILITY_SECONDS))
      const startMs = clock.now()
      const command = new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout })
      command.middlewareStack.add(
        (next) => async (args) => {
          assertHidden()
          return await next(args)
        },
        EACH_TRY,
      )
      try {
        await client.send(command, lost === undefined ? {} : { abortSignal: lost })
        hiddenUntil = startMs + VisibilityTimeout * 1000
      } catch (error) {
        throw settleError(error, options)
      }
    }
    async function sendCopy({ guard, attempts, afterSeconds = 0 }: MessageCopy): Promise<void> {
      const numbers = {
        [GUARD]: guard ?? countOf(message, GUARD),
        [ATTEMPT]: attempts ?? countOf(message, ATTEMPT),
      }
      const MessageAttributes = { ...message.MessageAttributes }
      for (const [name, number] of Object.entries(numbers)) {
        if (number > 0) MessageAttributes[name] = { DataType: 'Number', StringValue: String(number) }
      }
      const DelaySeconds = Math.max(0, Math.min(Math.ceil(afterSeconds), MAX_DELAY_SECONDS))
      const MessageBody = message.Body
      try {
        await client.send(new SendMessageCommand({ QueueUrl, MessageBody, MessageAttributes, DelaySeconds }))
      } catch (error) {
        if (isDenied(error))
          throw new SendDeniedError(toRetryableError(error, options).message, { cause: error })
        throw toRetryableError(error, options)
      }
    }
    return {
      id: message.MessageId ?? '',
      body: message.Body ?? '',
      attempt:
        Math.max(1, Number(message.Attributes?.ApproximateReceiveCount) || 1) + countOf(message, ATTEMPT),
      guard: countOf(message, GUARD),
      ...(!isFifo && { sendCopy }),
      sentAt: Number.isFinite(sent) && sent > 0 ? new Date(sent) : undefined,
      receivedAt,
      extend: changeVisibility,
      release: changeVisibility,
      async ack() {
        const command = new DeleteMessageCommand({ QueueUrl, ReceiptHandle })
        command.middlewareStack.add(
          (next) => async (args) => {
            assertHidden()
            return await next(args)
          },
          EACH_TRY,
        )
        try {
          await client.send(command)
        } catch (error) {
          throw settleError(error, options)
        }
      },
    }
  }

  async function attributes(signal: AbortSignal): Promise<Partial<Record<string, string>>> {
    const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] })
    return (await client.send(command, { abortSignal: signal })).Attributes ?? {}
  }

  return {
    async probe(signal) {
      try {
        await attributes(signal)
      } catch (error) {
        // Keys that may only receive and delete are enough to work; the first receive will tell the rest.
        if (isDenied(error)) return
        throw toOperatorError(error, options)
      }
    },

    async redrive(signal) {
      try {
        const policy = (await attributes(signal)).RedrivePolicy
        if (policy === undefined || policy === '') return 'none'
        const { maxReceiveCount } = JSON.parse(policy) as { maxReceiveCount?: unknown }
        const count = Number(maxReceiveCount)
        return Number.isFinite(count) ? { maxReceiveCount: count } : 'unknown'
      } catch {
        return 'unknown'
      }
    },

    async receive(max, signal) {
      let receivedAt = clock.now()
      const command = new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: max,
        WaitTimeSeconds: waitSeconds,
        VisibilityTimeout: visibilitySeconds,
        MessageAttributeNames: ['All'],
        MessageSystemAttributeNames: ['ApproximateReceiveCount', 'SentTimestamp'],
        // eslint-disable-next-line @typescript-eslint/no-deprecated -- the only name that older servers know
        AttributeNames: ['ApproximateReceiveCount', 'SentTimestamp'] as never,
      })
      command.middlewareStack.add(
        (next) => async (args) => {
          // Messages come with the answer of the last try alone.
          receivedAt = clock.now()
          return await next(args)
        },
        EACH_TRY,
      )
      try {
        const { Messages = [] } = await client.send(command, { abortSignal: signal })
        return Messages.map((message) => delivery(message, receivedAt))
      } catch (error) {
        throw toRetryableError(error, options)
      }
    },

    async send(body) {
      // By its content alone a message that is meant to come again would be dropped for five minutes.
      const fifo = isFifo ? { MessageGroupId: 'opthub-runner', MessageDeduplicationId: randomUUID() } : {}
      try {
        await client.send(new SendMessageCommand({ QueueUrl, MessageBody: body, ...fifo }))
      } catch (error) {
        throw toRetryableError(error, options)
      }
    },

    close() {
      client.destroy()
    },
  }
}

/** A message attribute that counts something; 0 where there is none that can be read. */
function countOf({ MessageAttributes }: Message, name: string): number {
  const count = Number(MessageAttributes?.[name]?.StringValue)
  return Number.isSafeInteger(count) && count > 0 ? count : 0
}
