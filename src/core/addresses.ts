import { BlockList, isIP } from 'node:net'

// What is no part of the public internet: the IANA's special-purpose registries, and where clouds keep their metadata.

/** IPv4 ranges that are private, shared, local, multicast, reserved or for documentation and tests. */
export const CLOSED_V4: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  // Azure's machines reach their host by it.
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]

/** All public IPv6 addresses are in here; not those that stand for IPv4 addresses by a translator (64:ff9b::/96). */
export const OPEN_V6 = '2000::/3'

/** What in there is not public: protocols' own and tunnels (Teredo, 6to4), which can end in private networks, examples. */
export const CLOSED_V6: readonly string[] = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']

const closed = blockList([...CLOSED_V4, ...CLOSED_V6])
const open = blockList([OPEN_V6])

/** Whether it is the address of one machine in the public internet; false for what is no address at all. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 4) return !closed.check(address, 'ipv4')
  return (
    family === 6 && !address.includes('%') && open.check(address, 'ipv6') && !closed.check(address, 'ipv6')
  )
}

/** Those of these addresses and ranges that a job could reach if they were not closed to it, each once, as ranges. */
export function publicRanges(given: readonly string[]): string[] {
  const ranges = given.flatMap((text) => {
    const [address = '', bits] = text.split('/')
    if (!isPublicAddress(address)) return []
    return [`${address}/${bits ?? (isIP(address) === 4 ? '32' : '128')}`]
  })
  return [...new Set(ranges)].sort()
}

/** What tells whether an address is in one of these ranges. */
function blockList(ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [address = '', bits = ''] = range.split('/')
    list.addSubnet(address, Number(bits), isIP(address) === 4 ? 'ipv4' : 'ipv6')
  }
  return list
}
