import { describe, expect, test } from 'vitest'
import { awsErrorName, classifyAwsError } from '../../../src/aws/errors.ts'
import { awsOperatorError, awsRetryableError, describeAwsError } from '../../../src/aws/problems.ts'
import { regionHint } from '../../../src/aws/regions.ts'
import { OperatorError, RetryableError } from '../../../src/core/errors.ts'
import { refusalOf, toOperatorError } from '../../../src/stores/dynamodb/errors.ts'

function named(name: string, more: object = {}): Error {
  return Object.assign(new Error('said the service'), { name, ...more })
}

describe('classifyAwsError', () => {
  test.each([
    [named('UnrecognizedClientException'), 'credentials'],
    [named('InvalidClientTokenId'), 'credentials'],
    [named('ExpiredTokenException'), 'credentials'],
    [named('CredentialsProviderError'), 'credentials'],
    [named('InvalidSignatureException'), 'signature'],
    [named('SignatureDoesNotMatch'), 'signature'],
    [named('AccessDeniedException'), 'denied'],
    [named('AccessDenied'), 'denied'],
    [named('Error', { $metadata: { httpStatusCode: 403 } }), 'denied'],
    [named('ProvisionedThroughputExceededException'), 'throttled'],
    [named('ThrottlingException'), 'throttled'],
    [named('UnknownError', { $metadata: { httpStatusCode: 429 } }), 'throttled'],
    [named('ResourceNotFoundException'), 'not_found'],
    [named('AWS.SimpleQueueService.NonExistentQueue'), 'not_found'],
    [named('Error', { __type: 'com.amazonaws.sqs#QueueDoesNotExist' }), 'not_found'],
    [named('ValidationException'), 'invalid'],
    [named('UnknownOperationException'), 'invalid'],
    [named('InternalServerError'), 'server'],
    [named('Whatever', { $metadata: { httpStatusCode: 502 } }), 'server'],
    [new SyntaxError('Unexpected token < in JSON'), 'server'],
    [named('Error', { code: 'ENOTFOUND' }), 'unresolved'],
    [new Error('Region is missing'), 'unresolved'],
    [named('TypeError', { code: 'ERR_INVALID_URL' }), 'unresolved'],
    [named('Error', { code: 'EAI_AGAIN' }), 'unreachable'],
    [named('Error', { code: 'ECONNREFUSED' }), 'unreachable'],
    [named('TimeoutError'), 'unreachable'],
    [named('Error', { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }), 'unreachable'],
    [new Error('socket hang up'), 'unreachable'],
    [new AggregateError([named('Error', { code: 'EHOSTUNREACH' })]), 'unreachable'],
    [
      new Error('outer', { cause: new Error('mid', { cause: named('Error', { code: 'EPIPE' }) }) }),
      'unreachable',
    ],
    [new Error('what'), 'other'],
    ['text', 'other'],
    [null, 'other'],
    [undefined, 'other'],
  ])('%s is %s', (error, kind) => {
    expect(classifyAwsError(error)).toBe(kind)
  })

  test('causes that go in circles end', () => {
    const error = new Error('round')
    error.cause = error
    expect(classifyAwsError(error)).toBe('other')
  })

  test('names lose their prefixes only', () => {
    expect(awsErrorName(named('com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException'))).toBe(
      'ConditionalCheckFailedException',
    )
    expect(awsErrorName(named('Error', { Code: 'SlowDown' }))).toBe('SlowDown')
    expect(awsErrorName('text')).toBe('')
  })
})

describe('words for people', () => {
  const target = { service: 'DynamoDB', region: 'ap-northeest-1' }
  const table = { ...target, tableName: 'opthub' }

  test('what a service quotes of the signed request is not repeated', () => {
    const error = named('SignatureDoesNotMatch')
    error.message = 'The signature does not match.\n\nx-amz-security-token:SECRET'
    expect(describeAwsError(error)).toBe('SignatureDoesNotMatch: The signature does not match.')
    expect(describeAwsError(new Error(''))).toBe('no further explanation')
  })

  test('a region that does not resolve gets the nearest name', () => {
    const error = named('Error', { code: 'ENOTFOUND' })
    error.message = 'getaddrinfo ENOTFOUND dynamodb.ap-northeest-1.amazonaws.com'
    const operator = awsOperatorError(error, target)
    expect(operator?.what).toBe('DynamoDB can\'t be found in the region "ap-northeest-1"')
    expect(operator?.why).toContain('ENOTFOUND')
    expect(operator?.hint).toContain('Did you mean ap-northeast-1?')
    expect(regionHint('ap-northeast-1')).toMatch(/^The region exists/)
    expect(regionHint('mars')).not.toMatch(/Did you mean/)
    expect(awsOperatorError(error, { ...target, endpoint: 'http://nowhere:1' })?.hint).toMatch(/endpoint_url/)
  })

  test.each([
    ['UnrecognizedClientException', /access_key_id/],
    ['InvalidSignatureException', /secret_access_key/],
    ['ResourceNotFoundException', /table_name/],
    ['AccessDeniedException', /dynamodb:GetItem/],
    ['ValidationException', /partition key ID/],
  ])('%s tells what to check at the start', (name, hint) => {
    const error = toOperatorError(named(name), table, 'Allow dynamodb:GetItem on it.')
    expect(error).toBeInstanceOf(OperatorError)
    expect(error instanceof OperatorError && error.hint).toMatch(hint)
    expect(error.message).toContain(name)
  })

  test('while jobs run nothing is final, and keys are told from the table', () => {
    const surroundings = (name: string) => awsRetryableError(named(name), target, 'store').surrounding
    expect(surroundings('ExpiredTokenException')).toBe('credentials')
    expect(surroundings('InvalidSignatureException')).toBe('credentials')
    expect(surroundings('AccessDeniedException')).toBe('credentials')
    expect(surroundings('ResourceNotFoundException')).toBe('store')
    expect(surroundings('Whatever')).toBe('store')
    expect(toOperatorError(named('InternalServerError'), table, '')).toBeInstanceOf(RetryableError)
  })
})

describe('refusalOf', () => {
  test.each([
    [['None', 'ConditionalCheckFailed'], 'exists'],
    [['TransactionConflict', 'ConditionalCheckFailed'], 'exists'],
    [['None', 'TransactionConflict'], 'retry'],
    [['ThrottlingError', 'None'], 'retry'],
    [['ProvisionedThroughputExceeded', 'None'], 'retry'],
    [['ValidationError', 'None'], 'invalid'],
    [['Surprise'], 'retry'],
  ])('%j means %s', (codes, refusal) => {
    const CancellationReasons = codes.map((Code) => ({ Code }))
    expect(refusalOf(named('TransactionCanceledException', { CancellationReasons }))).toBe(refusal)
    // Some servers list them in the message only.
    const error = named('TransactionCanceledException')
    error.message = `Transaction cancelled, please refer cancellation reasons for specific reasons [${codes.join(', ')}]`
    expect(refusalOf(error)).toBe(refusal)
  })

  test('other errors are no refusals', () => {
    expect(refusalOf(named('ConditionalCheckFailedException'))).toBeUndefined()
    expect(refusalOf(undefined)).toBeUndefined()
  })
})
