import type { CancellationReason } from '@aws-sdk/client-dynamodb'
import { awsErrorName, classifyAwsError } from '../../aws/errors.ts'
import { awsOperatorError, awsRetryableError, describeAwsError, type AwsTarget } from '../../aws/problems.ts'
import { EXIT, OperatorError, type RetryableError } from '../../core/errors.ts'

export interface Table extends AwsTarget {
  tableName: string
}

/** What became of a transaction that was refused as a whole. */
export type Refusal =
  | 'exists' // the condition did not hold
  | 'retry' // somebody else was writing, or too much was asked of the table
  | 'invalid' // the items can't be stored

/** An error of a read or a write while jobs run. */
export function toRunningError(error: unknown, table: Table): RetryableError {
  return awsRetryableError(error, table, 'store')
}

/**
 * The same error as somebody at the terminal needs it: an OperatorError when they can mend it, else a RetryableError.
 * `rightsHint` says what to do when the keys are good but may not do this.
 */
export function toOperatorError(
  error: unknown,
  table: Table,
  rightsHint: string,
): OperatorError | RetryableError {
  const common = awsOperatorError(error, table)
  if (common !== undefined) return common
  const name = JSON.stringify(table.tableName)
  const why = describeAwsError(error)
  const end = [EXIT.failedStart, { cause: error }] as const
  switch (classifyAwsError(error)) {
    case 'not_found':
      return new OperatorError(
        `There is no table ${name} in ${table.endpoint ?? table.region}`,
        why,
        'Check table_name, region_name and the account that the keys belong to.',
        ...end,
      )
    case 'denied':
      return new OperatorError(`These credentials may not use the table ${name}`, why, rightsHint, ...end)
    case 'invalid':
      return new OperatorError(
        `The table ${name} can't be used`,
        why,
        'Check table_name. The table needs the partition key ID and the sort key Trial, both strings.',
        ...end,
      )
    default:
      return toRunningError(error, table)
  }
}

/** Whether the service said that an item can't be stored. */
export function saysUnstorable(error: unknown): boolean {
  return /^(?:Validation(?:Error|Exception)|ItemCollectionSizeLimitExceeded(?:Exception)?)$/.test(
    awsErrorName(error),
  )
}

/** Why a transaction was refused; undefined for errors that are no refusal of one. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (awsErrorName(error) !== 'TransactionCanceledException') return undefined
  const codes = cancellationCodes(error)
  // Checked first: once the condition fails, no retry can mend it.
  if (codes.includes('ConditionalCheckFailed')) return 'exists'
  if (codes.includes('ValidationError') || codes.includes('ItemCollectionSizeLimitExceeded')) return 'invalid'
  return 'retry'
}

/** One code per item. Some servers give them in the message only: `… specific reasons [None, TransactionConflict]`. */
function cancellationCodes(error: unknown): string[] {
  if (typeof error !== 'object' || error === null) return []
  if ('CancellationReasons' in error && Array.isArray(error.CancellationReasons)) {
    const reasons = error.CancellationReasons as CancellationReason[]
    return reasons.map(({ Code }) => Code ?? 'None')
  }
  const listed = 'message' in error ? /\[([\w, ]*)\]/.exec(String(error.message)) : null
  return (listed?.[1] ?? '').split(/, */)
}
