import { createHmac } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isEqual, type Credentials } from '../guard.ts'
import { s3Errors } from './errors.ts'

/** Parameters that say what is meant, and so are signed with the path. */
const MEANT = /^(?:uploads|uploadId|partNumber|delete|location|versionId|response-.+)$/

/** Checks a URL that was presigned by Signature Version 2, as boto3 does it unless told otherwise. Throws S3Error. */
export function checkLegacyUrl(
  request: IncomingMessage,
  query: URLSearchParams,
  credentials: Credentials,
): void {
  const { headers, method = '', url = '' } = request
  const expires = query.get('Expires') ?? ''
  if (!isEqual(query.get('AWSAccessKeyId') ?? '', credentials.accessKeyId)) throw s3Errors.unknownKey()
  const value = (name: string): string => String(headers[name] ?? query.get(name) ?? '')
  const names = new Set([...Object.keys(headers), ...[...query.keys()].map((name) => name.toLowerCase())])
  const own = [...names].filter((name) => name.startsWith('x-amz-')).sort()
  const meant = [...query]
    .filter(([name]) => MEANT.test(name))
    .map(([name, text]) => (text === '' ? name : `${name}=${text}`))
    .sort()
  const text = [
    method,
    value('content-md5'),
    value('content-type'),
    expires,
    ...own.map((name) => `${name}:${value(name).trim()}`),
    `${url.split('?', 1)[0] ?? ''}${meant.length > 0 ? `?${meant.join('&')}` : ''}`,
  ].join('\n')
  const signature = createHmac('sha1', credentials.secretAccessKey).update(text).digest('base64')
  if (!isEqual(signature, query.get('Signature') ?? '')) throw s3Errors.wrongSignature()
  if (!(Number(expires) * 1000 > Date.now())) throw s3Errors.denied('Request has expired')
}
