import type { Agent } from 'node:http'
import type { AwsKeys } from './keys.ts'

/** Where a service of AWS is and who asks, as the config says it. */
export interface AwsConnection {
  region: string
  /** Base URL of another server that speaks the protocol; left out = AWS itself. */
  endpoint?: string
  /** Left out = AWS's default chain: environment, profile, instance or pod role. */
  credentials?: (AwsKeys & { sessionToken?: string }) | (() => Promise<AwsKeys & { expiration: Date }>)
  /** Opens connections in another way, e.g. through a proxy. */
  agent?: Agent
  /** Added to the User-Agent, e.g. ['opthub-runner', '0.1.0']. */
  userAgent?: [name: string, version: string]
}

/** A server that accepts no connection for so long is not there. */
const CONNECTION_TIMEOUT_MS = 5_000
/** Longer than SQS's longest poll (20 s); a server that hangs must not hang a job for ever. */
const REQUEST_TIMEOUT_MS = 30_000
/** Tries of the SDK itself, which reuse the request's idempotency token. */
const MAX_ATTEMPTS = 3

/** The options that every client of the AWS SDK takes. */
export function awsClientOptions({ region, endpoint, credentials, agent, userAgent }: AwsConnection) {
  return {
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    ...(userAgent === undefined ? {} : { customUserAgent: [userAgent] }),
    maxAttempts: MAX_ATTEMPTS,
    requestHandler: {
      ...(agent === undefined ? {} : { httpsAgent: agent }),
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      // Without it the SDK only prints a warning.
      throwOnRequestTimeout: true,
      socketTimeout: REQUEST_TIMEOUT_MS,
    },
  }
}
