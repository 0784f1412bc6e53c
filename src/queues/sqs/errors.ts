import { awsErrorName, classifyAwsError } from '../../aws/errors.ts'
import { awsOperatorError, awsRetryableError, describeAwsError, type AwsTarget } from '../../aws/problems.ts'
import { EXIT, LeaseLostError, OperatorError, type RetryableError } from '../../core/errors.ts'

/** What the messages to the operator name. */
export interface QueueAddress {
  queueUrl: string
  region: string
  endpoint?: string
}

function target({ region, endpoint }: QueueAddress): AwsTarget {
  return { service: 'SQS', region, ...(endpoint === undefined ? {} : { endpoint }) }
}

/** The receive or send failed: sooner or later it will work again. */
export function toRetryableError(error: unknown, address: QueueAddress): RetryableError {
  return awsRetryableError(error, target(address), 'queue')
}

/**
 * Renewing, deleting or releasing failed. SQS refuses a receipt that is stale, a message that is not in flight, and
 * one held for 12 hours, by different names (SQS API reference, ChangeMessageVisibility): the message is not ours.
 */
export function settleError(error: unknown, address: QueueAddress): LeaseLostError | RetryableError {
  if (error instanceof LeaseLostError) return error
  const name = awsErrorName(error)
  const refused =
    name === 'ReceiptHandleIsInvalid' ||
    name === 'MessageNotInflight' ||
    classifyAwsError(error) === 'invalid'
  if (!refused) return toRetryableError(error, address)
  return new LeaseLostError(`SQS refuses the receipt: ${describeAwsError(error)}`, { cause: error })
}

/** Whether the keys are good but may not do this. */
export function isDenied(error: unknown): boolean {
  return classifyAwsError(error) === 'denied'
}

/** At start-up: what whoever is at the terminal can do about it. */
export function toOperatorError(error: unknown, address: QueueAddress): OperatorError {
  const common = awsOperatorError(error, target(address))
  if (common !== undefined) return common
  const why = describeAwsError(error)
  const options = { cause: error }
  switch (classifyAwsError(error)) {
    case 'not_found':
      return new OperatorError(
        `The queue ${address.queueUrl} does not exist`,
        why,
        'Check the queue URL and region_name in the config file.',
        EXIT.failedStart,
        options,
      )
    case 'unreachable':
    case 'server':
    case 'throttled':
      return new OperatorError(
        `SQS does not answer at ${address.endpoint ?? address.queueUrl}`,
        why,
        'Check the network connection and endpoint_url; then start again.',
        EXIT.unavailable,
        options,
      )
    default:
      return new OperatorError(
        `The queue ${address.queueUrl} can't be used`,
        why,
        'Check the queue URL, region_name and endpoint_url in the config file.',
        EXIT.failedStart,
        options,
      )
  }
}
