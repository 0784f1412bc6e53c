import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { crc32 } from 'node:zlib'
import { ApiError } from './api-error.ts'
import type { SignatureProblem } from './guard.ts'

/** Whose words an error is put in. */
export type ServiceName = 'sqs' | 'dynamodb'

/** The refusal of a request whose signature is not right. */
export function signatureError(problem: SignatureProblem, service: ServiceName): ApiError {
  const status = service === 'sqs' ? 403 : 400
  const namespace = 'com.amazon.coral.service#'
  switch (problem) {
    case 'unknown key':
      return new ApiError(
        `${namespace}UnrecognizedClientException`,
        'The security token included in the request is invalid.',
        {
          status,
          queryCode: 'InvalidClientTokenId',
        },
      )
    case 'wrong signature':
      return new ApiError(
        `${namespace}InvalidSignatureException`,
        'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.',
        { status, queryCode: 'SignatureDoesNotMatch' },
      )
    case 'expired':
      return new ApiError(`${namespace}InvalidSignatureException`, 'Signature expired or not yet current', {
        status,
        queryCode: 'SignatureDoesNotMatch',
      })
    case 'incomplete':
      return new ApiError(
        `${namespace}IncompleteSignatureException`,
        'The Authorization header is incomplete',
        {
          status,
          queryCode: 'IncompleteSignature',
        },
      )
    case 'missing':
      return new ApiError(
        `${namespace}MissingAuthenticationTokenException`,
        'Request is missing Authentication Token',
        {
          status,
          queryCode: 'MissingAuthenticationToken',
        },
      )
  }
}

/** The answer when something of ours failed. */
export function internalError(service: ServiceName): ApiError {
  const type =
    service === 'sqs'
      ? 'com.amazonaws.sqs#InternalFailure'
      : 'com.amazonaws.dynamodb.v20120810#InternalServerError'
  return new ApiError(type, 'The embedded service failed; its log says why', {
    status: 500,
    queryCode: 'InternalFailure',
  })
}

/** Sends an error, unless an answer is on its way already. */
export function refuse(response: ServerResponse, error: ApiError, service: ServiceName): void {
  if (response.headersSent || response.destroyed) return
  if (service === 'sqs' && error.queryCode !== undefined) {
    const fault = error.status >= 500 ? 'Receiver' : 'Sender'
    response.setHeader('x-amzn-query-error', `${error.queryCode};${fault}`)
  }
  // The rest of a body that is not wanted would be taken for the next request.
  if (!response.req.complete) response.setHeader('connection', 'close')
  reply(response, error.status, { __type: error.type, message: error.message, ...error.extra })
}

/** Sends an answer. */
export function reply(response: ServerResponse, status: number, answer: object): void {
  if (response.destroyed) return
  const body = Buffer.from(JSON.stringify(answer))
  response.writeHead(status, {
    'content-type': 'application/x-amz-json-1.0',
    'content-length': body.length,
    'x-amz-crc32': crc32(body),
    'x-amzn-requestid': randomUUID(),
  })
  response.end(body)
}
