import { createHash, createHmac } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

export interface SigningKey {
  accessKeyId: string
  secretAccessKey: string
}

/** The access key id that a request was signed with. */
export function signerOf({ authorization = '' }: IncomingHttpHeaders): string {
  return /Credential=([^/,]+)\//.exec(authorization)?.[1] ?? ''
}

/**
 * The headers of a POST to `/` under another host and key: what was signed is replaced by a Signature Version 4 of
 * this very request.
 */
export function signAnew(
  headers: IncomingHttpHeaders,
  body: Buffer,
  { accessKeyId, secretAccessKey }: SigningKey,
  host: string,
): Record<string, string> {
  const [, date = '', region = '', service = ''] =
    /Credential=[^/]+\/(\d+)\/([^/]+)\/([^/]+)\//.exec(headers.authorization ?? '') ?? []
  const kept = Object.entries(headers).filter(
    ([name]) => /^(content-type|user-agent|x-amz)/.test(name) && name !== 'x-amz-content-sha256',
  )
  const all: Record<string, string> = {
    ...Object.fromEntries(kept.map(([name, value]) => [name, String(value)])),
    host,
  }
  const names = Object.keys(all)
    .filter((name) => name !== 'user-agent')
    .sort()
  const timestamp = all['x-amz-date'] ?? ''
  const scope = [date, region, service, 'aws4_request']
  const canonical = [
    'POST',
    '/',
    '',
    ...names.map((name) => `${name}:${(all[name] ?? '').trim()}`),
    '',
    names.join(';'),
    hash(body),
  ].join('\n')
  const text = ['AWS4-HMAC-SHA256', timestamp, scope.join('/'), hash(canonical)].join('\n')
  const key = scope.reduce<string | Buffer>((above, part) => hmac(above, part), `AWS4${secretAccessKey}`)
  const credential = `Credential=${accessKeyId}/${scope.join('/')}`
  const signature = `Signature=${hmac(key, text).toString('hex')}`
  return {
    ...all,
    'content-length': String(body.length),
    authorization: `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${names.join(';')}, ${signature}`,
  }
}

function hash(data: Buffer | string): string {
  return createHash('sha256').update(data).digest('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
