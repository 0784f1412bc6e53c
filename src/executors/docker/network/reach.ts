import { ownContainer, type OwnContainer } from '../host/own-container.ts'
import { oncePerEngine } from '../api/once-per-engine.ts'

/** How this process gets to a server in a container. */
export type Reach =
  /** A published port of this machine's loopback. */
  | { how: 'loopback' }
  /** The container's own address, in a network that this process is in too. */
  | { how: 'network'; network: string }
  | { how: 'none'; why: string; cure: string }

/** Finds out once for each engine. Throws what the engine throws; then it is asked again. */
export const reachOf = oncePerEngine(async (engine): Promise<Reach> => {
  let own = await ownContainer(engine)
  for (let other = hostOf(own); other !== undefined; other = hostOf(own)) {
    own = (await engine.json('GET', `/containers/${encodeURIComponent(other)}/json`)) as OwnContainer
  }
  return reachFrom(own, engine.label)
})

/** The container whose network this one has joined. */
function hostOf(own: OwnContainer | undefined): string | undefined {
  return /^container:(.+)$/.exec(own?.HostConfig?.NetworkMode ?? '')?.[1]
}

/** The reach from a container of the engine; undefined = from outside of all of them. */
export function reachFrom(
  own: Pick<OwnContainer, 'HostConfig' | 'NetworkSettings'> | undefined,
  engineLabel: string,
): Reach {
  if (own === undefined && isThisMachine(engineLabel)) return { how: 'loopback' }
  if (own === undefined) {
    return {
      how: 'none',
      why: `the Docker engine at ${engineLabel} is on another machine, and ports are published on its loopback only`,
      cure: 'Run this program on the machine of the engine.',
    }
  }
  if (own.HostConfig?.NetworkMode === 'host') return { how: 'loopback' }
  const networks = Object.entries(own.NetworkSettings?.Networks ?? {})
  const [network] = networks.find(([, { IPAddress }]) => IPAddress !== undefined && IPAddress !== '') ?? []
  if (network !== undefined) return { how: 'network', network }
  return {
    how: 'none',
    why: 'this program is in a container that shares no network with others',
    cure: 'Give its container a network (docker run --network …), or that of the machine (--network host).',
  }
}

/** Where ports that the engine publishes on its loopback are ours too. */
function isThisMachine(label: string): boolean {
  return /^(unix|npipe):|^(tcp|https?):\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:|\/|$)/.test(label)
}
