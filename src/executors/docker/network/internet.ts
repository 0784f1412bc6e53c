import type { Clock } from '../../../core/clock.ts'
import { CLOSED_V4, CLOSED_V6, OPEN_V6, publicRanges } from '../../../core/addresses.ts'
import { messageOf, OperatorError, RetryableError } from '../../../core/errors.ts'
import { ImageError, type ImageInfo, type Internet } from '../../executor.ts'
import type { Engine } from '../api/engine.ts'
import { engineKind } from '../api/engine-kind.ts'
import { SAYS_NEIGHBOUR_GONE } from '../api/errors.ts'
import type { NetworkHolder, Seat } from './holders.ts'
import type { HostProcess } from '../host/host-process.ts'
import type { HostView } from '../host/host-view.ts'
import { surveyEngine, type EngineNetworks } from './internet-survey.ts'
import {
  IMAGE_HINT,
  MAY_CHANGE_ROUTES,
  noInternet,
  startHelper,
  type Helper,
  type HelperServices,
} from './internet-helper.ts'
import { HOLDER, ROUTER } from './internet-scripts.ts'
import { assertClosed } from './internet-checks.ts'

export interface InternetServices extends HelperServices {
  engine: Engine
  host: HostView
  /** Makes an image present. */
  pull: (image: string, signal: AbortSignal) => Promise<ImageInfo>
  clock: Clock
}

/** The engine's networks and its machine's addresses are asked for anew after so long. */
const SURVEY_MS = 300_000

/**
 * Networks from which the public internet can be reached and nothing else, each for one task. Routes in a task's own
 * network would not hold it: a program may bind a socket to its device, and the kernel then takes every address for a
 * neighbour's. So there are two networks: the task's has nothing but a cable to a router's, which alone is on the engine's
 * bridge, and whose routes the task can't walk around.
 */
export class Internets {
  readonly #s: InternetServices
  readonly #lent = new Set<TaskNetwork>()
  /** By image and name servers; a failed one is forgotten. */
  readonly #tested = new Map<string, Promise<void>>()
  #survey: { networks: Promise<EngineNetworks>; at: number; image: string } | undefined

  constructor(services: InternetServices) {
    this.#s = services
  }

