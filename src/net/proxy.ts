import type { Agent } from 'node:http'
import { EXIT, messageOf, OperatorError } from '../core/errors.ts'

/** One for each proxy, with the connections that it keeps. */
const agents = new Map<string, Agent>()

/**
 * An agent that reaches `url` through the proxy that HTTPS_PROXY, ALL_PROXY and NO_PROXY name for it; undefined when there
 * is none. Servers spoken to by plain http are emulators near by, and never asked through a proxy. OperatorError for a
 * proxy that is no URL.
 */
export async function proxyAgent(url: string): Promise<Agent | undefined> {
  if (!url.startsWith('https:')) return undefined
  const { getProxyForUrl } = await import('proxy-from-env')
  const proxy = getProxyForUrl(url)
  if (proxy === '') return undefined
  const known = agents.get(proxy)
  if (known !== undefined) return known
  try {
    const { HttpsProxyAgent } = await import('https-proxy-agent')
    const agent = new HttpsProxyAgent(proxy, { keepAlive: true })
    agents.set(proxy, agent)
    return agent
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
