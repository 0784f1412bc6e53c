/**
 * What AWS's services (and emulators of them) say, sorted by what can be done about it. Shared by the leaves that
 * talk to AWS; needs no SDK.
 */
export type AwsErrorClass =
  | 'credentials' // no keys, unknown ones, or expired ones
  | 'signature' // the secret does not belong to the key id (or the clock is wrong)
  | 'denied' // good keys that may not do this
  | 'throttled'
  | 'unresolved' // the service's name is not known to DNS: mostly a misspelt region or endpoint
  | 'unreachable' // network, TLS, timeout
  | 'server' // the service's own fault
  | 'not_found' // the queue or table does not exist
  | 'invalid' // the request or the configuration makes no sense
  | 'other'

/** Names as both services spell them, without their prefixes and the suffixes Exception and Fault. */
const CLASS_OF_NAME: ReadonlyMap<string, AwsErrorClass> = new Map(
  (
    [
      [
        'credentials',
        'CredentialsProviderError TokenProviderError InvalidClientTokenId UnrecognizedClient InvalidAccessKeyId',
        'ExpiredToken ExpiredTokenId RequestExpired InvalidToken InvalidSecurityToken InvalidSecurity',
        'MissingAuthenticationToken MissingSecurityToken MissingAuthenticationTokenError AuthFailure OptInRequired',
        'NotSignedUp InvalidGrant UnauthorizedSSOToken',
      ],
      ['signature', 'SignatureDoesNotMatch InvalidSignature IncompleteSignature RequestTimeTooSkewed'],
      [
        'denied',
        'AccessDenied UnauthorizedOperation NotAuthorized Unauthorized AuthorizationError Forbidden',
        'KmsAccessDenied KMSAccessDenied',
      ],
      [
        'throttled',
        'Throttling Throttled RequestThrottled ProvisionedThroughputExceeded RequestLimitExceeded SlowDown',
        'TooManyRequests LimitExceeded BandwidthLimitExceeded PriorRequestNotComplete TransactionInProgress',
        'KmsThrottled KMSThrottling OverLimit ReplicatedWriteConflict TransactionConflict',
      ],
      [
        'server',
        'InternalServerError InternalServer InternalFailure InternalError ServiceUnavailable Unavailable',
        'ServiceUnavailableError SystemError',
      ],
      ['unreachable', 'TimeoutError RequestTimeout NetworkingError'],
      ['not_found', 'ResourceNotFound TableNotFound QueueDoesNotExist NonExistentQueue QueueDeletedRecently'],
      [
        'invalid',
        'Validation ValidationError InvalidParameterValue InvalidParameterCombination InvalidAttributeValue',
        'InvalidAttributeName InvalidAddress InvalidMessageContents MissingParameter MissingAction InvalidAction',
        'MalformedQueryString UnsupportedOperation UnknownOperation Serialization InvalidRequest RequestTooLarge',
        'RequestEntityTooLarge ItemCollectionSizeLimitExceeded IdempotentParameterMismatch ConditionalCheckFailed',
      ],
    ] satisfies [AwsErrorClass, ...string[]][]
  ).flatMap(([kind, ...lines]) =>
    lines.flatMap((line) => line.split(' ').map((name) => [name, kind] as const)),
  ),
)

/** DNS's "there is no such name" (EAI_AGAIN, its "ask later", is the network's fault), and what is no address at all. */
const UNRESOLVED = new Set(['ENOTFOUND', 'ENODATA', 'ERR_INVALID_URL'])
const UNREACHABLE =
  /^(?:E(?:CONN\w*|PIPE|TIMEDOUT|HOST\w*|NET\w*|AI_\w+|ADDRNOTAVAIL|ACCES|PERM|PROTO)|EAI_\w+|ERR_(?:TLS|SSL)\w*|CERT_\w+|UNABLE_TO_\w+|\w*SELF_SIGNED_CERT\w*|HPE_\w+|UND_ERR_\w+)$/

/** What kind of error this is. Looks through causes; knows both services' names. Never throws. */
export function classifyAwsError(error: unknown): AwsErrorClass {
  for (const each of withCauses(error)) {
    const kind = classifyOne(each)
    if (kind !== 'other') return kind
  }
  return 'other'
}

/** The service's name of the error without prefix, e.g. `QueueDoesNotExist`; the class name of other errors. */
export function awsErrorName(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  const { name, Code, __type: type } = error as Record<string, unknown>
  const known = [name, Code, type].filter((each) => typeof each === 'string').map(bareName)
  return known.find((each) => CLASS_OF_NAME.has(stem(each))) ?? known[0] ?? ''
}

function classifyOne(error: object): AwsErrorClass {
  const named = CLASS_OF_NAME.get(stem(awsErrorName(error)))
  if (named !== undefined) return named
  const { code, message, $metadata: metadata, $fault: fault } = error as Record<string, unknown>
  if (typeof code === 'string') {
    if (UNRESOLVED.has(code)) return 'unresolved'
    if (UNREACHABLE.test(code)) return 'unreachable'
  }
  if (typeof message === 'string') {
    // The SDK names neither of these.
    if (/^(?:Region is missing|Region not accepted|Invalid region)/i.test(message)) return 'unresolved'
    if (/socket hang up|before secure TLS connection/i.test(message)) return 'unreachable'
  }
  const status = statusOf(metadata)
  if (status === 429) return 'throttled'
  if (status === 401 || status === 403) return 'denied'
  // An answer that is no answer of the service (a proxy's page, cut in half) fails to be read, whatever its status.
  if (status >= 500 || fault === 'server' || error instanceof SyntaxError) return 'server'
  return 'other'
}

function statusOf(metadata: unknown): number {
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return 0
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : 0
}

/** `com.amazonaws.sqs#QueueDoesNotExist`, `AWS.SimpleQueueService.NonExistentQueue` → the last word. */
function bareName(name: string): string {
  return name.split(/[#.:]/).at(-1) ?? ''
}

function stem(name: string): string {
  return name.replace(/(?:Exception|Fault)$/, '')
}

/** The error, what it was caused by and what it gathers, at most ten deep. */
function* withCauses(error: unknown, depth = 0): Generator<object> {
  if (typeof error !== 'object' || error === null || depth > 10) return
  yield error
  if (error instanceof AggregateError) {
    for (const each of error.errors) yield* withCauses(each, depth + 1)
  }
  if ('cause' in error) yield* withCauses(error.cause, depth + 1)
}
