import { EXIT, messageOf, OperatorError, RetryableError, type Surrounding } from '../core/errors.ts'
import { awsErrorName, classifyAwsError } from './errors.ts'
import { isKnownRegion, regionHint } from './regions.ts'

/** Who was asked, for the words of an error. */
export interface AwsTarget {
  /** E.g. DynamoDB. */
  service: string
  region: string
  endpoint?: string
}

/** `Name: message` of an error, one line. What follows the first line may quote signed headers, tokens included. */
export function describeAwsError(error: unknown): string {
  const [line = ''] = messageOf(error)
    .trim()
    .split(/[\r\n]/, 1)
  const name = awsErrorName(error)
  const text = line === '' || line === 'UnknownError' ? 'no further explanation' : line.slice(0, 300)
  return name === '' || name === 'Error' ? text : `${name}: ${text}`
}

/**
 * What somebody at the terminal can mend the same way for every service of AWS: keys and region. Undefined for
 * everything else.
 */
export function awsOperatorError(error: unknown, target: AwsTarget): OperatorError | undefined {
  const why = describeAwsError(error)
  const options = { cause: error }
  switch (classifyAwsError(error)) {
    case 'credentials':
      return new OperatorError(
        `${target.service} does not know these credentials`,
        why,
        "Check access_key_id in the config file; without it AWS's default chain is used (environment, profile, role). Temporary keys may have expired.",
        EXIT.failedStart,
        options,
      )
    case 'signature':
      return new OperatorError(
        `${target.service} refuses the signature made with these credentials`,
        why,
        'Check secret_access_key in the config file: it does not belong to access_key_id. Check the clock of this machine too.',
        EXIT.failedStart,
        options,
      )
    case 'unresolved':
      return target.endpoint === undefined
        ? new OperatorError(
            `${target.service} can't be found in the region ${JSON.stringify(target.region)}`,
            why,
            regionHint(target.region),
            isKnownRegion(target.region) ? EXIT.unavailable : EXIT.failedStart,
            options,
          )
        : new OperatorError(
            `${target.service} can't be found at ${target.endpoint}`,
            why,
            'Check endpoint_url in the config file.',
            EXIT.failedStart,
            options,
          )
    default:
      return undefined
  }
}

/** The same error while jobs run: nothing is recorded, and the breaker probes `surrounding` or the credentials. */
export function awsRetryableError(
  error: unknown,
  target: AwsTarget,
  surrounding: Surrounding,
): RetryableError {
  const kind = classifyAwsError(error)
  const isAboutKeys = kind === 'credentials' || kind === 'signature' || kind === 'denied'
  const message = `${target.service}: ${describeAwsError(error)}`
  return new RetryableError(isAboutKeys ? 'credentials' : surrounding, message, { cause: error })
}
