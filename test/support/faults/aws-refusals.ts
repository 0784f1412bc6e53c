/** How a client speaks, which decides how it must be answered. */
export type AwsProtocol = 'sqs-json' | 'sqs-query' | 'dynamodb'

export interface RawAnswer {
  status: number
  headers: Record<string, string>
  body: Buffer
}

/** The service's own failure, or "too many requests", in the words of each protocol. */
export function refusal(
  protocol: AwsProtocol,
  action: string,
  why: 'failure' | 'unavailable' | 'throttled' | 'conflict',
): RawAnswer {
  const [status, code] = codeOf(protocol, action, why)
  const message = 'injected by the front'
  const sender = status < 500
  if (protocol === 'sqs-query') {
    const type = sender ? 'Sender' : 'Receiver'
    const error = `<Error><Type>${type}</Type><Code>${code}</Code><Message>${message}</Message><Detail/></Error>`
    const body = `<?xml version="1.0"?><ErrorResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/">${error}<RequestId>0</RequestId></ErrorResponse>`
    return { status, headers: { 'content-type': 'text/xml' }, body: Buffer.from(body) }
  }
  const namespace = protocol === 'sqs-json' ? 'com.amazonaws.sqs' : 'com.amazonaws.dynamodb.v20120810'
  const headers: Record<string, string> = { 'content-type': 'application/x-amz-json-1.0' }
  if (protocol === 'sqs-json') headers['x-amzn-query-error'] = `${code};${sender ? 'Sender' : 'Receiver'}`
  const answer = { __type: `${namespace}#${code}`, message, ...reasonsOf(code, why) }
  return { status, headers, body: Buffer.from(JSON.stringify(answer)) }
}

function codeOf(
  protocol: AwsProtocol,
  action: string,
  why: 'failure' | 'unavailable' | 'throttled' | 'conflict',
): [status: number, code: string] {
  if (protocol !== 'dynamodb') {
    if (why === 'failure') return [500, 'InternalFailure']
    return why === 'unavailable' ? [503, 'ServiceUnavailable'] : [403, 'RequestThrottled']
  }
  if (why === 'failure') return [500, 'InternalServerError']
  if (why === 'unavailable') return [503, 'ServiceUnavailable']
  if (action === 'TransactWriteItems') return [400, 'TransactionCanceledException']
  return [400, why === 'throttled' ? 'ProvisionedThroughputExceededException' : 'ThrottlingException']
}

/** A transaction's refusal says for each item why; ours have two items. */
function reasonsOf(code: string, why: string): object {
  if (code !== 'TransactionCanceledException') return {}
  const Code = why === 'throttled' ? 'ThrottlingError' : 'TransactionConflict'
  return { CancellationReasons: [{ Code, Message: 'injected by the front' }, { Code: 'None' }] }
}
