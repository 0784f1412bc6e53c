import { proxyAgent } from '../net/proxy.ts'
import type { AwsConnection } from './client-options.ts'

/** The same connection through the proxy that the environment names for it, if any: see proxyAgent. */
export async function throughProxy(
  connection: AwsConnection,
  service: 'sqs' | 'dynamodb' | 's3',
): Promise<AwsConnection> {
  const agent = await proxyAgent(
    connection.endpoint ?? `https://${service}.${connection.region}.amazonaws.com`,
  )
  return agent === undefined ? connection : { ...connection, agent }
}
