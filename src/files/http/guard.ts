import { lookup as lookUp } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { isPublicAddress } from '../../core/addresses.ts'
import { FileError } from '../files.ts'

/** Knows which machines are not asked. */
export interface Guard {
  /**
   * FileError for a URL that names a closed address. What is returned looks its name up as Node does, without closed
   * addresses.
   */
  open(url: string): LookupFunction
}

// Clouds give a machine its keys at these addresses, to whoever asks from it. A message must not make us ask.
const metadata = new BlockList()
metadata.addSubnet('169.254.0.0', 16, 'ipv4')
metadata.addSubnet('fe80::', 10, 'ipv6')
metadata.addAddress('fd00:ec2::254', 'ipv6')
metadata.addAddress('fd20:ce::254', 'ipv6')

const NEVER = 'the address of the metadata of a cloud is never asked'

/**
 * Closes the metadata of clouds; with `privateHosts` also all that is not public, but for the hosts of these names (or
 * `host:port`).
 */
export function createGuard(privateHosts?: readonly string[]): Guard {
  const trusted = privateHosts && new Set(privateHosts.map((host) => host.toLowerCase()))

  return {
    open: (url) => {
      const { hostname, host: shown, port, protocol } = new URL(url)
      const whole = `${hostname}:${port === '' ? (protocol === 'https:' ? 443 : 80) : port}`
      const isTrusted = trusted === undefined || trusted.has(hostname) || trusted.has(whole)
      const problemOf = (address: string): string | undefined => {
        const family = isIP(address)
        if (family !== 0 && metadata.check(address, family === 4 ? 'ipv4' : 'ipv6')) return NEVER
        if (isTrusted || isPublicAddress(address)) return undefined
        return `${shown} is not in the public internet, and private hosts are not asked`
      }
      const host = hostname.replace(/^\[|\]$/g, '')
      const problem =
        host === 'metadata.google.internal' ? NEVER : isIP(host) === 0 ? undefined : problemOf(host)
      if (problem !== undefined) throw new FileError('bad_url', '', problem)
      return openLookup(problemOf)
    },
  }
}

function openLookup(problemOf: (address: string) => string | undefined): LookupFunction {
  return (host, options, callback) => {
    lookUp(host, options, (error, found, family) => {
      const addresses = Array.isArray(found) ? found.map(({ address }) => address) : [found]
      const problem = error === null ? addresses.map(problemOf).find((each) => each !== undefined) : undefined
      if (problem === undefined) callback(error, found, family)
      else callback(new FileError('bad_url', '', problem), '')
    })
  }
}
