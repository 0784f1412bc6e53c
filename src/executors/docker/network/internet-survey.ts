import { networkInterfaces } from 'node:os'
import type { Engine } from '../api/engine.ts'
import { startHelper, type HelperServices } from './internet-helper.ts'
import { HOST_ADDRESSES } from './internet-scripts.ts'

/** What of an engine's machine jobs must not reach, and what its bridge is like. */
export interface EngineNetworks {
  /** Addresses of the engine's machine and of this one, and the ranges of the engine's own networks. */
  own: readonly string[]
  /** Those of them where something may listen. */
  addresses: readonly string[]
  /** Largest packet on its bridge. */
  mtu: number
  /** Its bridge has IPv6, and the image's `ip` all that it takes. */
  hasIpv6: boolean
  /** Its kernel has. */
  knowsIpv6: boolean
}

const DEFAULT_MTU = 1500

/**
 * Looks at them, by a helper in the network of the engine's machine: that may be another one than this, and has addresses
 * that no range tells.
 */
export async function surveyEngine(services: HelperServices, image: string): Promise<EngineNetworks> {
  const { engine } = services
  // Others wait for it too: no job's end cuts it short.
  const { signal } = new AbortController()
  const [networks, lines] = await Promise.all([networksOf(engine, signal), askHost(services, image, signal)])
  const theirs = lines.flatMap((line) => /^local (\S+)/.exec(line)?.[1] ?? [])
  const ours = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address))
  const gateways = networks.flatMap(({ IPAM }) =>
    (IPAM?.Config ?? []).flatMap(({ Gateway }) => Gateway ?? []),
  )
  const ranges = networks.flatMap(({ IPAM }) => (IPAM?.Config ?? []).flatMap(({ Subnet }) => Subnet ?? []))
  const addresses = [...new Set([...theirs, ...ours, ...gateways])]
  const bridge = networks.find(({ Options }) => Options?.[IS_DEFAULT] === 'true')
  return {
    own: [...addresses, ...ranges],
    addresses: addresses.filter((each) => !each.includes('/')),
    mtu: Number(bridge?.Options?.[MTU] ?? DEFAULT_MTU) || DEFAULT_MTU,
    hasIpv6: bridge?.EnableIPv6 === true && lines.includes('proxy'),
    knowsIpv6: lines.includes('ipv6'),
  }
}

const IS_DEFAULT = 'com.docker.network.bridge.default_bridge'
const MTU = 'com.docker.network.driver.mtu'

interface Network {
  EnableIPv6?: boolean
  Options?: Record<string, string> | null
  IPAM?: { Config?: { Subnet?: string; Gateway?: string }[] | null } | null
}

async function networksOf(engine: Engine, signal: AbortSignal): Promise<Network[]> {
  return (await engine.json('GET', '/networks', { signal })) as Network[]
}

async function askHost(
  services: HelperServices,
  image: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const helper = await startHelper(
    services,
    {
      ...{ image, script: HOST_ADDRESSES, environment: {}, networkMode: 'host' },
      // An engine that gives containers users of their own has only this way to let one into its network.
      more: { UsernsMode: 'host' },
    },
    signal,
  )
  try {
    return await helper.ready
  } finally {
    services.removals.later(helper.id)
  }
}
