import { ApiError } from '../api-error.ts'

/** An error that SQS's model names; `queryCode` is its older name where that differs. */
function modelled(name: string, message: string, queryCode = `AWS.SimpleQueueService.${name}`): ApiError {
  return new ApiError(`com.amazonaws.sqs#${name}`, message, { queryCode })
}

/** An error that is common to many services and missing in SQS's model. */
function common(name: string, message: string, queryCode: string): ApiError {
  return new ApiError(`com.amazon.coral.service#${name}`, message, { queryCode })
}

export const sqsErrors = {
  queueDoesNotExist: () =>
    modelled(
      'QueueDoesNotExist',
      'The specified queue does not exist.',
      'AWS.SimpleQueueService.NonExistentQueue',
    ),
  queueNameExists: (attribute: string) =>
    modelled(
      'QueueNameExists',
      `A queue already exists with the same name and a different value for attribute ${attribute}`,
      'QueueAlreadyExists',
    ),
  invalidAddress: (url: string) =>
    modelled('InvalidAddress', `The address ${url} is not valid for this endpoint.`, 'InvalidAddress'),
  receiptHandleIsInvalid: (handle: string) =>
    modelled(
      'ReceiptHandleIsInvalid',
      `The input receipt handle "${handle}" is not a valid receipt handle.`,
      'ReceiptHandleIsInvalid',
    ),
  messageNotInflight: () => modelled('MessageNotInflight', 'The specified message is not in flight.'),
  invalidAttributeName: (name: string) =>
    modelled('InvalidAttributeName', `Unknown Attribute ${name}.`, 'InvalidAttributeName'),
  invalidAttributeValue: (name: string) =>
    modelled('InvalidAttributeValue', `Invalid value for the parameter ${name}.`, 'InvalidAttributeValue'),
  invalidMessageContents: (message: string) =>
    modelled('InvalidMessageContents', message, 'InvalidMessageContents'),
  unsupported: (message: string) => modelled('UnsupportedOperation', message),
  emptyBatch: (action: string) =>
    modelled('EmptyBatchRequest', `There should be at least one ${action}RequestEntry in the request.`),
  tooManyEntries: (count: number) =>
    modelled(
      'TooManyEntriesInBatchRequest',
      `Maximum number of entries per request are 10. You have sent ${count}.`,
    ),
  entryIdsNotDistinct: (id: string) => modelled('BatchEntryIdsNotDistinct', `Id ${id} repeated.`),
  invalidEntryId: () =>
    modelled(
      'InvalidBatchEntryId',
      'A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.',
    ),
  batchTooLong: (limitBytes: number, bytes: number) =>
    modelled(
      'BatchRequestTooLong',
      `Batch requests cannot be longer than ${limitBytes} bytes. You have sent ${bytes} bytes.`,
    ),
  invalidParameter: (message: string) =>
    common('InvalidParameterValueException', message, 'InvalidParameterValue'),
  invalidValue: (name: string, value: unknown, reason: string) =>
    common(
      'InvalidParameterValueException',
      `Value ${String(value)} for parameter ${name} is invalid. Reason: ${reason}`,
      'InvalidParameterValue',
    ),
  missingParameter: (name: string) =>
    common(
      'MissingRequiredParameterException',
      `The request must contain the parameter ${name}.`,
      'MissingParameter',
    ),
} satisfies Record<string, (...args: never[]) => ApiError>
