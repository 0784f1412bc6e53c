import { ApiError } from '../api-error.ts'

/** What became of one operation of a cancelled transaction. */
export interface CancellationReason {
  Code: string
  Message?: string
  Item?: unknown
}

export function validationError(message: string): ApiError {
  return new ApiError('com.amazon.coral.validate#ValidationException', message)
}

export function conditionalCheckFailed(): ApiError {
  return new ApiError(
    'com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException',
    'The conditional request failed',
  )
}

export function idempotentParameterMismatch(): ApiError {
  return new ApiError(
    'com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException',
    'Idempotent parameter mismatch: the client token was used with other parameters before',
  )
}

export function transactionCanceled(reasons: readonly CancellationReason[]): ApiError {
  const codes = reasons.map(({ Code }) => Code).join(', ')
  return new ApiError(
    'com.amazonaws.dynamodb.v20120810#TransactionCanceledException',
    `Transaction cancelled, please refer cancellation reasons for specific reasons [${codes}]`,
    { extra: { CancellationReasons: reasons } },
  )
}

export function isConditionalCheckFailed(error: unknown): error is ApiError {
  return error instanceof ApiError && error.code === 'ConditionalCheckFailedException'
}

export function isValidationError(error: unknown): error is ApiError {
  return error instanceof ApiError && error.code === 'ValidationException'
}
