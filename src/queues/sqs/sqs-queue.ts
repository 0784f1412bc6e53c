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
import type { Delivery, Queue } from '../queue.ts'
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

/** A queue spoken to by the SQS API. */
export function createSqsQueue(options: SqsQueueOptions): Queue {
  const { queueUrl: QueueUrl, waitSeconds, visibilitySeconds, clock } = options
  const client = new SQSClient(awsClientOptions(options))

  function delivery(message: Message, receivedAt: number): Delivery {
    const ReceiptHandle = message.ReceiptHandle
    const sent = Number(message.Attributes?.SentTimestamp)
    async function changeVisibility(seconds: number): Promise<void> {
      const VisibilityTimeout = Math.max(0, Math.min(Math.ceil(seconds), MAX_VISIBILITY_SECONDS))
      try {
        await client.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout }))
      } catch (error) {
        throw settleError(error, options)
      }
    }
    return {
      id: message.MessageId ?? '',
      body: message.Body ?? '',
      attempt: Math.max(1, Number(message.Attributes?.ApproximateReceiveCount) || 1),
      sentAt: Number.isFinite(sent) && sent > 0 ? new Date(sent) : undefined,
      receivedAt,
      extend: changeVisibility,
      release: changeVisibility,
      async ack() {
        try {
          await client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }))
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
      const receivedAt = clock.now()
      const command = new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: max,
        WaitTimeSeconds: waitSeconds,
        VisibilityTimeout: visibilitySeconds,
        MessageSystemAttributeNames: ['ApproximateReceiveCount', 'SentTimestamp'],
        // eslint-disable-next-line @typescript-eslint/no-deprecated -- the only name that older servers know
        AttributeNames: ['ApproximateReceiveCount', 'SentTimestamp'] as never,
      })
      try {
        const { Messages = [] } = await client.send(command, { abortSignal: signal })
        return Messages.map((message) => delivery(message, receivedAt))
      } catch (error) {
        throw toRetryableError(error, options)
      }
    },

    async send(body) {
      const fifo = QueueUrl.endsWith('.fifo') ? { MessageGroupId: 'opthub-runner' } : {}
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