  /** Throws OperatorError unless such networks can be had and hold: tries one, once for all tasks. */
  async assert(internet: Internet, signal: AbortSignal): Promise<void> {
    const key = JSON.stringify(internet)
    for (;;) {
      const theirs = this.#tested.get(key)
      const test = theirs ?? this.#test(internet, signal)
      this.#tested.set(key, test)
      try {
        await test
        return
      } catch (error) {
        if (this.#tested.get(key) === test) this.#tested.delete(key)
        signal.throwIfAborted()
        // Somebody else's may have been cut short.
        if (theirs === undefined) throw error
      }
    }
  }

  /** A network for one task. RetryableError when there can't be one, since the task is not at fault. */
  async seat(internet: Internet, signal: AbortSignal): Promise<Seat> {
    try {
      await this.assert(internet, signal)
      const network = await this.#open(internet, signal)
      return {
        holder: network,
        leave: () => {
          this.#drop(network)
        },
      }
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof OperatorError)) throw error
      // Its image is perhaps gone: all is looked at again.
      this.#tested.delete(JSON.stringify(internet))
      throw new RetryableError('engine', `${error.message}. ${error.hint}`, { cause: error })
    }
  }

  close(): void {
    for (const network of this.#lent) this.#drop(network)
  }

  #drop(network: TaskNetwork): void {
    if (!this.#lent.delete(network)) return
    this.#s.removals.later(network.id, network.router)
  }

  async #test(internet: Internet, signal: AbortSignal): Promise<void> {
    const { engine, pull } = this.#s
    const { product } = await engineKind(engine)
    if (product !== 'Docker') throw noInternet(`${product} has not been tried with it`, 'Use Docker.')
    try {
      await pull(internet.image, signal)
    } catch (error) {
      if (error instanceof ImageError) throw noInternet(error.message, IMAGE_HINT, error)
      throw error
    }
    this.#survey = undefined
    const network = await this.#open(internet, signal)
    try {
      await assertClosed(this.#s, { internet, networks: network.networks, network }, signal)
    } finally {
      this.#lent.delete(network)
      await Promise.all([this.#s.removals.remove(network.id), this.#s.removals.remove(network.router)])
    }
  }

  async #networks(image: string): Promise<EngineNetworks> {
    const now = this.#s.clock.now()
    const known = this.#survey
    if (known?.image === image && now - known.at < SURVEY_MS) return await known.networks
    const survey = { networks: surveyEngine(this.#s, image), at: now, image }
    this.#survey = survey
    try {
      return await survey.networks
    } catch (error) {
      if (this.#survey === survey) this.#survey = undefined
      throw error
    }
  }

  async #open({ image, dns }: Internet, signal: AbortSignal): Promise<TaskNetwork> {
    const networks = await this.#networks(image)
    const extra = publicRanges(networks.own)
    const environment = {
      CLOSED_V4: [...CLOSED_V4, ...extra.filter((range) => !range.includes(':'))].join(' '),
      CLOSED_V6: [...CLOSED_V6, ...extra.filter((range) => range.includes(':'))].join(' '),
      OPEN_V6,
      IPV6: networks.hasIpv6 ? 'yes' : '',
    }
    const started: Helper[] = []
    const { removals, host } = this.#s
    try {
      const router = await startHelper(this.#s, routerSpec(image, environment, networks), signal)
      started.push(router)
      const place = await this.#placeOf(router, networks, signal)
      const holder = await startHelper(
        this.#s,
        {
          ...{ image, script: HOLDER, networkMode: 'none' },
          environment: { ...environment, ...place, MTU: String(networks.mtu) },
          more: {
            ...MAY_CHANGE_ROUTES,
            // Its first process is the router's, by which the cable finds its other end.
            PidMode: `container:${router.id}`,
            Dns: dns,
            DnsSearch: ['.'],
            Sysctls: networks.knowsIpv6 ? holderIpv6(place.ADDRESS_V6 !== '') : {},
          },
        },
        signal,
      ).catch(async (error: unknown) => {
        // A router that has ended says better what is wrong.
        if (SAYS_NEIGHBOUR_GONE.test(messageOf(error))) await router.ready
        throw error
      })
      started.push(holder)
      await Promise.all([router.ready, holder.ready])
      const processes = await Promise.all([host.processOf(holder.id), host.processOf(router.id)])
      const network = new TaskNetwork({
        ...{ id: holder.id, router: router.id, networks },
        ...{ address: place.ADDRESS_V4, addressV6: place.ADDRESS_V6 },
        processes: processes.filter((each) => each !== undefined),
      })
      this.#lent.add(network)
      return network
    } catch (error) {
      await Promise.all(started.map(({ id }) => removals.remove(id)))
      signal.throwIfAborted()
      throw error
    }
  }

  /** Where the engine has put the router on its bridge. */
  async #placeOf(
    router: Helper,
    networks: EngineNetworks,
    signal: AbortSignal,
  ): Promise<{ ADDRESS_V4: string; ADDRESS_V6: string }> {
    const answer = (await this.#s.engine.json('GET', `/containers/${router.id}/json`, {
      signal,
    })) as Inspected
    const places = Object.values(answer.NetworkSettings.Networks ?? {})
    const place = places.find(({ IPAddress }) => IPAddress !== '')
    // What has made it end is better known to itself.
    if (place === undefined && !answer.State.Running) await router.ready
    if (place === undefined) {
      throw noInternet('the engine has no bridge network', "Don't run dockerd with --bridge=none.")
    }
    return {
      ADDRESS_V4: place.IPAddress,
      ADDRESS_V6: networks.hasIpv6 ? (place.GlobalIPv6Address ?? '') : '',
    }
  }
}

interface Inspected {
  State: { Running: boolean }
  NetworkSettings: { Networks: Record<string, { IPAddress: string; GlobalIPv6Address?: string }> | null }
}

/** The network of one task. */
class TaskNetwork implements NetworkHolder {
  readonly id: string
  /** Id of the container that is its router. */
  readonly router: string
  readonly networks: EngineNetworks
  /** The task's. */
  readonly address: string
  /** Empty = it has none. */
  readonly addressV6: string
  readonly #processes: readonly HostProcess[]

  constructor(of: {
    id: string
    router: string
    networks: EngineNetworks
    address: string
    addressV6: string
    processes: readonly HostProcess[]
  }) {
    this.id = of.id
    this.router = of.router
    this.networks = of.networks
    this.address = of.address
    this.addressV6 = of.addressV6
    this.#processes = of.processes
  }

  /** True as well where its processes can't be seen from here. */
  isAlive(): boolean {
    return this.#processes.every((each) => each.isAlive())
  }
}

function routerSpec(image: string, environment: Record<string, string>, networks: EngineNetworks) {
  return {
    ...{ image, script: ROUTER, environment, networkMode: 'default' },
    more: {
      ...MAY_CHANGE_ROUTES,
      Sysctls: {
        'net.ipv4.ip_forward': '1',
        'net.ipv4.conf.all.proxy_arp': '1',
        // The kernel would look for the way back among the task's routes, and not answer the bridge's questions.
        'net.ipv4.conf.all.rp_filter': '0',
        'net.ipv4.conf.default.rp_filter': '0',
        'net.ipv4.conf.all.accept_source_route': '0',
        ...(networks.hasIpv6
          ? { 'net.ipv6.conf.all.forwarding': '1', 'net.ipv6.conf.all.proxy_ndp': '1', ...IPV6 }
          : {}),
      },
    },
  }
}

const IPV6 = {
  'net.ipv6.conf.all.disable_ipv6': '0',
  'net.ipv6.conf.default.disable_ipv6': '0',
  // Nobody else can have an address there: it need not be asked for.
  'net.ipv6.conf.all.accept_dad': '0',
  'net.ipv6.conf.default.accept_dad': '0',
}

function holderIpv6(isWanted: boolean): Record<string, string> {
  // Without an address that the link has by itself nothing on the link is near.
  const more = { 'net.ipv6.conf.default.addr_gen_mode': '1' }
  return isWanted ? { ...IPV6, ...more } : { 'net.ipv6.conf.default.disable_ipv6': '1' }
}
