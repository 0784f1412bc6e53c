import { awsErrorName, classifyAwsError } from '../../aws/errors.ts'
import { describeAwsError } from '../../aws/problems.ts'
import { RetryableError } from '../../core/errors.ts'
import { FileError, TransientError } from '../files.ts'

/** What an error of S3 means for the file at `url`. */
export function toFileFault(error: unknown, url: string): FileError | TransientError | RetryableError {
  if (error instanceof FileError || error instanceof TransientError) return error
  const message = `${url}: ${describeAwsError(error)}`
  const options = { cause: error }
  switch (awsErrorName(error)) {
    case 'NoSuchKey':
    case 'NotFound':
    case 'NoSuchBucket':
      return new FileError('not_found', '', message, options)
    case 'EntityTooLarge':
      return new FileError('too_large', '', message, options)
    case 'InvalidBucketName':
    case 'KeyTooLongError':
      return new FileError('bad_url', '', message, options)
    // A part of an upload is gone, or something else was done at the same time.
    case 'NoSuchUpload':
    case 'InvalidPart':
    case 'OperationAborted':
      return new TransientError(message, options)
  }
  switch (classifyAwsError(error)) {
    case 'credentials':
    case 'signature':
      return new RetryableError('credentials', message, options)
    case 'denied':
      return new FileError('denied', '', message, options)
    case 'throttled':
    case 'server':
    case 'unreachable':
    case 'unresolved':
      return new TransientError(message, options)
    case 'not_found':
      return new FileError('not_found', '', message, options)
    case 'invalid':
    case 'other':
      return isRefusal(error)
        ? new FileError('refused', '', message, options)
        : new TransientError(message, options)
  }
}

/** Whether the service itself said no, by a status of 4xx. */
function isRefusal(error: unknown): boolean {
  const status = statusOf(error)
  return status >= 400 && status < 500 && ![408, 425, 429].includes(status)
}

/** The HTTP status of an answer; 0 when there was none. */
export function statusOf(error: unknown): number {
  if (typeof error !== 'object' || error === null || !('$metadata' in error)) return 0
  const { httpStatusCode } = error.$metadata as { httpStatusCode?: number }
  return httpStatusCode ?? 0
}
