import type { AwsConnection } from '../aws/client-options.ts'
import type { TableOptions } from './options.ts'

/** What the config says of AWS, endpoints aside. */
export async function configuredAws({
  config,
  keys,
}: Pick<TableOptions, 'config' | 'keys'>): Promise<AwsConnection> {
  const { followKeys } = await import('../aws/keys.ts')
  const { access_key_id: accessKeyId, secret_access_key: secretAccessKey } = config
  const pair =
    accessKeyId === undefined || secretAccessKey === undefined ? undefined : { accessKeyId, secretAccessKey }
  return {
    region: config.region_name ?? 'us-east-1',
    ...(pair === undefined ? {} : { credentials: keys === undefined ? pair : followKeys(pair, keys) }),
  }
}

/** The same at another server than AWS's own; undefined = AWS's. */
export function atEndpoint(connection: AwsConnection, endpoint: string | undefined): AwsConnection {
  return { ...connection, ...(endpoint === undefined ? {} : { endpoint }) }
}
