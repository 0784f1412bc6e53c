import { createHash, createHmac } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isEqual, type Credentials } from '../guard.ts'
import { S3Error, s3Errors } from './errors.ts'
import { isForm } from './form.ts'
import { checkLegacyUrl } from './legacy-signature.ts'

const MAX_SKEW_MS = 15 * 60_000
const LONGEST_EXPIRY_SECONDS = 7 * 24 * 3600

/**
 * Whether a request is for S3: it says so where it says who signed it; a form, or another method than POST with a path
 * that is no queue's, can be for nobody else.
 */
export function isForS3(request: IncomingMessage): boolean {
  const { headers, method, url = '/' } = request
  if (headers['x-amz-target'] !== undefined) return false
  if (headers.authorization?.startsWith('AWS4-') === true)
    return /\/s3\/aws4_request/.test(headers.authorization)
  if (/[?&]X-Amz-Signature=/.test(url) || isForm(request)) return true
  return method !== 'POST' && /^\/(?!\d{12}\/|\.)[^/?]/.test(url)
}

/** Checks the signature of header or query, version 4 (of a URL also 2); throws S3Error. */
export function checkSignature(request: IncomingMessage, credentials: Credentials): void {
  const [path = '/', queryText = ''] = (request.url ?? '/').split('?', 2)
  const query = queryText === '' ? [] : queryText.split('&').map(canonicalParameter)
  const read = new URLSearchParams(queryText)
  if (read.has('AWSAccessKeyId')) {
    checkLegacyUrl(request, read, credentials)
    return
  }
  const presigned = read.has('X-Amz-Signature')
  if (!presigned) assertSigned(request)
  const given = presigned ? fromQuery(read) : fromHeader(request)
  const [accessKeyId = '', date = '', region = '', service = ''] = given.credential.split('/')
  if (!isEqual(accessKeyId, credentials.accessKeyId)) throw s3Errors.unknownKey()
  if (!given.signedHeaders.includes('host')) throw s3Errors.denied('The header host must be signed')
  const payload = presigned ? 'UNSIGNED-PAYLOAD' : header(request, 'x-amz-content-sha256')
  const canonical = [
    request.method ?? '',
    path
      .split('/')
      .map((part) => encode(decode(part)))
      .join('/'),
    query
      .filter((part) => !part.startsWith('X-Amz-Signature='))
      .sort()
      .join('&'),
    ...given.signedHeaders.map((name) => `${name}:${header(request, name).trim().replace(/ +/g, ' ')}`),
    '',
    given.signedHeaders.join(';'),
    payload,
  ].join('\n')
  const scope = [date, region, service, 'aws4_request']
  const text = ['AWS4-HMAC-SHA256', given.timestamp, scope.join('/'), sha256(canonical)].join('\n')
  if (!isEqual(signatureOf(text, scope, credentials), given.signature)) throw s3Errors.wrongSignature()
  checkTime(given.timestamp, date, presigned ? read.get('X-Amz-Expires') : undefined)
}

/** Checks who signed the policy of a form, by Signature Version 4 or, as older clients do, 2. Throws S3Error. */
export function checkPolicySignature(
  fields: ReadonlyMap<string, string>,
  policy: string,
  credentials: Credentials,
): void {
  const field = (name: string): string => fields.get(name) ?? ''
  const old = fields.has('awsaccesskeyid')
  const [accessKeyId = '', ...scope] = old ? [field('awsaccesskeyid')] : field('x-amz-credential').split('/')
  const given = field(old ? 'signature' : 'x-amz-signature')
  if (given === '') throw s3Errors.denied('Access Denied')
  if (!isEqual(accessKeyId, credentials.accessKeyId)) throw s3Errors.unknownKey()
  const wanted = old
    ? createHmac('sha1', credentials.secretAccessKey).update(policy).digest('base64')
    : signatureOf(policy, scope, credentials)
  if (!isEqual(wanted, given)) throw s3Errors.wrongSignature()
  if (old) return
  const [date = '', , service, terminator] = scope
  const isRight =
    service === 's3' && terminator === 'aws4_request' && field('x-amz-algorithm') === 'AWS4-HMAC-SHA256'
  if (!isRight || !field('x-amz-date').startsWith(date)) {
    throw s3Errors.denied('x-amz-credential, x-amz-algorithm and x-amz-date do not belong together')
  }
}

function signatureOf(text: string, scope: readonly string[], { secretAccessKey }: Credentials): string {
  return hmac(scope.reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`), text).toString('hex')
}

function assertSigned({ headers: { authorization } }: IncomingMessage): void {
  if (authorization === undefined) throw s3Errors.denied('Access Denied')
  if (authorization.startsWith('AWS4-HMAC-SHA256 ')) return
  throw s3Errors.invalid(
    'The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.',
  )
}

interface Given {
  credential: string
  signedHeaders: string[]
  signature: string
  timestamp: string
}

function fromQuery(query: URLSearchParams): Given {
  return {
    credential: query.get('X-Amz-Credential') ?? '',
    signedHeaders: (query.get('X-Amz-SignedHeaders') ?? '').split(';'),
    signature: query.get('X-Amz-Signature') ?? '',
    timestamp: query.get('X-Amz-Date') ?? '',
  }
}

function fromHeader(request: IncomingMessage): Given {
  const text = request.headers.authorization ?? ''
  const part = (name: string): string => new RegExp(`${name}=([^,\\s]+)`).exec(text)?.[1] ?? ''
  return {
    credential: part('Credential'),
    signedHeaders: part('SignedHeaders').split(';'),
    signature: part('Signature'),
    timestamp: header(request, 'x-amz-date'),
  }
}

function checkTime(timestamp: string, date: string, expires: string | null | undefined): void {
  const time = Date.parse(
    timestamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'),
  )
  if (Number.isNaN(time) || !timestamp.startsWith(date))
    throw s3Errors.denied('The date of the request is not right')
  const age = Date.now() - time
  if (expires === undefined) {
    if (Math.abs(age) <= MAX_SKEW_MS) return
    throw new S3Error(
      'RequestTimeTooSkewed',
      403,
      'The difference between the request time and the current time is too large.',
    )
  }
  const seconds = Number(expires ?? 'NaN')
  if (!(seconds >= 1 && seconds <= LONGEST_EXPIRY_SECONDS))
    throw s3Errors.denied('X-Amz-Expires must be 1 to 604800')
  if (age > seconds * 1000 || age < -MAX_SKEW_MS) throw s3Errors.denied('Request has expired')
}

/** As it is signed: each name and value encoded in AWS's way, whatever the client wrote. */
function canonicalParameter(part: string): string {
  const [name = '', ...value] = part.split('=')
  return `${encode(decode(name))}=${encode(decode(value.join('=')))}`
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

function header(request: IncomingMessage, name: string): string {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(',') : (value ?? '')
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
