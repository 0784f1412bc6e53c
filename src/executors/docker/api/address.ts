import { platform } from 'node:os'
import { EXIT, OperatorError } from '../../../core/errors.ts'
import type { Environment } from './docker-config.ts'
import type { EngineAddress, TcpAddress, TlsFiles } from './engine.ts'
import type { SshTarget } from './ssh-connection.ts'

const DEFAULT_SOCKET = '/var/run/docker.sock'

export interface AddressOptions {
  /** Files for TLS; left out = without, unless scheme or port say otherwise. */
  tls?: TlsFiles | undefined
  /** For the ssh process. */
  environment?: Environment
  /** As node names it; default: this machine's. */
  os?: string
}

/** Takes apart what DOCKER_HOST may hold; OperatorError when it is nothing that we can speak to. */
export function parseHost(
  host: string,
  { tls, environment = {}, os = platform() }: AddressOptions = {},
): EngineAddress {
  if (host.startsWith('/')) return { socketPath: host }
  switch (/^(\w+):\/\//.exec(host)?.[1]) {
    case 'unix':
      return { socketPath: host.slice('unix://'.length) || DEFAULT_SOCKET }
    case 'npipe':
      if (os === 'win32') return { socketPath: host.slice('npipe://'.length) }
      throw new OperatorError(
        'The Docker host is a named pipe, which only Windows has',
        host,
        FORMS,
        EXIT.config,
      )
    case 'ssh':
      return { ssh: parseSsh(host, environment) }
    default:
      return parseTcp(host, tls)
  }
}

const FORMS = 'Write unix:///path/to/docker.sock, tcp://host:2375 (2376 with TLS) or ssh://user@host.'

function parseTcp(host: string, tls: TlsFiles | undefined): TcpAddress {
  const [, scheme = 'tcp', rest = ''] = /^(?:(\w+):\/\/)?(.*)$/s.exec(host) ?? []
  // Under its own scheme a URL would swallow a port that is its default.
  const url = parseUrl(`tcp://${rest}`)
  const isOther = !/^(tcp|https?)$/.test(scheme)
  if (url === undefined || isOther || url.username !== '' || url.search !== '' || url.hash !== '') {
    throw new OperatorError('The Docker host is not an address', host, FORMS, EXIT.config)
  }
  const secure = tls !== undefined || scheme === 'https' || url.port === '2376'
  const basePath = url.pathname.replace(/\/+$/, '')
  return {
    hostname: withoutBrackets(url.hostname),
    port: url.port === '' ? (secure ? 2376 : 2375) : Number(url.port),
    ...(basePath === '' ? {} : { basePath }),
    ...(secure ? { tls: tls ?? { verify: true } } : {}),
  }
}

function parseSsh(host: string, environment: Environment): SshTarget {
  const url = parseUrl(host)
  const problem =
    url === undefined
      ? 'it names no host'
      : url.password !== ''
        ? 'ssh takes no password from an address'
        : url.search !== '' || url.hash !== ''
          ? 'it has more than user, host, port and path'
          : undefined
  if (url === undefined || problem !== undefined) {
    // Without what may be a password.
    const shown = host.replace(/:[^:@/]*@/, ':…@')
    const hint =
      'Write ssh://user@host, ssh://user@host:port or ssh://user@host/path/to/docker.sock; use a key.'
    throw new OperatorError(`The Docker host can't be used: ${problem ?? ''}`, shown, hint, EXIT.config)
  }
  return {
    host: withoutBrackets(url.hostname),
    ...(url.username === '' ? {} : { user: decodeURIComponent(url.username) }),
    ...(url.port === '' ? {} : { port: Number(url.port) }),
    ...(url.pathname.length > 1 ? { socketPath: decodeURIComponent(url.pathname) } : {}),
    environment,
  }
}

function parseUrl(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url?.hostname === '' ? undefined : url
}

function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '')
}
