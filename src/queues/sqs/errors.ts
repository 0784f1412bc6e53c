import { awsErrorName, classifyAwsError } from '../../aws/errors.ts'
import { regionHint } from '../../aws/regions.ts'
import { EXIT, LeaseLostError, messageOf, OperatorError, RetryableError } from '../../core/errors.ts'

/** What the messages to the operator name. */
export interface QueueAddress {
  queueUrl: string
  region: string
  endpoint?: string
}

/** The receive or send failed: sooner or later it will work again. */
export function toRetryableError(error: unknown): RetryableError {
  const kind = classifyAwsError(error)
  const surrounding =
    kind === 'credentials' || kind === 'signature' || kind === 'denied' ? 'credentials' : 'queue'
  return new RetryableError(surrounding, `SQS: ${described(error)}`, { cause: error })
}

/**
 * Renewing, deleting or releasing failed. SQS refuses a receipt that is stale, a message that is not in flight, and
 * one held for 12 hours, by different names (SQS API reference, ChangeMessageVisibility): the message is not ours.
 */
export function settleError(error: unknown): LeaseLostError | RetryableError {
  const name = awsErrorName(error)
  const refused =
    name === 'ReceiptHandleIsInvalid' ||
    name === 'MessageNotInflight' ||
    classifyAwsError(error) === 'invalid'
  return refused
    ? new LeaseLostError(`SQS refuses the receipt: ${described(error)}`, { cause: error })
    : toRetryableError(error)
}

/** Whether the keys are good but may not do this. */
export function isDenied(error: unknown): boolean {
  return classifyAwsError(error) === 'denied'
}

/** At start-up: what whoever is at the terminal can do about it. */
export function toOperatorError(error: unknown, address: QueueAddress): OperatorError {
  const why = described(error)
  const options = { cause: error }
  switch (classifyAwsError(error)) {
    case 'credentials':
      return new OperatorError(
        'SQS does not accept the access key',
        why,
        'Check access_key_id in the config file (or the AWS profile or role that is used without it).',
        EXIT.config,
        options,
      )
    case 'signature':
      return new OperatorError(
        'SQS does not accept the signature',
        why,
        "Check secret_access_key in the config file, and this machine's clock.",
        EXIT.config,
        options,
      )
    case 'not_found':
      return new OperatorError(
        `The queue ${address.queueUrl} does not exist`,
        why,
        'Check the queue URL and region_name in the config file.',
        EXIT.config,
        options,
      )
    case 'unresolved':
      return new OperatorError(
        `The region ${address.region} is not found`,
        why,
        regionHint(address.region),
        EXIT.config,
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
        EXIT.config,
        options,
      )
  }
}

function described(error: unknown): string {
  const name = awsErrorName(error)
  const message = messageOf(error)
  return /^(?:|Error|AggregateError)$/.test(name) || message.includes(name) ? message : `${name}: ${message}`
}
