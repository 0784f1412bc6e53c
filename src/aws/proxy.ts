import type { Agent } from 'node:http'
import { EXIT, messageOf, OperatorError } from '../core/errors.ts'
import type { AwsConnection } from './client-options.ts'

/**
 * The same connection through the proxy that HTTPS_PROXY, ALL_PROXY and NO_PROXY name for it, if any. Servers spoken to
 * by plain http are emulators near by, and never asked through a proxy. OperatorError for a proxy that is no URL.
 */
export async function throughProxy(
  connection: AwsConnection,
  service: 'sqs' | 'dynamodb',
): Promise<AwsConnection> {
  const agent = await proxyAgent(
    connection.endpoint ?? `https://${service}.${connection.region}.amazonaws.com`,
  )
  return agent === undefined ? connection : { ...connection, agent }
}

/** An agent that reaches `url` through its proxy; undefined when there is none for it. */
export async function proxyAgent(url: string): Promise<Agent | undefined> {
  if (!url.startsWith('https:')) return undefined
  const { getProxyForUrl } = await import('proxy-from-env')
  const proxy = getProxyForUrl(url)
  if (proxy === '') return undefined
  try {
    const { HttpsProxyAgent } = await import('https-proxy-agent')
    return new HttpsProxyAgent(proxy, { keepAlive: true })
  } catch (error) {
    throw new OperatorError(
      'The proxy in HTTPS_PROXY or ALL_PROXY can not be used',
      messageOf(error),
      'Write it as http://host:port, or name the host in NO_PROXY to do without.',
      EXIT.config,
      { cause: error },
    )
  }
}
