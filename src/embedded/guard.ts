import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

export interface Credentials {
  accessKeyId: string
  secretAccessKey: string
}

/** Why a request's signature is not accepted. */
export type SignatureProblem = 'missing' | 'incomplete' | 'unknown key' | 'wrong signature' | 'expired'

/** How far a request's clock may be off. */
const MAX_SKEW_MS = 15 * 60_000

/**
 * What speaks against a request before its signature is looked at: it came from a web page, or under a name that is
 * not ours (a page's own name that was made to resolve to 127.0.0.1). Undefined = nothing.
 */
export function findForeignness(request: IncomingMessage, port: number): string | undefined {
  if (request.headers.origin !== undefined) return 'Requests of web pages are refused'
  const host = request.headers.host?.toLowerCase()
  if (host === `127.0.0.1:${port}` || host === `localhost:${port}`) return undefined
  return `The Host header must be 127.0.0.1:${port} or localhost:${port}`
}

/** Checks a Signature Version 4 over the whole request; undefined = it is right. */
export function findSignatureProblem(
  request: IncomingMessage,
  body: Buffer,
  { accessKeyId, secretAccessKey }: Credentials,
): SignatureProblem | undefined {
  const { authorization } = request.headers
  if (authorization === undefined) return 'missing'
  const parsed = parseAuthorization(authorization)
  const timestamp = headerText(request, 'x-amz-date')
  const time = parseTimestamp(timestamp)
  if (parsed === undefined || time === undefined || !parsed.signedHeaders.includes('host'))
    return 'incomplete'
  if (!isEqual(parsed.accessKeyId, accessKeyId)) return 'unknown key'
  const scope = `${parsed.date}/${parsed.region}/${parsed.service}/aws4_request`
  const canonical = [
    request.method ?? '',
    ...canonicalTarget(request.url ?? '/'),
    ...parsed.signedHeaders.map((name) => `${name}:${headerText(request, name).trim().replace(/ +/g, ' ')}`),
    '',
    parsed.signedHeaders.join(';'),
    createHash('sha256').update(body).digest('hex'),
  ].join('\n')
  const hashed = createHash('sha256').update(canonical).digest('hex')
  const text = ['AWS4-HMAC-SHA256', timestamp, scope, hashed].join('\n')
  const parts = [parsed.date, parsed.region, parsed.service, 'aws4_request']
  const key = parts.reduce<string | Buffer>((above, part) => hmac(above, part), `AWS4${secretAccessKey}`)
  if (!isEqual(hmac(key, text).toString('hex'), parsed.signature)) return 'wrong signature'
  return Math.abs(time - Date.now()) > MAX_SKEW_MS || !timestamp.startsWith(parsed.date)
    ? 'expired'
    : undefined
}

/** Proves that one side of a connection between our processes knows the secret. */
export function proofOf(role: 'member' | 'server', nonce: string, secretAccessKey: string): string {
  return hmac(secretAccessKey, `${role} ${nonce}`).toString('hex')
}

/** Compares in a time that tells nothing of where the two differ. */
export function isEqual(a: string, b: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(a), hash(b))
}

interface Authorization {
  accessKeyId: string
  date: string
  region: string
  service: string
  signedHeaders: string[]
  signature: string
}

function parseAuthorization(header: string): Authorization | undefined {
  if (!header.startsWith('AWS4-HMAC-SHA256 ')) return undefined
  const parts = new Map<string, string>()
  for (const part of header.slice('AWS4-HMAC-SHA256 '.length).split(',')) {
    const [name, ...value] = part.trim().split('=')
    parts.set(name ?? '', value.join('='))
  }
  const credential = (parts.get('Credential') ?? '').split('/')
  const [accessKeyId, date, region, service, terminator] = credential
  const signedHeaders = (parts.get('SignedHeaders') ?? '').split(';')
  const signature = parts.get('Signature')
  if (accessKeyId === undefined || date === undefined || region === undefined || service === undefined)
    return undefined
  if (terminator !== 'aws4_request' || credential.length !== 5 || signature === undefined) return undefined
  return { accessKeyId, date, region, service, signedHeaders, signature }
}

/** `20261120T093000Z` as ms since 1970. */
function parseTimestamp(text: string): number | undefined {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text) ?? []
  if (year === undefined) return undefined
  const time = Date.parse(
    `${year}-${month ?? ''}-${day ?? ''}T${hour ?? ''}:${minute ?? ''}:${second ?? ''}Z`,
  )
  return Number.isNaN(time) ? undefined : time
}

/** Path and query as they are signed: each part of the path encoded once more, parameters in order. */
function canonicalTarget(url: string): [string, string] {
  const [path = '/', query = ''] = url.split('?', 2)
  const parameters =
    query === '' ? [] : query.split('&').map((part) => (part.includes('=') ? part : `${part}=`))
  return [path.split('/').map(encode).join('/'), parameters.sort().join('&')]
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function headerText(request: IncomingMessage, name: string): string {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(',') : (value ?? '')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
