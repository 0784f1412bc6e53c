import { once } from 'node:events'
import { createServer, isIPv4, type AddressInfo, type Server } from 'node:net'
import { CLOSED_V4, CLOSED_V6, publicRanges } from '../../../core/addresses.ts'
import type { Internet } from '../../executor.ts'
import { noInternet, startHelper, type HelperServices, type HelperSpec } from './internet-helper.ts'
import { ASK_ROUTES, KNOCK } from './internet-scripts.ts'
import type { EngineNetworks } from './internet-survey.ts'

/** A network to be tested. */
export interface Tested {
  internet: Internet
  networks: EngineNetworks
  network: { id: string; router: string; address: string; addressV6: string }
}

/** Where what has no range of its own among the closed ones, or bears a name, is to be found. */
const NOTED = ['169.254.169.254', '100.100.100.200', '192.0.0.192', 'fd00:ec2::254', 'fe80::1:1']
/** Of IPv6 all is closed that is not said to be open. */
const OUTSIDE = ['fc00::1', 'fec0::1', '::ffff:10.0.0.1', '64:ff9b::a00:1', '100::1', '5f00::1']

/**
 * Throws OperatorError when a closed address can be reached from a task's network, or no public one: asks the kernel of both
 * networks where packets would go, and has this process listen while somebody inside knocks at every address of the
 * engine's machine.
 */
export async function assertClosed(
  services: HelperServices,
  tested: Tested,
  signal: AbortSignal,
): Promise<void> {
  const { network, internet } = tested
  const probes = probesOf(tested)
  const near = internet.dns.filter((each) => isIPv4(each) || network.addressV6 !== '')
  const ask = (container: string, closed: readonly string[], from: Record<string, string>) => {
    const OPEN = (near.length === 0 ? internet.dns : near).join(' ')
    const environment = { CLOSED: closed.join(' '), OPEN, ...from }
    return run(services, { ...helperIn(container, internet), script: ASK_ROUTES, environment }, signal)
  }
  const { address, addressV6 } = network
  // Whatever is near by IPv6 is near where it came from only, and what is meant for several ends at the router.
  const forwardable = probes.filter((each) => !/^fe[89ab]/.test(each))
  const [inside, forwarded, visits] = await Promise.all([
    ask(network.id, probes, { FROM_V4: '', FROM_V6: '' }),
    ask(network.router, forwardable, {
      FROM_V4: `from ${address} iif job0`,
      FROM_V6: `from ${addressV6 === '' ? '2000::1' : addressV6} iif job0`,
    }),
    visitors(services, tested, signal),
  ])
  const lines = [...inside, ...forwarded]
  const open = [...lines.flatMap((line) => /^open (.*)/.exec(line)?.[1] ?? []), ...visits]
  if (open.length > 0) {
    throw noInternet(
      `addresses that must be closed can be reached from a job's network: ${[...new Set(open)].join(', ')}`,
      'Jobs with internet are not served. Look for what changes routes on the machine of the engine.',
    )
  }
  const [dead] = lines.flatMap((line) => /^closed (.*)/.exec(line)?.[1] ?? [])
  if (dead !== undefined) {
    throw noInternet(
      `the name server ${dead} can't be reached from a job's network`,
      "Set code_exec.dns to public addresses that are not the engine's machine's own.",
    )
  }
}

function helperIn(container: string, { image }: Internet): Pick<HelperSpec, 'image' | 'networkMode'> {
  return { image, networkMode: `container:${container}` }
}

/** One address of each closed range, and all that the engine's machine has. */
function probesOf({ networks, network }: Tested): string[] {
  // What is on its way to several or to all is never forwarded, and ends at the router.
  const ranges = [...CLOSED_V4, ...CLOSED_V6, ...publicRanges(networks.own)].filter(
    (range) => !/^(0|127|224|240)\./.test(range),
  )
  const inRanges = ranges.map((range) => inside(range))
  const all = [...inRanges, ...NOTED, ...OUTSIDE, ...networks.addresses]
  const own = new Set([network.address, network.addressV6])
  return [...new Set(all)].filter((each) => !own.has(each) && !/^127\.|^::1$|^0\.|%/.test(each))
}

/** An address in a range. */
function inside(range: string): string {
  const [address = '', bits] = range.split('/')
  if (bits === '32' || bits === '128') return address
  return isIPv4(address) ? address.replace(/\d+$/, '77') : `${address.replace(/::$/, '')}::77`
}

/** Addresses of the engine's machine at which somebody from inside has reached this process, if it is there at all. */
async function visitors(
  services: HelperServices,
  { internet, networks, network }: Tested,
  signal: AbortSignal,
): Promise<string[]> {
  const met: string[] = []
  const server = createServer((socket) => {
    // A program of the machine itself has nothing to do with it.
    if (socket.remoteAddress?.endsWith(network.address) === true)
      met.push(socket.localAddress ?? 'the machine of the engine')
    socket.destroy()
  })
  await listen(server)
  try {
    const { port } = server.address() as AddressInfo
    await run(
      services,
      {
        ...helperIn(network.id, internet),
        script: KNOCK,
        environment: {
          PORT: String(port),
          ADDRESSES: networks.addresses.filter((each) => isIPv4(each) && !each.startsWith('127.')).join(' '),
        },
      },
      signal,
    )
    return met.map((address) => address.replace('::ffff:', ''))
  } finally {
    server.close()
  }
}

async function listen(server: Server): Promise<void> {
  server.listen(0)
  await once(server, 'listening')
}

async function run(
  services: HelperServices,
  spec: HelperSpec,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const helper = await startHelper(services, spec, signal)
  try {
    return await helper.ready
  } finally {
    await services.removals.remove(helper.id)
  }
}
