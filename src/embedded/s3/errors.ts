/** A refusal in S3's words. */
export class S3Error extends Error {
  override readonly name = 'S3Error'
  readonly code: string
  readonly status: number
  /** Further elements of the document. */
  readonly more: Readonly<Record<string, string | number>>
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: string,
    status: number,
    message: string,
    more: Readonly<Record<string, string | number>> = {},
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message)
    this.code = code
    this.status = status
    this.more = more
    this.headers = headers
  }
}

export const s3Errors = {
  noSuchKey: (key: string) =>
    new S3Error('NoSuchKey', 404, 'The specified key does not exist.', { Key: key }),
  noSuchBucket: (bucket: string) =>
    new S3Error('NoSuchBucket', 404, 'The specified bucket does not exist', { BucketName: bucket }),
  noSuchUpload: () => new S3Error('NoSuchUpload', 404, 'The specified multipart upload does not exist.'),
  invalidPart: () =>
    new S3Error(
      'InvalidPart',
      400,
      'One or more of the specified parts could not be found or had another ETag.',
    ),
  badDigest: () =>
    new S3Error('BadDigest', 400, 'The checksum you specified did not match what we received.'),
  incompleteBody: () =>
    new S3Error('IncompleteBody', 400, 'You did not provide the number of bytes that the headers tell.'),
  invalid: (message: string) => new S3Error('InvalidRequest', 400, message),
  invalidArgument: (message: string) => new S3Error('InvalidArgument', 400, message),
  invalidPolicy: (message: string) => new S3Error('InvalidPolicyDocument', 400, message),
  malformedForm: (message: string) => new S3Error('MalformedPOSTRequest', 400, message),
  invalidRange: (bytes: number) =>
    new S3Error(
      'InvalidRange',
      416,
      'The requested range is not satisfiable',
      { ActualObjectSize: bytes },
      { 'content-range': `bytes */${bytes}` },
    ),
  notImplemented: (what: string) => new S3Error('NotImplemented', 501, `${what} is not known here.`),
  denied: (message: string) => new S3Error('AccessDenied', 403, message),
  unknownKey: () =>
    new S3Error(
      'InvalidAccessKeyId',
      403,
      'The AWS Access Key Id you provided does not exist in our records.',
    ),
  wrongSignature: () =>
    new S3Error(
      'SignatureDoesNotMatch',
      403,
      'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
    ),
  preconditionFailed: (condition: string) =>
    new S3Error('PreconditionFailed', 412, 'At least one of the pre-conditions you specified did not hold', {
      Condition: condition,
    }),
  notModified: (headers: Readonly<Record<string, string>>) =>
    new S3Error('NotModified', 304, 'Not Modified', {}, headers),
}
