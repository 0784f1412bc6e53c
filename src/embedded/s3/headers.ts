import { validateHeaderName, validateHeaderValue, type ServerResponse } from 'node:http'
import { s3Errors } from './errors.ts'

const KEPT = /^(?:content-(?:type|disposition|language|encoding)|cache-control|expires|x-amz-meta-.+)$/

/**
 * What of a request (or of a form) is kept with an object and told again, by names in lower case. Throws
 * InvalidArgument for what could not be told.
 */
export function keptHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string> {
  const kept: Record<string, string> = { 'content-type': 'binary/octet-stream' }
  for (const [name, value] of Object.entries(headers)) {
    if (!KEPT.test(name) || typeof value !== 'string') continue
    // That encoding is of the request alone.
    const own = name === 'content-encoding' ? withoutFraming(value) : asHeaderText(value)
    if (own === '') continue
    assertHeader(name, own)
    kept[name] = own
  }
  return kept
}

/** Sets a header that a request asks for; throws InvalidArgument where it could not be sent. */
export function setAskedHeader(response: ServerResponse, name: string, value: string): void {
  assertHeader(name, value)
  response.setHeader(name, value)
}

function assertHeader(name: string, value: string): void {
  try {
    validateHeaderName(name)
    validateHeaderValue(name, value)
  } catch {
    throw s3Errors.invalidArgument(`${name} can not be sent as a header`)
  }
}

/** S3 tells other letters than Latin ones in this way (RFC 2047). */
function asHeaderText(value: string): string {
  const fits = /^[\0-\xff]*$/.test(value)
  return fits ? value : `=?UTF-8?B?${Buffer.from(value).toString('base64')}?=`
}

function withoutFraming(encodings: string): string {
  return encodings
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== 'aws-chunked')
    .join(',')
}
