import { ChangeMessageVisibilityCommand, GetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs'
import { awsClientOptions, type AwsConnection } from '../../aws/client-options.ts'
import { blameOf, createClockMeter, type Inspection } from '../../aws/inspection.ts'
import { describeAwsError } from '../../aws/problems.ts'
import { EXIT, LeaseLostError, OperatorError } from '../../core/errors.ts'
import { isDenied, settleError, toOperatorError } from './errors.ts'

/** What may be known of a queue without touching a message. */
export interface QueueReport {
  /** Waiting and in flight, about; undefined where the keys may not ask. */
  messages: { waiting: number; inFlight: number } | undefined
  /** What becomes of messages that fail again and again. */
  redrive: { maxReceiveCount: number } | 'none' | 'unknown'
}

const RIGHTS = 'sqs:ReceiveMessage, sqs:ChangeMessageVisibility and sqs:DeleteMessage'

/** Asks about a queue, with the rights of a runner at least. Touches no message. Throws only when aborted. */
export async function inspectQueue(
  address: AwsConnection & { queueUrl: string },
  signal: AbortSignal,
): Promise<Inspection<QueueReport>> {
  const meter = createClockMeter()
  const client = new SQSClient(awsClientOptions(address))
  client.middlewareStack.add((next) => meter.middleware(next), { step: 'deserialize', priority: 'low' })
  try {
    const found = await ask(client, address.queueUrl, signal)
    return { found, clockSkewMs: meter.skewMs() }
  } catch (error) {
    signal.throwIfAborted()
    const problem = isDenied(error) ? deniedError(error, address.queueUrl) : toOperatorError(error, address)
    return { problem, blames: blameOf(error), clockSkewMs: meter.skewMs() }
  } finally {
    client.destroy()
  }

  async function ask(sqs: SQSClient, QueueUrl: string, abortSignal: AbortSignal): Promise<QueueReport> {
    try {
      const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] })
      const { Attributes = {} } = await sqs.send(command, { abortSignal })
      const waiting = Number(Attributes.ApproximateNumberOfMessages ?? 0)
      const inFlight = Number(Attributes.ApproximateNumberOfMessagesNotVisible ?? 0)
      return { messages: { waiting, inFlight }, redrive: redriveOf(Attributes.RedrivePolicy) }
    } catch (error) {
      if (!isDenied(error)) throw error
    }
    await askWithoutRights(sqs, QueueUrl, abortSignal)
    return { messages: undefined, redrive: 'unknown' }
  }

  /** No message has this receipt, so a queue that says so is there, and may be used. */
  async function askWithoutRights(sqs: SQSClient, QueueUrl: string, abortSignal: AbortSignal): Promise<void> {
    const request = { QueueUrl, ReceiptHandle: 'no-receipt-of-any-message', VisibilityTimeout: 0 }
    try {
      await sqs.send(new ChangeMessageVisibilityCommand(request), { abortSignal })
    } catch (error) {
      if (!(settleError(error, address) instanceof LeaseLostError)) throw error
    }
  }
}

function deniedError(error: unknown, queueUrl: string): OperatorError {
  const what = `These credentials may not use the queue ${queueUrl}`
  const hint = `Allow ${RIGHTS} on it.`
  return new OperatorError(what, describeAwsError(error), hint, EXIT.failedStart, { cause: error })
}

function redriveOf(policy: string | undefined): QueueReport['redrive'] {
  if (policy === undefined || policy === '') return 'none'
  try {
    const { maxReceiveCount } = JSON.parse(policy) as { maxReceiveCount?: unknown }
    const count = Number(maxReceiveCount)
    return Number.isFinite(count) ? { maxReceiveCount: count } : 'unknown'
  } catch {
    return 'unknown'
  }
}
